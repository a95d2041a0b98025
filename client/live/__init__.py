"""The connections of the live protocol: speak into a conversation, and follow one."""

from client.live.connection import Speaker, Viewer
from client.live.following import follow

__all__ = ["Speaker", "Viewer", "follow"]
