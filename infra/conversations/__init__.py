"""Conversations: the queue of finals, the function that stores them, and the table."""
