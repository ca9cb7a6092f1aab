"""stages: one file per verb's work, the top of the engine. A module in library/ calls one of them and reports.

May import every room below: scan, planning, state, services, s3, db, report. In the order of a migration: `passes`,
`copy_objects`, `restore_archived`, `rewrite_rows` (chunks are written by `chunk_runner`), `verify` (with `verify_rows`
and `verify_sample`); `forecast` is what a plan would take. The ways back: `rollback_rows`, then `remove_copies`.
Deleting: `delete_side`, `deletion_candidates` (what may be deleted), `delete_objects` (how), `retire`.
"""
