"""The checks before a run: of this machine, the buckets, the database and the referencing columns.

May import: services, s3, db, report, config, checks, files. Read preflight (all checks in order), then column, trial (a
few rows, tried and rolled back) and machine.
"""
