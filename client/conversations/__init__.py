"""What is stored of live conversations, and its formats."""
