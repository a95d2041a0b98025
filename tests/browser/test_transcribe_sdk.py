"""Amazon's SDK for JavaScript in Chromium, which speaks WebSocket to the local endpoint."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.browser import chromium
from tests.support.eventually import eventually
from tests.support.transcribe_js import HERE, SCRIPT, WHOLE, Sdk, installed, transcribe
from transcribe_endpoint.streams.session import TranscribeService
from transcribe_endpoint.transports.certificates import Certificates, certificates_in
from transcribe_endpoint.transports.websocket import serve_websocket

pytestmark = pytest.mark.browser

VITE = Path(__file__).parents[2] / "node_modules" / ".bin" / "vite"
SESSION = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    """Skip where something is missing; unlike other tests here, these need no page."""
    installed()
    if not VITE.is_file():
        pytest.skip("the packages of the web page are not set up: make browser")
    if shutil.which("chromium") is None:
        pytest.skip("not installed: sudo apt-get install chromium")


@pytest.fixture(scope="module")
def service() -> TranscribeService:
    return transcribe()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK's build for browsers, in one file."""
    folder = tmp_path_factory.mktemp("bundle")
    process = await asyncio.create_subprocess_exec(
        VITE, "build", "--logLevel", "error", "--outDir", folder, cwd=HERE
    )
    assert await process.wait() == 0
    return folder / "sdk.js"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(
    service: TranscribeService, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sdk]:
    certificates = certificates_in(tmp_path_factory.mktemp("certificates"))
    only_http1 = certificates.server_context(protocols=("http/1.1",))
    async with (
        serve_websocket(service, tls=only_http1) as port,
        _empty_page() as url,
        chromium(
            flags=(
                # The SDK knows no other port than 8443.
                f"--host-resolver-rules=MAP localhost:8443 127.0.0.1:{port}",
                f"--ignore-certificate-errors-spki-list={_public_key(certificates)}",
            )
        ) as browser,
    ):
        page = await browser.new_page()
        await page.goto(url)
        await page.add_script_tag(path=bundle)

        async def run(wanted: dict[str, Any]) -> dict[str, Any]:
            outcome: dict[str, Any] = await page.evaluate("sdk.stream", wanted)
            return outcome

        yield Sdk("https://localhost", run)


@contextlib.asynccontextmanager
async def _empty_page() -> AsyncIterator[str]:
    """Serve a page from this machine, for Chromium lets no others connect to it."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _public_key(certificates: Certificates) -> str:
    """Return the digest of the server's key, as Chromium wants it."""
    certificate = x509.load_pem_x509_certificate(certificates.server.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


async def test_partials_then_finals_then_the_end(sdk: Sdk) -> None:
    outcome = await sdk.stream(seconds=WHOLE, end="event")

    assert outcome.error is None
    assert outcome.finals == SCRIPT
    assert outcome.texts[:3] == ["One", "One two", SCRIPT[0]]


async def test_the_last_final_comes_if_the_app_ends_the_audio_itself(sdk: Sdk) -> None:
    """And not the SDK, which closes the socket at once and receives nothing more."""
    by_the_app = await sdk.stream(end="event")
    by_the_sdk = await sdk.stream(end="sdk")

    assert by_the_app.finals == ["One two"]
    assert (by_the_sdk.error, by_the_sdk.texts[:2]) == (None, ["One", "One two"])


async def test_temporary_keys_are_taken(sdk: Sdk) -> None:
    outcome = await sdk.stream(token="a-token", end="event")  # noqa: S106 - made up

    assert outcome.finals == ["One two"]


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"LanguageCode": "xx-XX"}, "BadRequestException", "languageCode"),
        ({"fault": "limit"}, "LimitExceededException", "as a fault"),
        ({"fault": "exception-ServiceUnavailable-0"}, "ServiceUnavailableException", "as a fault"),
        ({"secret": "another"}, "InvalidSignatureException", "does not match"),
    ],
)
async def test_an_exception_at_the_start(
    sdk: Sdk, wanted: dict[str, Any], error: str, message: str
) -> None:
    outcome = await sdk.stream(**wanted)

    assert (outcome.error, outcome.results) == (error, [])
    assert message in (outcome.message or "")


@pytest.mark.parametrize(
    "error", ["BadRequest", "Conflict", "LimitExceeded", "InternalFailure", "ServiceUnavailable"]
)
async def test_an_exception_in_mid_stream_follows_the_results_before_it(
    sdk: Sdk, error: str
) -> None:
    outcome = await sdk.stream(fault=f"exception-{error}-0.5")

    assert outcome.texts == ["One"]
    assert outcome.error == f"{error}Exception"
    assert outcome.message == "This was asked for, as a fault."


async def test_a_second_stream_of_the_session_ends_the_first(
    sdk: Sdk, service: TranscribeService
) -> None:
    first = asyncio.create_task(sdk.stream(end="never", SessionId=SESSION))
    await eventually(lambda: service.limits.open_streams, "the first stream is open")
    second = await sdk.stream(end="event", SessionId=SESSION)

    assert (await first).error == "ConflictException"
    assert second.finals == ["One two"]


async def test_a_client_that_falls_silent_gets_an_exception(sdk: Sdk) -> None:
    outcome = await sdk.stream(fault="idle-0.3", seconds=0.1, end="never")

    assert outcome.error == "BadRequestException"
    assert "no new audio was received for 0.3 seconds" in (outcome.message or "")


async def test_a_lost_connection_is_an_end_like_any_other_to_the_sdk(sdk: Sdk) -> None:
    """Only a missing final shows it."""
    outcome = await sdk.stream(fault="disconnect-0.5", end="event")

    assert (outcome.error, outcome.texts, outcome.finals) == (None, ["One"], [])


async def test_an_upgrade_refused_by_a_status_is_an_error_without_a_name(sdk: Sdk) -> None:
    """So the service reports errors after the upgrade."""
    outcome = await sdk.stream(fault="refuse-429")

    assert (outcome.error, outcome.status, outcome.results) == ("Error", 500, [])
