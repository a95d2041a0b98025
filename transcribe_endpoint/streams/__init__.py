"""One transcription stream, independent of the transport that carries it."""
