"""Routes uploaded recordings: to the GPU server at once, or to the queue."""
