"""Makes one transcript of a session's chunks."""
