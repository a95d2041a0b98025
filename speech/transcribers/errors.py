"""The exceptions of the transcribers.

TranscriberError                retryable says whether another attempt can help
├── TranscriberUnavailable      it cannot be loaded: a package, a model or a device is missing
├── TranscriberCrashed          its process died in the middle of a job
│   └── TranscriberStalled      it gave no sign of life, and was ended
├── TranscriptionFailed         the model raised something, or cannot do what it has to
│   └── OutOfMemory             the memory is not enough, of the GPU or of the machine
├── OptionUnavailable           what was asked for cannot be had here; a retry is no use
└── BadRecording                no transcript can be made of this recording; a retry is no use

Stopped                         the job was called off, in the middle or before; nobody's failure
"""

from __future__ import annotations

from transcripts.documents import FailureCode


class TranscriberError(Exception):
    """A recording was not transcribed; `retryable` tells whether another attempt can help."""

    retryable = True


class TranscriberUnavailable(TranscriberError):
    """The transcriber cannot be loaded."""


class TranscriberCrashed(TranscriberError):
    """The transcriber's process ended in the middle of a job, or had to be ended."""


class TranscriberStalled(TranscriberCrashed):
    """The process gave no sign of life for so long that it was ended. This delays whoever waits."""


class TranscriptionFailed(TranscriberError):
    """The model raised something. Its process is replaced where the model computes no more."""


class OutOfMemory(TranscriptionFailed):
    """There is not enough memory. The process is replaced, for only that frees all of it."""


class OptionUnavailable(TranscriberError):
    """What was asked for cannot be had, from this transcriber or from this operator."""

    retryable = False


class BadRecording(TranscriberError):
    """No transcript can be made of this recording, now or later.

    Args:
        code: the kind of reason.
        message: what is wrong, for people.
    """

    retryable = False

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Stopped(Exception):
    """The job was called off."""
