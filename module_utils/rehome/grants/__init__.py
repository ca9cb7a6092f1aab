"""grants: the rights that `migrate` and `retire` need, worked out from the settings, and no others.

Imports anything below it (s3, db, config); only the modules in library/ import it.

Read `settings` (what is requested), `policy` (S3 policies; pure) and `bucket_policy`, then how a plan is made:
`planning` → `access` with `current_access` (IAM and the bucket), `account` (the database user). Applied by
`iam_principal` with `managed_policy`, `database_user`, and the tasks of roles/grants. `standing` tells what exists.
`needed` names the rights in a run's report.
"""
