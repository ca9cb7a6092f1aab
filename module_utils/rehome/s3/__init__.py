"""Talking S3: the hot path (list, copy, compare) over our own connections; the rest through botocore."""
