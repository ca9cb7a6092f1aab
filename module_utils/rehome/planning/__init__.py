"""Plans: what a run would do, from a catalog alone.

May import: config, mapping, catalog, files, errors, duckdb_engine. Read plan (the class of every object and row), then
empty (nothing is under the map), earlier_passes (what a run has moved before this plan) and approval (what has changed
since a plan was approved).
"""
