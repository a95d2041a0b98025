"""The live protocol as a client: stream audio into a conversation, and watch one."""

from client.live.connection import Speaker, Viewer
from client.live.following import follow
from client.live.resuming import ResumingStream

__all__ = ["ResumingStream", "Speaker", "Viewer", "follow"]
