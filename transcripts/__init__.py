"""Transcripts: their models, the wire protocol, and their storage in DynamoDB and S3."""
