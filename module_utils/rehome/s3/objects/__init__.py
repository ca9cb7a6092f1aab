"""One object: the job to copy it, the evidence that two contents are equal, and the properties that a copy carries.

May import `transport`, `client`, the modules of `s3` itself, and `config`. Read in this order: job, etags, compare,
digests, target_proof; then properties, target_headers, carried. restore (RestoreObject) stands alone.
"""
