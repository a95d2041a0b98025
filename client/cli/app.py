"""The command line: `stream`, `watch`, `mic` and `languages`; other commands are imported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from client.audio_files import read_header
from client.cli import accounts, site_recordings, vocabularies
from client.cli.captions import CaptionPrinter
from client.cli.conversation import transcript
from client.cli.interrupts import cancel_this_task, on_interrupt
from client.cli.options import EPILOG
from client.cli.printing import Printer
from client.cli.running import EXIT_CODES, asyncio_command
from client.cli.speaking import AudioSource, parse_link, speak
from client.cli.transcripts import fetch, status
from client.cli.upload import upload
from client.errors import ClientError, ExitCode, UsageError
from client.live.audio import microphones, open_microphone, read_file
from client.live.endpoints import (
    DEFAULT_URL,
    URL_VARIABLE,
    connect_parameters,
    engine_options,
    transcribe_parameters,
)
from client.live.following import Gap, News, follow
from client.live.languages import ask_for_languages
from client.live.recording import Pace
from client.live.translating import CaptionLine, Held, translated
from speech.pcm import SAMPLE_RATE, PcmFormat
from transcripts.protocol import Snapshot

app = typer.Typer(
    name="python -m client",
    help="Stream audio into conversations of a Cloudscribe service, watch them, and read what was "
    "stored; upload recordings and fetch transcripts; manage vocabularies of Amazon Transcribe.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="URL of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print messages as JSON, one a line.")]
Interim = Annotated[
    bool, typer.Option("--interim-results", help="Print partials too, not only finals.")
]
Conversation = Annotated[
    str | None, typer.Option(help="Conversation to stream into; default: a new one.")
]
LinkUrl = Annotated[
    str | None,
    typer.Option(
        "--link",
        envvar="CLOUDSCRIBE_LINK",
        help="A share link, in place of URL and conversation.",
    ),
]
SpeakerName = Annotated[str | None, typer.Option("--speaker", help="Name that viewers see.")]
LanguageTag = Annotated[
    str | None, typer.Option(help="Language that is spoken, as a BCP 47 tag such as en-US.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="An option of the engine, under the engine's own name; may be repeated.",
    ),
]


@app.command(epilog=EXIT_CODES)
@asyncio_command
async def stream(
    file: Annotated[
        Path, typer.Argument(help="A recording of any format that FFmpeg reads.", readable=False)
    ],
    *,
    url: Url = DEFAULT_URL,
    conversation: Conversation = None,
    speaker: SpeakerName = None,
    language: LanguageTag = None,
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time/--fast",
            help="Send at the speed of speech, or as fast as the service accepts it.",
        ),
    ] = True,
    sample_rate: Annotated[int, typer.Option(help="Sample rate to send, Hz.")] = SAMPLE_RATE,
    channels: Annotated[int, typer.Option(min=1, max=2, help="Channels to send.")] = 1,
    link: LinkUrl = None,
    separate_channels: Annotated[
        bool,
        typer.Option(
            "--separate-channels",
            help="Recognise the two channels of a stereo recording separately.",
        ),
    ] = False,
    option: Options = None,
    interim_results: Interim = False,
    as_json: Json = False,
) -> ExitCode:
    """Stream a recording; print its finals.

    Connects again when the connection breaks, and gives up after ten minutes without one.

    Ctrl-C ends the audio and waits briefly for the last words; a second one exits at once.
    """
    sent = 2 if separate_channels else channels
    parameters = transcribe_parameters(
        sample_rate=sample_rate,
        channels=sent,
        channel_mode="separate" if separate_channels else None,
        conversation_id=conversation,
        speaker=speaker,
        language=language,
        options=engine_options(option or ()),
    )
    info = await asyncio.to_thread(read_header, file)
    if separate_channels and info.channels != sent:
        raise UsageError(
            f"{file}: --separate-channels is for recordings of two channels, and this one "
            f"has {info.channels}"
        )
    source = AudioSource(
        read_file(file, PcmFormat(sample_rate, sent)),
        Pace.REAL_TIME if real_time else Pace.FAST,
        duration=info.duration,
    )
    return await speak(
        url,
        parameters,
        source,
        link=link,
        title=file.stem,
        printer=Printer(as_json=as_json),
        interim_results=interim_results,
    )


@app.command(epilog=EXIT_CODES)
@asyncio_command
async def mic(
    *,
    url: Url = DEFAULT_URL,
    conversation: Conversation = None,
    speaker: SpeakerName = None,
    language: LanguageTag = None,
    link: LinkUrl = None,
    device: Annotated[
        str | None, typer.Option(help="Number of the microphone, or a part of its name.")
    ] = None,
    list_devices: Annotated[
        bool, typer.Option("--list-devices", help="List the microphones and exit.")
    ] = False,
    option: Options = None,
    interim_results: Interim = False,
    as_json: Json = False,
) -> ExitCode:
    """Stream a microphone until Ctrl-C; print the finals.

    Connects again when the connection breaks, and gives up after ten minutes without one.
    """
    printer = Printer(as_json=as_json and not list_devices)
    if list_devices:
        for line in microphones():
            printer.print_result(line)
        return ExitCode.OK
    microphone = open_microphone(device)
    parameters = transcribe_parameters(
        sample_rate=microphone.format.sample_rate,
        channels=microphone.format.channels,
        conversation_id=conversation,
        speaker=speaker,
        language=language,
        options=engine_options(option or ()),
    )
    try:
        return await speak(
            url,
            parameters,
            AudioSource(microphone.record(), Pace.LIVE, microphone=microphone),
            link=link,
            title="Microphone",
            printer=printer,
            interim_results=interim_results,
        )
    finally:
        if microphone.dropped_frames:
            printer.print_note(
                f"{microphone.dropped_frames} frames were dropped: this machine or the service did "
                "not keep up."
            )


@app.command(epilog=EXIT_CODES)
@asyncio_command
async def watch(
    conversation: Annotated[
        str | None, typer.Argument(help="The conversation to follow; with --link none.")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    link: LinkUrl = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language to read, as a BCP 47 tag such as fr; others are translated into it. "
            "The command `languages` lists those that the service offers."
        ),
    ] = None,
    interim_results: Interim = False,
    as_json: Json = False,
) -> ExitCode:
    """Print the captions of a conversation until Ctrl-C.

    Begins with the last two minutes. Connects again, and prints what was missed, each final once.
    """
    printer = Printer(as_json=as_json)
    captions = CaptionPrinter(printer, interim_results=interim_results)

    def announce_retry(error: ClientError, delay: float) -> None:
        printer.print_note(f"{error}; connecting again in {delay:.1f} s")

    shared = parse_link(link, conversation)
    wanted = conversation if shared is None else shared.conversation_id
    if wanted is None:
        raise UsageError("give the conversation to follow, or --link")
    parameters = connect_parameters(wanted, language=language)
    _, tickets = await accounts.find_tickets(url, wanted, "read", shared, "")
    news = follow(
        url if shared is None else shared.base,
        parameters,
        ticket=tickets,
        on_retry=announce_retry,
        on_connected=lambda snapshot: printer.print_note(_connected(snapshot)),
    )
    with on_interrupt(cancel_this_task()):
        async with aclosing(news):
            if language is None or as_json:
                async for each in news:
                    captions.print_news(each)
            else:
                await _print_translated(printer, captions, news, Held(language))
    return ExitCode.OK


def _connected(snapshot: Snapshot) -> str:
    """Return the line that is printed first on a new connection."""
    connected = f"Connected to {snapshot.conversation_id}"
    if not snapshot.complete:
        return f"{connected}; what was said before cannot be read at the moment."
    if not snapshot.utterances:
        return f"{connected}; nobody has spoken in the last two minutes. Ctrl-C ends."
    return f"{connected}. Ctrl-C ends."


async def _print_translated(
    printer: Printer, captions: CaptionPrinter, news: AsyncGenerator[News, None], held: Held
) -> None:
    """Print captions with their translations.

    Raises:
        ClientError: see `client.errors`.
    """
    lines = translated(news, held)
    try:
        async with aclosing(lines):
            async for line in lines:
                if isinstance(line, CaptionLine):
                    captions.print_line(line)
                elif isinstance(line, Gap):
                    captions.print_news(line)
                elif line.state == "failing":
                    printer.print_note(
                        "Some translations are missing; there the original is printed."
                    )
                else:
                    printer.print_note("Translations come again.")
    except (ClientError, asyncio.CancelledError):
        # Finals that still wait for a translation are printed untranslated.
        for line in held.rest():
            captions.print_line(line)
        raise


@app.command(epilog=EXIT_CODES)
@asyncio_command
async def languages(
    *,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
) -> ExitCode:
    """Print what the service recognises, by which engine, and what it translates into."""
    printer = Printer(as_json=as_json)
    offer = await ask_for_languages(url)
    if as_json:
        printer.print_json(offer.model_dump_json(by_alias=True))
    if offer.engine is not None:
        note = f" ({offer.note})" if offer.note else ""
        printer.print_result(f"Engine: {offer.engine}{note}")
    if offer.capabilities is not None:
        printer.print_result(f"It gives: {offer.capabilities.describe()}")
    printer.print_result(f"Recognised: {', '.join(offer.recognition) or 'any'}")
    translation = ", ".join(offer.translation) or "nothing, for there is no translator"
    by = f" ({offer.by})" if offer.translator else ""
    printer.print_result(f"Translated into: {translation}{by}")
    return ExitCode.OK


for ask in (accounts.login, accounts.logout, accounts.whoami, site_recordings.recordings):
    app.command(epilog=EXIT_CODES)(asyncio_command(ask))
app.add_typer(accounts.conversations, name="conversations")
app.add_typer(accounts.share, name="share")
app.add_typer(accounts.keys, name="keys")
app.add_typer(accounts.people, name="people")
for command in (upload, status, fetch, transcript):
    app.command(epilog=EPILOG)(command)
app.add_typer(vocabularies.app, name="vocabulary")
