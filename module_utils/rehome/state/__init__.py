"""The state folder: what is kept of a migration that is neither in the buckets nor in the database.

May import `config`, `catalog`, `planning`, `report`, `s3`, `db`, `files`. Read `folder` and `lock` (one run at a time
per folder), `database_lock` (one run at a time per database), `outcomes` (what became of each copy), `delete_log` (what
was deleted), `completion` (when the migration ended), `interruption` (where a run was stopped), then `sync` and
`bucket` (a copy of the folder in a bucket).
"""
