"""`python -m transcribe_endpoint`: serve Amazon Transcribe streaming on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urlsplit

import uvloop
from botocore.exceptions import BotoCoreError

from speech.engines.embedded import choose_embedded
from speech.engines.errors import EngineError
from speech.engines.names import EmbeddedName
from speech.engines.registry import ENGINES, EngineSettings
from speech.transcribe_values import START_STREAM_TRANSCRIPTION
from transcribe_endpoint.errors import ServiceError
from transcribe_endpoint.faults import Fault, Faults, UnknownFault
from transcribe_endpoint.recognition.dictation import Dictation
from transcribe_endpoint.recognition.embedded import EngineRecogniser
from transcribe_endpoint.recognition.recogniser import Recogniser
from transcribe_endpoint.recognition.script import DEFAULT_SCRIPT, Script, ScriptError
from transcribe_endpoint.streams.session import (
    IDLE_SECONDS,
    MAX_STREAM_SECONDS,
    StreamQuota,
    TranscribeService,
)
from transcribe_endpoint.transports.certificates import HOST, certificates_in
from transcribe_endpoint.transports.http1 import serve_http1
from transcribe_endpoint.transports.http2 import serve_http2
from transcribe_endpoint.transports.websocket import serve_websocket
from transcribe_endpoint.vocabularies.operations import VocabularyOperations
from transcribe_endpoint.vocabularies.s3_files import s3_at
from transcribe_endpoint.vocabularies.store import PENDING_SECONDS, Vocabularies

EXIT_FAILURE = 1
#: The default key of this endpoint; it is valid nowhere else.
ACCESS_KEY = "AKIDLOCAL"
SECRET_KEY = "local-secret-key"  # noqa: S105 - printed at the start
#: Only this machine is served.
ADDRESS = "127.0.0.1"
#: The value of `--engine` for the best embedded engine that is installed.
BEST_EMBEDDED: Final = "embedded"
#: Values of `--engine` that choose an embedded engine by name.
EMBEDDED: Final[tuple[EmbeddedName, ...]] = get_args(EmbeddedName)


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    arguments = _parser().parse_args()
    try:
        # It takes a fifth less CPU per message than asyncio's loop.
        uvloop.run(_serve(arguments))
    except (OSError, ScriptError, EngineError, ServiceError, BotoCoreError) as error:
        print(f"The endpoint cannot start: {error}", file=sys.stderr)
        return EXIT_FAILURE
    return 0


async def _serve(arguments: argparse.Namespace) -> None:
    """Serve until a signal.

    Raises:
        OSError: a port is taken, or a file cannot be read or written.
        ScriptError: the file is no script.
        EngineError: the engine cannot be started.
        ServiceError: more vocabularies are declared than an account may have.
        BotoCoreError: AWS's settings, for S3, are wrong.
    """
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    fetch = s3_at(arguments.s3_endpoint) if arguments.s3_endpoint else None
    vocabularies = Vocabularies(pending_seconds=arguments.pending_seconds)
    for name in dict.fromkeys(arguments.vocabulary):
        vocabularies.vocabularies.declare(name)
    async with contextlib.AsyncExitStack() as stack:
        service = TranscribeService(
            recogniser=await _recogniser(arguments, stack),
            secrets=dict([arguments.key]),
            limits=StreamQuota(
                streams=arguments.max_streams, starts_per_second=arguments.starts_per_second
            ),
            faults=Faults(arguments.fault),
            vocabularies=vocabularies,
            idle_seconds=arguments.idle_seconds,
            max_seconds=arguments.max_seconds,
        )
        if arguments.no_tls:
            serving = serve_websocket(service, host=ADDRESS, port=arguments.port)
            port = await stack.enter_async_context(serving)
            operations = VocabularyOperations(vocabularies, fetch)
            calls = serve_http1(service, operations, host=ADDRESS, port=arguments.http2_port)
            calls_port = await stack.enter_async_context(calls)
            lines = [
                f"Serving ws://{ADDRESS}:{port} (WebSocket API)",
                f"        http://{ADDRESS}:{calls_port} (calls about vocabularies)",
            ]
        else:
            certificates = certificates_in(arguments.certificates.resolve())
            only_http1 = certificates.server_context(protocols=("http/1.1",))
            serving = serve_websocket(service, host=ADDRESS, port=arguments.port, tls=only_http1)
            port = await stack.enter_async_context(serving)
            serving_http2 = serve_http2(
                service,
                host=ADDRESS,
                port=arguments.http2_port,
                context=certificates.server_context(),
                fetch=fetch,
            )
            http2_port = await stack.enter_async_context(serving_http2)
            lines = [
                f"Serving wss://{HOST}:{port} (WebSocket API)",
                f"        https://{HOST}:{http2_port} (HTTP/2 API, calls about vocabularies)",
                f"  Python: SSL_CERT_FILE={certificates.bundle}",
                f"  Node:   NODE_EXTRA_CA_CERTS={certificates.authority}",
            ]
        access_key, secret_key = arguments.key
        lines.append(f"  keys:   AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key}")
        print("\n".join(lines), flush=True)
        await stop.wait()


async def _recogniser(
    arguments: argparse.Namespace, stack: contextlib.AsyncExitStack
) -> Recogniser:
    if arguments.engine == "dictation":
        return Dictation()
    if arguments.engine == "script":
        if arguments.script is not None:
            return Script.read(arguments.script)
        return Script.of_text(DEFAULT_SCRIPT)
    chosen: EmbeddedName = (
        choose_embedded() if arguments.engine == BEST_EMBEDDED else arguments.engine
    )
    slots = 2 * arguments.max_streams  # streams of two channels
    engine = ENGINES[chosen].create(EngineSettings(), slots)
    return await stack.enter_async_context(EngineRecogniser(engine))


# --- the command line ---------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m transcribe_endpoint",
        description="Serve Amazon Transcribe streaming on this machine, over WebSocket and HTTP/2.",
        epilog="The manual is docs/transcribe-endpoint.md.",
    )
    add = parser.add_argument
    add("--port", type=port_number, default=0, help="port of the WebSocket API; 0 picks one [0]")
    add(
        "--http2-port",
        type=port_number,
        default=0,
        help="port of the HTTP/2 API and of calls about vocabularies; 0 picks one [0]",
    )
    add(
        "--no-tls",
        action="store_true",
        help="serve the WebSocket API by ws:, calls about vocabularies by http:, no HTTP/2",
    )
    add(
        "--certificates",
        type=Path,
        default=Path(".local/transcribe"),
        metavar="DIR",
        help="folder for the certificates; clients trust its authority [.local/transcribe]",
    )
    add(
        "--engine",
        choices=["script", "dictation", BEST_EMBEDDED, *EMBEDDED],
        default="script",
        help="recogniser of the audio [script]",
    )
    add("--script", type=Path, metavar="FILE", help="words of the script: lines of text, or JSON")
    add(
        "--key",
        type=key_pair,
        default=(ACCESS_KEY, SECRET_KEY),
        metavar="ACCESS:SECRET",
        help=f"the key that clients sign with; never a real one [{ACCESS_KEY}:{SECRET_KEY}]",
    )
    add(
        "--max-streams",
        type=positive_count,
        default=25,
        metavar="N",
        help="most streams at once [25]",
    )
    add(
        "--starts-per-second",
        type=positive_count,
        default=25,
        metavar="N",
        help="most streams begun within a second [25]",
    )
    add(
        "--idle-seconds",
        type=positive_seconds,
        default=IDLE_SECONDS,
        metavar="S",
        help=f"time without audio after which a stream is ended, seconds [{IDLE_SECONDS:g}]",
    )
    add(
        "--max-seconds",
        type=positive_seconds,
        default=MAX_STREAM_SECONDS,
        metavar="S",
        help=f"longest audio of a stream, seconds [{MAX_STREAM_SECONDS:g}]",
    )
    add(
        "--vocabulary",
        type=vocabulary_name,
        action="append",
        default=[],
        metavar="NAME",
        help="a vocabulary that exists from the start; may be repeated",
    )
    add(
        "--pending-seconds",
        type=positive_seconds,
        default=PENDING_SECONDS,
        metavar="S",
        help=f"time that a vocabulary is PENDING after a change, seconds [{PENDING_SECONDS:g}]",
    )
    add(
        "--s3-endpoint",
        type=http_url,
        metavar="URL",
        help="a local S3 to read vocabulary files from; without one they are refused",
    )
    add(
        "--fault",
        type=fault,
        action="append",
        default=[],
        help="a fault to inject into every stream, such as refuse:429, limit, "
        "exception:InternalFailure@2.5, stall@2.5, disconnect@2.5x3, idle:3, "
        "one-stream-per-connection; may be repeated",
    )
    return parser


def port_number(text: str) -> int:
    """Parse a TCP port. argparse quotes the names of these functions in its messages."""
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise ValueError
    return port


def positive_count(text: str) -> int:
    """Parse a number of at least 1."""
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def positive_seconds(text: str) -> float:
    """Parse a number of seconds above zero."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError
    return seconds


def vocabulary_name(text: str) -> str:
    """Parse the name of a vocabulary."""
    if START_STREAM_TRANSCRIPTION.parameters["vocabulary-name"].violated(text):
        raise ValueError
    return text


def http_url(text: str) -> str:
    """Parse the URL of a server."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError
    return text


def key_pair(text: str) -> tuple[str, str]:
    """Parse an access key and its secret."""
    access, colon, secret = text.partition(":")
    if not (access and colon and secret):
        raise ValueError
    return access, secret


def fault(text: str) -> Fault:
    """Parse the name of a fault."""
    try:
        return Fault.parse(text)
    except UnknownFault as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
