"""The exceptions of the engines.

EngineError                  retryable says whether another attempt can help
├── EngineUnavailable        no session could be opened: missing model, dead worker pool
├── EngineStalled            audio is waiting, but the engine makes no progress
├── EngineCrashed            the session died: worker killed, connection lost
└── UnsupportedLanguage      the engine does not know the language; a retry is no use
"""

from __future__ import annotations


class EngineError(Exception):
    """A recognition failed; `retryable` tells whether another attempt can help."""

    retryable = True


class EngineUnavailable(EngineError):
    """No session could be opened."""


class EngineStalled(EngineError):
    """Audio is waiting, but nothing was consumed for too long."""


class EngineCrashed(EngineError):
    """The session died under the stream."""


class UnsupportedLanguage(EngineError):
    """The engine does not recognise the language that was asked for."""

    retryable = False
