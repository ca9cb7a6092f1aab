"""What a bucket and a service do, found out before a run: by trying on scratch objects, and by reading settings.

May import the rooms of `s3` below it and `config`. Read in this order: scratch, probe, source_rights,
conditional_delete, same_place; reachable and bucket_config ask through botocore and stand alone.
"""
