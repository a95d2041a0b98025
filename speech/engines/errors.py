"""The exceptions of the engines.

EngineError                  `retryable` says whether another attempt can help
├── EngineUnavailable        no session could be opened: missing model, dead worker pool
├── EngineStalled            audio is waiting, but the engine makes no progress
├── EngineCrashed            the session died: worker killed, connection lost
├── SessionEnded             the session reached its longest duration and is replaced; no failure
├── UnsupportedLanguage      the engine does not support the language; not retryable
└── OptionError              the engine does not support another option; not retryable
    └── UnsupportedChannels  it does not support so many channels
"""

from __future__ import annotations


class EngineError(Exception):
    """A recognition failed; `retryable` says whether another attempt can help."""

    retryable = True
    #: The text for clients. The message is for the log: it may name accounts and machines.
    public = "The recognition engine failed."


class EngineUnavailable(EngineError):
    """No session could be opened."""

    public = "The recognition engine is not available."


class EngineStalled(EngineError):
    """Audio is waiting, but the engine has consumed none for too long."""

    public = "The recognition engine does not answer."


class EngineCrashed(EngineError):
    """The session died during the stream."""

    public = "The recognition engine broke off."


class SessionEnded(EngineError):
    """The session reached the engine's longest duration and is replaced at once.

    It does not count as a failure and has no delay. A session reports it in a pause of the speech
    if possible, because audio that is not settled is replayed.
    """


class UnsupportedLanguage(EngineError):
    """The engine does not support the requested language."""

    retryable = False


class OptionError(EngineError):
    """This engine does not support a requested option, or its operator does not allow it."""

    retryable = False


class UnsupportedChannels(OptionError):
    """The engine does not support so many separate channels."""
