"""Fetch a transcript from the bucket, or captions of it.

The bucket has no captions of a session's single chunks, so these are made here, by
`transcripts.captions.formats`.
"""

from __future__ import annotations

from client.formats import TranscriptFormat
from client.recordings.bucket import Bucket
from transcripts.captions.formats import Transcript, captions
from transcripts.documents import RecordingTranscript, SessionTranscript
from transcripts.recordings.keys import beside
from transcripts.recordings.objects import ObjectTooLarge
from transcripts.recordings.store import LIMITS, DocumentTooLarge, parse


def fetch(
    bucket: Bucket,
    transcript_key: str,
    kind: type[RecordingTranscript | SessionTranscript],
    wanted: TranscriptFormat,
) -> bytes | None:
    """Return a transcript in a format, as UTF-8; None if there is no transcript.

    Raises:
        UnreadableDocument: the object is no transcript, or too large.
        ClientError, BotoCoreError: of botocore, see `transcripts.recordings.objects`.
    """
    suffix = f".{wanted}"
    # Captions are written before the transcript, and count only with it.
    if wanted is not TranscriptFormat.JSON and bucket.objects.exists(transcript_key):
        stored = _content(bucket, beside(transcript_key, suffix), LIMITS[kind])
        if stored is not None:
            return stored
    content = _content(bucket, transcript_key, LIMITS[kind])
    if content is None or wanted is TranscriptFormat.JSON:
        return content
    transcript: Transcript = parse(content, kind)
    return captions(transcript)[suffix].encode()


def _content(bucket: Bucket, key: str, limit: int) -> bytes | None:
    try:
        found = bucket.objects.get(key, limit)
    except ObjectTooLarge as error:
        raise DocumentTooLarge(str(error)) from None
    return None if found is None else found.body
