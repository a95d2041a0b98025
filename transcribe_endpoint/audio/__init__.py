"""Decoding of the audio that clients send: PCM, FLAC, Opus in Ogg, and telephone codecs."""
