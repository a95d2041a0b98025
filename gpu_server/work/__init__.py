"""Jobs: the queue worker, recordings in S3, and the queue in front of the transcribers."""
