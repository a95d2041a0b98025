"""The exceptions of the engines.

EngineError                  retryable says whether another attempt can help
├── EngineUnavailable        no session could be opened: missing model, dead worker pool
├── EngineStalled            audio is waiting, but the engine makes no progress
├── EngineCrashed            the session died: worker killed, connection lost
├── SessionEnded             the session may last no longer; the next goes on, no failure
├── UnsupportedLanguage      the engine does not know the language; a retry is no use
└── OptionError              something else that was asked for cannot be had; a retry is no use
    └── UnsupportedChannels  so many channels at once
"""

from __future__ import annotations


class EngineError(Exception):
    """A recognition failed; `retryable` tells whether another attempt can help."""

    retryable = True
    #: What strangers are told. The message is for the log: it may name accounts and machines.
    public = "The recognition engine failed."


class EngineUnavailable(EngineError):
    """No session could be opened."""

    public = "The recognition engine is not available."


class EngineStalled(EngineError):
    """Audio is waiting, but nothing was consumed for too long."""

    public = "The recognition engine does not answer."


class EngineCrashed(EngineError):
    """The session died under the stream."""

    public = "The recognition engine broke off."


class SessionEnded(EngineError):
    """The session has lasted as long as the engine lets it; it is replaced at once.

    No failure: it counts as none and waits for nothing. A session reports it in a pause of the
    speech, if there is one, for what is not settled is heard again.
    """


class UnsupportedLanguage(EngineError):
    """The engine does not recognise the language that was asked for."""

    retryable = False


class OptionError(EngineError):
    """What was asked for cannot be had, from this engine or from this operator."""

    retryable = False


class UnsupportedChannels(OptionError):
    """The engine does not recognise so many channels by themselves."""
