"""Redirects from old URLs to new ones, as configuration of S3 websites, nginx and CloudFront.

May import: s3.endpoint, config, files, errors. Read routes (the content of the files for nginx and CloudFront) with
patterns (globs as regular expressions), then website (routing rules of S3) and apply (configures the bucket's website).
"""
