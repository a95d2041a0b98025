"""The exceptions of the transcribers.

TranscriberError                `retryable` says whether another attempt can help
├── TranscriberUnavailable      it cannot be loaded: a package, a model or a device is missing
├── TranscriberCrashed          its process died during a job
│   └── TranscriberStalled      its process made no progress and was killed
├── TranscriptionFailed         the model raised an exception, or cannot do its work
│   └── OutOfMemory             the memory of the GPU or of the machine is not enough
├── OptionUnavailable           a requested option is not available here; not retryable
└── BadRecording                this recording can have no transcript; not retryable

Stopped                         the job was cancelled, which is no failure
"""

from __future__ import annotations

from transcripts.documents import FailureCode


class TranscriberError(Exception):
    """A recording was not transcribed; `retryable` says whether another attempt can help."""

    retryable = True


class TranscriberUnavailable(TranscriberError):
    """The transcriber cannot be loaded."""


class TranscriberCrashed(TranscriberError):
    """The transcriber's process ended during a job, or had to be killed."""


class TranscriberStalled(TranscriberCrashed):
    """The process made no progress for so long that it was killed."""


class TranscriptionFailed(TranscriberError):
    """The model raised an exception. Its process is replaced where the model no longer works."""


class OutOfMemory(TranscriptionFailed):
    """There is not enough memory. The process is replaced, because only that frees all of it."""


class OptionUnavailable(TranscriberError):
    """This transcriber does not support a requested option, or its operator does not allow it."""

    retryable = False


class BadRecording(TranscriberError):
    """This recording can have no transcript, now or later.

    Args:
        code: the kind of defect.
        message: the defect in words for users.
    """

    retryable = False

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Stopped(Exception):
    """The job was cancelled."""
