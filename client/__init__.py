"""The command-line client and its library: stream audio, watch conversations, use recordings."""
