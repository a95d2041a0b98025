"""Names that the Lambda functions share with code that provisions, invokes and monitors them.

A function is a folder of `lambdas/`. Its metrics are in the namespace of its environment, with its
name as the dimension `service`.
"""

from __future__ import annotations

from typing import Final

TRANSCRIPT_PROCESSOR: Final = "transcript_processor"
ROUTER: Final = "router"
BATCH_WORKER: Final = "batch_worker"
SESSION_COMBINER: Final = "session_combiner"
API: Final = "api"


def handler_path(function: str) -> str:
    """Return the path of a function's handler, as Lambda's setting `Handler` takes it."""
    return f"lambdas.{function}.handler.handler"


# --- events of applications -----------------------------------------------------------------------

#: The source of their events. What we publish ourselves has another source, or the router would
#: take it for a request.
APPLICATION_SOURCE: Final = "cloudscribe"
#: The detail type by which they notify the combiner that a session has ended.
SESSION_ENDED: Final = "Session Ended"

# --- metrics --------------------------------------------------------------------------------------

#: Where functions put their metrics if no namespace is set.
DEFAULT_NAMESPACE: Final = "Cloudscribe"

#: Of the transcript processor: messages that are no utterance, and those that failed otherwise.
POISON_MESSAGES: Final = "PoisonMessages"
FAILED_MESSAGES: Final = "FailedMessages"
#: Of the transcript processor: utterances that are new.
UTTERANCES_STORED: Final = "UtterancesStored"
#: Of the router: recordings that a server transcribed at once, and those that were queued.
RECORDINGS_TRANSCRIBED: Final = "RecordingsTranscribed"
RECORDINGS_QUEUED: Final = "RecordingsQueued"
#: Of the router and the combiner: events that no attempt can help.
EVENTS_REFUSED: Final = "EventsRefused"
#: Of the combiner: sessions that got their first transcript.
SESSIONS_WRITTEN: Final = "SessionsWritten"
#: Of the API: requests that were refused, or failed.
API_REFUSALS: Final = "ApiRefusals"
#: Of the batch worker: machines that should run.
MACHINES_WANTED: Final = "MachinesWanted"
