"""The WebSocket service: takes live audio, broadcasts captions, and sends finals to the queue."""
