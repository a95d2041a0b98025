"""The WebSocket service: microphones in, live captions out, finals on their way to the table."""
