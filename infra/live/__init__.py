"""Live captions: the service, its task, its machine and the way in from CloudFront."""
