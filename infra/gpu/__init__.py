"""The GPU server: its tasks, machines and image."""
