"""The command `upload`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from client.cli.delivery import deliver_transcript, print_status, wait_for_result
from client.cli.options import BucketName, Json, SiteUrl, Wait
from client.cli.printing import Printer
from client.cli.progress import UploadProgress, format_bytes
from client.cli.running import interruptible_command, run_until_interrupted
from client.cli.site_recordings import find_site, upload_files
from client.errors import ClientError, ExitCode, UnreadableAudio, UsageError
from client.formats import TranscriptFormat
from client.live.endpoints import DEFAULT_URL
from client.recordings.bucket import Bucket, explained, open_bucket
from client.recordings.chunks import format_spans
from client.recordings.planning import (
    Planned,
    announce,
    missing,
    plan_file,
    plan_session,
    session_sources,
    unusable_name,
    upload_keys,
)
from client.recordings.site import SiteRecordings
from client.recordings.targets import Target, require_transcript, session_of
from client.recordings.uploading import (
    BytesSent,
    Source,
    UploadVerdict,
    not_audio,
    readable,
    transfers,
)
from transcripts.recordings.keys import Session


@interruptible_command
def upload(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Recordings, or one folder with the chunks of a session.",
            readable=False,  # what cannot be read is refused by itself, see `_upload_files`
        ),
    ],
    *,
    bucket: BucketName = None,
    url: SiteUrl = DEFAULT_URL,
    title: Annotated[
        str | None, typer.Option(help="Title at a site with accounts; default: the file's name.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Path below uploads/ in place of the file's name; with a slash at its end, a "
            "folder for all files.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="User of a folder's session.")] = None,
    session: Annotated[
        str | None, typer.Option(help="Name of a folder's session; also as USER/SESSION.")
    ] = None,
    wait: Wait = False,
    wanted: Annotated[
        TranscriptFormat | None,
        typer.Option("--format", help="Wait, and print the transcript in this format."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Upload even no audio, replace other recordings, and retry failed ones.",
        ),
    ] = False,
    as_json: Json = False,
) -> ExitCode:
    """Upload recordings to be transcribed; print their keys.

    Files that the bucket already has are skipped: repeat the command after an interruption.
    Without a bucket, upload to a site with accounts, and print the recordings' ids.
    """
    if wanted is not None and as_json:
        raise UsageError("--format prints the transcript, --json events: choose one.")
    printer = Printer(as_json=as_json)
    folder = _folder(files, user=user, session=session, name=name)
    if wanted is not None and folder is None and len(files) > 1:
        raise UsageError("--format is for one recording; `fetch` prints the others.")
    site = None if folder else find_site(bucket, url)
    _check_name(site, files, name=name, title=title)
    if site is not None:
        return _upload_to_site(
            site, printer, files, title=title, wait=wait, wanted=wanted, force=force
        )
    keys = upload_keys(files, name) if folder is None else []
    keys, refused = _with_usable_names(printer, keys)
    if refused and not keys:
        return refused[0].exit_code
    home = open_bucket(bucket)
    with explained(home.name):
        if folder is not None:
            targets, errors = _upload_session(home, printer, files[0], folder, force=force)
            broken = bool(errors)
        else:
            targets, errors = _upload_files(home, printer, keys, force=force)
            errors = refused + errors
            broken = False
        if not (wait or wanted):
            _print_keys(printer, targets)
        elif not broken:  # for what is not complete one would wait for ever
            errors += _await(home, printer, targets, wanted)
    return errors[0].exit_code if errors else ExitCode.OK


def _check_name(
    site: SiteRecordings | None, files: Sequence[Path], *, name: str | None, title: str | None
) -> None:
    """Check that recordings are named as where they go.

    Raises:
        UsageError: they are not.
    """
    if site is None:
        if title is not None:
            raise UsageError("--title is for a site with accounts; in a bucket use --name.")
    elif name is not None:
        raise UsageError("--name is a path in a bucket; at a site a recording has a --title.")
    elif title is not None and len(files) > 1:
        raise UsageError("--title is for one recording.")


def _upload_to_site(
    site: SiteRecordings,
    printer: Printer,
    files: Sequence[Path],
    *,
    title: str | None,
    wait: bool,
    wanted: TranscriptFormat | None,
    force: bool,
) -> ExitCode:
    """Upload single files to a site; one that cannot be uploaded does not keep others."""
    refused: list[ClientError] = []
    sources: list[Source] = []
    for path in files:
        try:
            source = readable(path, "")
        except UnreadableAudio as error:
            refused.append(error)
            _report_refusal(printer, path, "unreadable", error)
            continue
        if strange := _not_audio(printer, source, _IF_AUDIO, force=force):
            refused.append(strange)
            _report_refusal(printer, path, "not_audio", strange)
        else:
            sources.append(source)
    errors = refused
    if sources:
        uploading = upload_files(
            site, printer, sources, title=title, is_awaited=wait, wanted=wanted
        )
        errors = refused + run_until_interrupted(
            uploading,
            lambda: printer.print_note(
                "What is not complete is being removed; Ctrl-C again leaves it."
            ),
        )
    return errors[0].exit_code if errors else ExitCode.OK


def _folder(
    files: Sequence[Path], *, user: str | None, session: str | None, name: str | None
) -> Session | None:
    """Return the session that is uploaded; None where it is files.

    Raises:
        UsageError: it is something between.
    """
    folders = [path for path in files if path.is_dir()]
    if session is None:
        if folders:
            raise UsageError(f"{folders[0]} is a folder: give --user and --session for its chunks.")
        if user is not None:
            raise UsageError("--user is for the folder of a session: give --session too.")
        return None
    if len(files) != 1 or not folders:
        raise UsageError("--session is for one folder, which has all chunks.")
    if name is not None:
        raise UsageError("--name is for files; --session names a session.")
    return session_of(user, session)


Uploaded: TypeAlias = tuple[list[Target], list[ClientError]]


def _with_usable_names(
    printer: Printer, keys: Sequence[tuple[Path, str]]
) -> tuple[list[tuple[Path, str]], list[ClientError]]:
    """Return the files whose names can be used, and why others cannot be uploaded."""
    usable: list[tuple[Path, str]] = []
    errors: list[ClientError] = []
    for path, key in keys:
        if problem := unusable_name(path, key):
            errors.append(problem)
            _report_refusal(printer, path, "name", problem)
        else:
            usable.append((path, key))
    return usable, errors


def _report_refusal(printer: Printer, path: Path, code: str, error: ClientError) -> None:
    printer.print_note(*error.lines)
    printer.print_event("refused", file=str(path), code=code, message=str(error))


def _upload_files(
    bucket: Bucket, printer: Printer, keys: Sequence[tuple[Path, str]], *, force: bool
) -> Uploaded:
    """Upload single files; one that cannot be uploaded does not keep others."""
    errors: list[ClientError] = []
    planned: list[Planned] = []

    def refuse(path: Path, code: str, error: ClientError) -> None:
        errors.append(error)
        _report_refusal(printer, path, code, error)

    for path, key in keys:
        try:
            source = readable(path, key)
        except UnreadableAudio as error:
            refuse(path, "unreadable", error)
            continue
        if strange := _not_audio(printer, source, _IF_AUDIO, force=force):
            refuse(path, "not_audio", strange)
            continue
        each = plan_file(bucket, source, force=force)
        if refusal := each.refusal():
            refuse(path, "exists", refusal)
        else:
            planned.append(each)
    done, failed = _transfer(bucket, printer, planned)
    return [Target(each.source.key) for each in done], errors + failed


def _upload_session(
    bucket: Bucket, printer: Printer, folder: Path, session: Session, *, force: bool
) -> Uploaded:
    """Upload the chunks of a session, all or none of them: a wrong one would spoil it."""
    sources = session_sources(folder, session)
    for source in sources:
        if problem := _not_audio(printer, source, _IN_FOLDER, force=force):
            raise problem
    planned, numbers = plan_session(bucket, session, sources, force=force)
    for each in planned:
        if refusal := each.refusal():
            raise refusal
    metadata = announce(bucket, session, numbers)
    fields = metadata.model_dump(by_alias=True)
    printer.print_event("session", userId=session.user_id, sessionId=session.session_id, **fields)
    if lacking := missing(metadata, numbers):
        printer.print_note(
            f"Not here, nor in the bucket: chunk {format_spans(lacking)}. The transcript waits for "
            "it, or for the event that the session has ended (docs/transcripts.md)."
        )
    _, errors = _transfer(bucket, printer, planned)
    if errors:
        printer.print_note("The session is not complete: repeat the command.")
    return [Target(session)], errors


def _forget_failures(bucket: Bucket, planned: Iterable[Planned]) -> None:
    """Remove the failures of what is uploaded again as it was: the router heeds them."""
    for each in planned:
        if each.forget is not None:
            bucket.client.delete_object(Bucket=bucket.name, Key=each.forget)


#: Advice for files that do not look like audio.
_IF_AUDIO: Final = "If it is audio that this machine cannot read, --force uploads it."
_IN_FOLDER: Final = (
    "Nothing was uploaded: every file of the folder is a chunk of the session, so move this one "
    f"out of it. {_IF_AUDIO}"
)


def _not_audio(
    printer: Printer, source: Source, advice: str, *, force: bool
) -> UnreadableAudio | None:
    problem = not_audio(source)
    if problem is None:
        return None
    if force:
        printer.print_note(f"{problem}; it is uploaded all the same.")
        return None
    return UnreadableAudio(f"{problem}. {advice}")


def _transfer(
    bucket: Bucket, printer: Printer, planned: Sequence[Planned]
) -> tuple[list[Planned], list[ClientError]]:
    """Upload the planned files; return those in the bucket now, and the errors of the others."""
    todo = {each.item: each for each in planned if each.verdict is UploadVerdict.UPLOAD}
    done = [each for each in planned if each.verdict is UploadVerdict.SKIP]
    skipped, errors = len(done), list[ClientError]()
    for each in done:
        _print_file_event(printer, "skipped", each.source)
    _forget_failures(bucket, todo.values())
    size = sum(item.source.size for item in todo)
    with (
        UploadProgress(printer, size=size, files=len(todo)) as progress,
        closing(transfers(bucket, list(todo))) as events,
    ):
        try:
            for event in events:
                if isinstance(event, BytesSent):
                    progress.add_bytes(event.size)
                    continue
                progress.add_file()
                if event.error is not None:
                    errors.append(event.error)
                    printer.print_note(*event.error.lines)
                    continue
                done.append(todo[event.item])
                _print_file_event(printer, "uploaded", event.item.source)
                if todo[event.item].transcribed:
                    printer.print_note(
                        f"{event.item.source.key} keeps the transcript of what was there before."
                    )
        except KeyboardInterrupt:
            printer.print_note("What is not complete is being removed; Ctrl-C again leaves it.")
            raise
    if sent := [each for each in done if each.verdict is UploadVerdict.UPLOAD]:
        sizes = format_bytes(sum(each.source.size for each in sent))
        printer.print_note(f"{_count(len(sent))} uploaded, {sizes}.")
    if skipped:
        printer.print_note(f"{_count(skipped)} not sent again: the same is there already.")
    order = {each.source.key: place for place, each in enumerate(planned)}
    return sorted(done, key=lambda each: order[each.source.key]), errors


def _print_file_event(printer: Printer, kind: str, source: Source) -> None:
    printer.print_event(kind, file=str(source.path), key=source.key, size=source.size)


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"


def _print_keys(printer: Printer, targets: Sequence[Target]) -> None:
    for each in targets:
        of = each.of
        printer.print_result(of if isinstance(of, str) else f"{of.user_id}/{of.session_id}")


def _await(
    bucket: Bucket, printer: Printer, targets: Sequence[Target], wanted: TranscriptFormat | None
) -> list[ClientError]:
    """Wait for transcripts; return what went wrong instead."""
    errors: list[ClientError] = []
    for each in targets:
        seen = wait_for_result(bucket, printer, each)
        if wanted is None:
            print_status(printer, seen)
        try:
            require_transcript(seen)
            if wanted is not None:
                deliver_transcript(bucket, printer, each, seen, wanted=wanted)
        except ClientError as error:
            errors.append(error)
            if wanted is not None:
                printer.print_note(*error.lines)
    return errors
