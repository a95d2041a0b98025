"""The page: CloudFront, its bucket, its headers and its access log."""
