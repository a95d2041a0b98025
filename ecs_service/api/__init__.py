"""The service's protocols towards clients: sockets, live captions, HTTP endpoints."""
