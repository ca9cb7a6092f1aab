"""What the two S3 services of a migration can do, and the clients to reach them.

May import `s3`, `config`, `run` and what is below; not `db` or `catalog`. Read `clients`, then `copy_method` (copy
within the service, or stream), `capabilities` (what a probe found, kept for later stages), `storage_class`,
`requests` (how many a copy takes) and `pace` (what operators ask of them meanwhile).
"""
