"""The command-line client and its library: speak into a conversation, and follow one."""
