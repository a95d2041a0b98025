"""What is said in a conversation: to everybody who listens now, and safely to the queue."""
