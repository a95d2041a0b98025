"""Recordings to text: transcribers behind one port, and the process that each of them runs in."""
