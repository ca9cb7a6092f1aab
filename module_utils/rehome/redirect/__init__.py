"""Old URLs that keep working: where they lead, as S3, nginx and CloudFront are told."""
