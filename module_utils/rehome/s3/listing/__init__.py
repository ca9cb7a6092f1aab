"""List the objects under a prefix, from ListObjectsV2 or from an S3 Inventory report, as pages of columns.

May import client, transport, errors, duckdb_engine. Read in this order: page (one page, parsed) · listing (several
ranges of keys in parallel), key_order and split_points (where to divide them) · inventory, inventory_file.
"""
