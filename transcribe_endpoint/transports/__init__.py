"""The transports that clients connect over: WebSocket, HTTP/2, and HTTP/1.1 for calls."""
