"""Building blocks of several capabilities: queues, buckets, functions, secrets, images."""
