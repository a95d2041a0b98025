"""What several capabilities are made of: queues, buckets, functions, secrets, images."""
