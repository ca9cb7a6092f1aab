"""Read what exists now, in both buckets and in the database, into a catalog. Reads only.

May import everything below: `s3` and `db`, `services`, `state`, `planning`, `mapping`. Read `scan` (all of a scan, and
the listing of both buckets) and `rows` (the referencing columns); then `lookups` (single objects by HEAD), `journal`
(the rows that a migration has rewritten) and `named_keys` (the keys that any row may name, before a deletion).
"""
