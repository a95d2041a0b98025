"""What a stream says: scripts, dictation, and an engine of this machine."""
