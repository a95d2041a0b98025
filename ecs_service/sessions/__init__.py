"""The pipeline of one audio stream, and who is let in."""
