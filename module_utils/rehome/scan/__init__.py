"""Read what exists now, in both buckets and in the database, into a catalog. Reads only.

May import everything below: `s3` and `db`, `services`, `fleet`, `state`, `planning`, `mapping`. Read `scan` (all of a
scan), `buckets` (the listing of both) and `rows` (the referencing columns); then `lookups` (single objects by HEAD),
`journal` (the rows that a migration has rewritten), `named_keys` (the keys that any row may name, before a deletion),
`compare` (the contents of pairs), `by_movers` and `list_by_movers` (what the workers of a cluster read).
"""
