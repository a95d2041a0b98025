"""Plan an upload: decide from the bucket what to do with each file, before sending any."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import AlreadyThere, ClientError, UnreadableAudio, UsageError
from client.recordings.bucket import Bucket
from client.recordings.chunks import announced_chunks, chunk_keys, chunk_number, describe_session
from client.recordings.uploading import (
    Item,
    Source,
    UploadVerdict,
    find,
    readable,
    same_bytes,
    verdict,
)
from transcripts.documents import SessionMetadata
from transcripts.recordings.keys import FAILURE, UPLOADS, Session, UnknownKey, beside, recording
from transcripts.recordings.objects import ATTEMPTS, Contended, ObjectVersion
from transcripts.recordings.sessions import chunk_results, uploaded_chunks
from transcripts.recordings.status import RecordingState, read_state
from transcripts.recordings.store import UnreadableDocument


@dataclass(frozen=True, slots=True)
class Planned:
    """A file, the decision about it, and the ETag of what it replaces."""

    source: Source
    verdict: UploadVerdict
    replaces: str | None = None
    #: Whether other bytes have a transcript, so that these will get none.
    transcribed: bool = False
    #: Key of the failure of the same bytes, which has to go before they are tried again.
    forget: str | None = None

    @property
    def item(self) -> Item:
        """The argument for `client.recordings.uploading.transfers`."""
        return Item(self.source, self.replaces)

    def refusal(self) -> ClientError | None:
        """Return why the file must not be uploaded; None if it may be, or is there already."""
        where = f"{self.source.path}: another recording is at {self.source.key}"
        advice = "Give this one another name (--name, --session), or insist by --force"
        if self.verdict is UploadVerdict.TRANSCRIBED:
            return AlreadyThere(
                f"{where} and has its transcript. {advice}: then that transcript stays, and this "
                "one gets none."
            )
        if self.verdict is UploadVerdict.WAITS:
            return AlreadyThere(f"{where} and waits for its transcript. {advice}: then it is gone.")
        return None


# --- files --------------------------------------------------------------------------------------


def upload_keys(files: Sequence[Path], name: str | None) -> list[tuple[Path, str]]:
    """Return the keys of files: below `uploads/`, under their own names or `name`.

    A `name` that ends in a slash is a folder; another one is for a single file.

    Raises:
        UsageError: two files would get the same key.
    """
    name = name.removeprefix(UPLOADS) if name else ""
    if name and not name.endswith("/") and len(files) > 1:
        raise UsageError(f"--name {name} is for one file; --name {name}/ is a folder for many")
    whole = bool(name) and not name.endswith("/")
    keys = [
        (path, f"{UPLOADS}{name}" if whole else f"{UPLOADS}{name}{path.name}") for path in files
    ]
    taken: dict[str, Path] = {}
    for path, key in keys:
        if key in taken:
            raise UsageError(f"{taken[key]} and {path} would both be {key}: rename one by --name")
        taken[key] = path
    return keys


def unusable_name(path: Path, key: str) -> UsageError | None:
    """Return why a file cannot be uploaded under a key; None if it can."""
    try:
        recording(key)
    except UnknownKey:
        return UsageError(
            f"{path}: it cannot be uploaded as {key}. A name has no "
            "control characters, is UTF-8, and is not too long; give another one by --name"
        )
    return None


def plan_file(bucket: Bucket, source: Source, *, force: bool) -> Planned:
    """Decide what to do with a single file."""
    there = find(bucket, source.key)
    same = there is not None and same_bytes(source, there)
    if same and not force:  # whatever has become of it
        return Planned(source, UploadVerdict.SKIP)
    etag = there.etag if there else None
    state = read_state(bucket.objects, recording(source.key).transcript_key, etag)
    return _planned(
        source,
        there,
        same=same,
        transcribed=state is RecordingState.TRANSCRIBED,
        failed=state is RecordingState.FAILED,
        force=force,
    )


def _planned(
    source: Source,
    there: ObjectVersion | None,
    *,
    same: bool,
    transcribed: bool,
    failed: bool,
    force: bool,
) -> Planned:
    decided = verdict(
        there=there is not None,
        same=same,
        transcribed=transcribed,
        failed=failed,
        force=force,
    )
    replaces = there.etag if there is not None and there.key == source.key else None
    again = same and failed and decided is UploadVerdict.UPLOAD
    failure = beside(recording(source.key).transcript_key, FAILURE) if again else None
    return Planned(source, decided, replaces, transcribed, failure)


# --- a session ----------------------------------------------------------------------------------


def session_sources(folder: Path, session: Session) -> list[Source]:
    """Return a folder's files as the chunks of a session, in their order.

    Hidden files, folders and `metadata.json` are left out.

    Raises:
        UsageError: they cannot be chunks of one session.
        UnreadableAudio: one of them is empty, or cannot be read.
    """
    try:
        names = [
            each.name
            for each in folder.iterdir()
            if not each.is_dir() and not each.name.startswith(".") and each.name != "metadata.json"
        ]
    except OSError as error:
        raise UnreadableAudio(f"{folder}: {error.strerror or error}") from error
    return [readable(folder / name, key) for name, key in chunk_keys(session, names)]


def plan_session(
    bucket: Bucket, session: Session, sources: Sequence[Source], *, force: bool
) -> tuple[list[Planned], frozenset[int]]:
    """Decide what to do with each chunk; return also the numbers of all chunks afterwards."""
    listed = list(bucket.objects.list(session.chunks_prefix))
    there: dict[int, ObjectVersion] = {}
    for each in listed:
        if uploaded_chunks(session, [each.key]):
            there.setdefault(chunk_number(each.key), each)
    by_key = {each.key: each for each in listed}
    known = chunk_results(session, bucket.objects.list(session.outcomes_prefix))
    planned = []
    for source in sources:
        present = by_key.get(source.key) or there.get(chunk_number(source.key))
        planned.append(
            _planned(
                source,
                present,
                same=present is not None and same_bytes(source, present),
                transcribed=chunk_number(source.key) in known.transcripts,
                failed=chunk_number(source.key) in known.failures,
                force=force,
            )
        )
    return planned, frozenset(there) | {chunk_number(source.key) for source in sources}


def announce(bucket: Bucket, session: Session, numbers: Collection[int]) -> SessionMetadata:
    """Write the metadata of a session unless they are the same already; return them.

    They are written before the chunks, so that missing chunks show even if the upload breaks off,
    and so that the combiner waits for all of them.

    Raises:
        UsageError: there are too many chunks.
        Contended: others kept writing it.
    """
    documents, key = bucket.documents, session.metadata_key
    for _ in range(ATTEMPTS):
        known, etag = None, None
        try:
            found = documents.get(key, SessionMetadata)
        except UnreadableDocument:
            present = bucket.objects.head(key)
            etag = present.etag if present else None
        else:
            known, etag = (found.document, found.etag) if found else (None, None)
        wanted = describe_session(numbers, known)
        if known and announced_chunks(known, numbers) == announced_chunks(wanted, numbers):
            return wanted
        if documents.replace(key, wanted, etag) if etag else documents.put_once(key, wanted):
            return wanted
    raise Contended("others kept writing the session's metadata")


def missing(metadata: SessionMetadata, numbers: Iterable[int]) -> set[int]:
    """Return the numbers of announced chunks that are neither here nor in the bucket."""
    return set(announced_chunks(metadata, set(numbers))) - set(numbers)
