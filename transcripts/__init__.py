"""What was said: its models, its wire protocol and its homes in DynamoDB and S3."""
