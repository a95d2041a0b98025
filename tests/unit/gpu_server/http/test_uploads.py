"""Forms, as they come in pieces."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_server.http.transfers import Transfers
from gpu_server.http.uploads import receive_form
from gpu_server.problems import InvalidRequest, NoSpace, Unprocessable, UploadStalled
from gpu_server.work.spool import Spool

pytestmark = pytest.mark.unit

HEADERS = {"content-type": "multipart/form-data; boundary=frontier"}


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b'--frontier\r\nContent-Disposition: form-data; name="'
        + name.encode()
        + b'"; filename="f"\r\n\r\n'
        + value
        + b"\r\n"
        for name, value in parts
    )
    return body + b"--frontier--\r\n"


async def arriving(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def transfers(*, patience: float = 5, longest: float = 60, max_bytes: int = 10**9) -> Transfers:
    return Transfers(limit=1, max_bytes=max_bytes, rate=1000, patience=patience, longest=longest)


async def received(
    folder: Path, pieces: Iterable[bytes], headers: dict[str, str] | None = None
) -> tuple[bytes, dict[str, str]]:
    with (
        Spool(folder, max_bytes=1000) as spool,
        spool.create_file() as file,
        transfers().admit("") as transfer,
    ):
        fields = await receive_form(HEADERS | (headers or {}), arriving(pieces), file, transfer)
        return file.path.read_bytes(), fields


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(recording=st.binary(max_size=300), size=st.integers(1, 50))
async def test_a_recording_comes_out_as_it_went_in_however_it_is_cut(
    tmp_path: Path, recording: bytes, size: int
) -> None:
    body = form(("language", b"en-US"), ("file", recording), ("diarize", b"true"))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    content, fields = await received(tmp_path, pieces)

    assert content == recording
    assert fields == {"language": "en-US", "diarize": "true"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        form(("language", b"en")),
        form(("file", b"one"), ("file", b"two")),
        form(("file", b"cut off"))[:-20],
        form(("language", b"\xff\xfe"), ("file", b"x")),
        form(("language", bytes(20_000)), ("file", b"x")),
        form(("file", b"x"), *((f"unknown-{number}", b"") for number in range(50))),
        b"--frontier\r\n" + b"X: " + bytes(20_000) + b"\r\n\r\n",
    ],
)
async def test_what_is_no_form_with_one_recording_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await received(tmp_path, [body])


async def test_another_kind_of_body_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        await received(tmp_path, [b"{}"], {"content-type": "application/json"})


async def test_a_recording_that_is_too_large_is_refused_while_it_comes(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield form(("file", b"x")).partition(b"x\r\n")[0]
        for _ in range(100):
            yield bytes(100_000)

    with (
        Spool(tmp_path, max_bytes=3_000_000) as spool,
        spool.create_file() as file,
        transfers().admit("") as transfer,
        pytest.raises(Unprocessable) as caught,
    ):
        await receive_form(HEADERS, endless(), file, transfer)

    assert caught.value.code == "too_large"
    assert file.size <= 3_000_000


async def test_an_announced_size_is_refused_before_anything_comes(tmp_path: Path) -> None:
    with pytest.raises(Unprocessable):
        await received(tmp_path, [], {"content-length": "9000000"})


async def test_what_comes_after_the_end_is_refused_but_for_a_line_break(tmp_path: Path) -> None:
    whole = form(("file", b"x"))

    assert (await received(tmp_path, [whole, b"\r\n"]))[0] == b"x"
    with pytest.raises(InvalidRequest):
        await received(tmp_path, [whole, *[bytes(500)] * 10])


async def drips(every: float, size: int) -> AsyncIterator[bytes]:
    yield form(("file", b"x")).partition(b"x\r\n")[0]
    while True:
        await asyncio.sleep(every)
        yield bytes(size)


@pytest.mark.parametrize(
    ("drop", "patience", "longest", "cause"),
    [(1, 0.1, 60, "less than 1000 bytes per second"), (1000, 60, 0.05, "more than 0.05 seconds")],
)
async def test_an_upload_that_is_too_slow_or_never_ends_is_given_up(
    tmp_path: Path, drop: int, patience: float, longest: float, cause: str
) -> None:
    bounds = transfers(patience=patience, longest=longest)
    with (
        Spool(tmp_path, max_bytes=10**9) as spool,
        spool.create_file() as file,
        bounds.admit("") as transfer,
        pytest.raises(UploadStalled, match=cause),
    ):
        await receive_form(HEADERS, drips(0.005, drop), file, transfer)


async def test_what_uploads_may_have_on_the_disk_is_all_they_get(tmp_path: Path) -> None:
    bounds = transfers(max_bytes=5000)
    with Spool(tmp_path, max_bytes=10**9) as spool, spool.create_file() as file:
        with pytest.raises(NoSpace), bounds.admit("") as transfer:
            await receive_form(HEADERS, drips(0, 100), file, transfer)
        with pytest.raises(NoSpace), bounds.admit("") as transfer:
            await receive_form(HEADERS | {"content-length": "5001"}, arriving([]), file, transfer)

    assert (bounds.running, bounds.held) == (0, 0)


def test_a_disk_without_room_for_another_file_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Spool(tmp_path, max_bytes=1000) as spool:
        monkeypatch.setattr(tempfile, "mkstemp", full)
        with pytest.raises(NoSpace), spool.create_file():
            pass
