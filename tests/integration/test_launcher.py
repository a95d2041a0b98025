"""`make demo` with everything real: what is printed, what survives, what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from client.live import Speaker, Viewer
from local_cloud import ROOT
from local_cloud.emulator.process import session
from local_cloud.emulator.program import lock
from local_cloud.launcher.demo import DIST, SAME_REQUEST_SECONDS
from tests.integration.test_transcribers import write
from tests.support.cloud import deployed
from tests.support.demo import free_port, is_open, launched, ready_demo, still_alive
from tests.support.eventually import eventually
from tests.support.recordings import flite, normalised, silence
from transcripts.protocol import ConnectParameters, Final, Snapshot, TranscribeParameters

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (DIST / "index.html").exists(),
        reason="the web page is not built (make setup)",
    ),
]

CHUNK = bytes(3_200)  # 100 ms at 16 kHz


async def speak(url: str, conversation: str) -> list[str]:
    """Speak for three seconds and return the utterances that were final."""
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id=conversation)
    async with Speaker(url, parameters) as talk:
        for _ in range(30):
            await talk.send(CHUNK)
        await talk.stop()
        return [m.utterance_id async for m in talk if isinstance(m, Final)]


async def stored(url: str, conversation: str) -> list[str]:
    """Return the utterances that a new viewer is shown."""
    parameters = ConnectParameters(conversation_id=conversation)
    async with asyncio.timeout(10), Viewer(url, parameters) as viewer:
        async for message in viewer:
            if isinstance(message, Snapshot):
                return [utterance.utterance_id for utterance in message.utterances]
    raise AssertionError("no snapshot came")


async def until_stored(url: str, conversation: str, spoken: list[str]) -> None:
    async def shown() -> bool:
        return sorted(await stored(url, conversation)) == sorted(spoken)

    await eventually(shown, "every final utterance is stored", every=0.2)


@pytest.mark.alone
async def test_it_prints_ready_serves_the_page_and_leaves_nothing_behind(tmp_path: Path) -> None:
    await deployed(tmp_path / "aws")
    began = time.monotonic()
    async with ready_demo(tmp_path) as demo:
        assert time.monotonic() - began < 10
        assert f"Ready: {demo.url}" in demo.printed
        await demo.until(f"named in {tmp_path / 'aws' / 'cdk' / 'outputs.json'}")
        async with aiohttp.ClientSession() as client:
            async with client.get(demo.url) as page:
                assert page.status == 200
                assert "<!doctype html>" in (await page.text()).lower()
            async with client.get(f"{demo.url}/api/stt/ready") as ready:
                assert ready.status == 200
        children = demo.children()
        assert len(children) >= 2

        assert await demo.end(signal.SIGINT) == 0
        assert still_alive(children, seconds=0) == []
        assert not is_open(demo.port)


@pytest.mark.alone
async def test_a_first_start_deploys_the_stacks_and_a_second_one_is_quick(tmp_path: Path) -> None:
    async with launched(tmp_path, deployed_before=False) as demo:
        await demo.until("Deploying the stacks")
        await demo.until("The stacks are deployed after", seconds=300)
        await demo.until("Ready: ")
        assert await demo.end(signal.SIGTERM) == 0
    began = time.monotonic()
    async with ready_demo(tmp_path) as demo:
        assert time.monotonic() - began < 10
        assert "Deploying" not in demo.output


async def test_an_interrupt_while_the_stacks_are_deployed_is_made_good_at_the_next_start(
    tmp_path: Path,
) -> None:
    async with launched(tmp_path, deployed_before=False) as demo:
        await demo.until("Deploying the stacks")
        children = demo.children()
        assert await demo.end(signal.SIGINT) == 0
        assert still_alive(children, seconds=0) == []
    async with launched(tmp_path, deployed_before=False) as demo:
        await demo.until("The last deployment was not finished")
        children = demo.children()
        assert await demo.end(signal.SIGKILL) == -signal.SIGKILL
        assert await asyncio.to_thread(still_alive, children, seconds=25) == []


async def test_utterances_survive_a_restart(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        spoken = await speak(demo.url, "standup")
        assert spoken
        # At once: what is not in the table yet gets there while it stops.
        assert await demo.end(signal.SIGTERM) == 0
    async with ready_demo(tmp_path) as demo:
        assert sorted(await stored(demo.url, "standup")) == sorted(spoken)


def aws_of(folder: Path) -> dict[str, str]:
    """Return what a shell knows after it has read the demo's settings, as its user does."""
    read = subprocess.run(
        ["/bin/sh", "-c", f". {folder / 'aws.env'} && env"],
        env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "work", "AWS_ENDPOINT_URL_S3": "http://no"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(line.split("=", 1) for line in read.splitlines() if "=" in line)


@dataclass(frozen=True, slots=True)
class Home:
    """The demo's bucket of recordings, as a user's shell finds it."""

    s3: Any
    bucket: str

    @classmethod
    def of(cls, folder: Path) -> Home:
        known = aws_of(folder)
        s3 = session().client("s3", endpoint_url=known["AWS_ENDPOINT_URL"])
        return cls(s3, known["RECORDINGS_BUCKET"])

    def upload(self, name: str, sound: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"uploads/{name}", Body=sound)

    async def text(self, name: str) -> str:
        """Return the text of a recording, once it is transcribed."""

        def stored_text() -> str | None:
            with suppress(self.s3.exceptions.NoSuchKey):
                key = f"transcripts/uploads/{name}.txt"
                return str(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode())
            return None

        return await eventually(stored_text, f"{name} is transcribed", within=90, every=0.2) or ""


async def test_an_uploaded_recording_is_transcribed_also_after_the_transcriber_has_died(
    tmp_path: Path,
) -> None:
    sound = write(tmp_path / "it", flite("hello world")).read_bytes()
    data = tmp_path / "demo"
    data.mkdir()
    of_other_things = {"language": "en_US:en", "slots": 2, "auth_token": "mine", "gpu_url": "mine"}
    async with ready_demo(data, **of_other_things) as demo:
        await demo.until(f". {data / 'aws.env'} && .venv/bin/python -m client upload FILE")
        home = Home.of(data)
        home.upload("first.wav", sound)
        at_once = await home.text("first.wav")
        secret = demo.child("gpu_server").environ()["AUTH_TOKEN"]
        commands = [process.cmdline() for process in demo.children()]
        mode = (data / "aws.env").stat().st_mode & 0o777

        demo.child("gpu_server").kill()
        home.upload("second.wav", sound)
        later = await home.text("second.wav")
        await demo.until("The transcriber runs again")
        children = demo.children()
        assert await demo.end(signal.SIGINT) == 0

    assert "hello world" in normalised(at_once)
    assert "hello world" in normalised(later)
    assert mode == 0o600
    assert not (data / "aws.env").exists()
    assert list((data / "transcriber").iterdir()) == []
    assert still_alive(children, seconds=0) == []
    for kept in (demo.output, str(commands), *texts(data)):
        assert secret not in kept


async def test_what_is_uploaded_in_the_last_moment_is_transcribed_after_the_next_start(
    tmp_path: Path,
) -> None:
    # Too long to be finished while the demo ends.
    long = flite("ask not what your country can do for you. " * 15)
    sound = write(tmp_path / "it", long).read_bytes()
    data = tmp_path / "demo"
    data.mkdir()
    async with ready_demo(data) as demo:
        Home.of(data).upload("long.wav", sound)
        await demo.end(signal.SIGTERM)
    async with ready_demo(data):
        assert "country can do" in await Home.of(data).text("long.wav")


async def test_a_killed_launcher_leaves_no_process_no_port_and_no_lock(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        children = demo.children()
        assert await demo.end(signal.SIGKILL) == -signal.SIGKILL
        alive = await asyncio.to_thread(still_alive, children, seconds=25)
        assert alive == []
    async with ready_demo(tmp_path, port=demo.port) as again:
        assert f"Ready: {again.url}" in again.printed


async def test_what_a_killed_launcher_has_left_may_end_before_the_next_begins(
    tmp_path: Path,
) -> None:
    await deployed(tmp_path / "aws")
    with ExitStack() as stack:
        stack.enter_context(lock(tmp_path / "aws"))  # as an emulator has until it has ended
        async with launched(tmp_path) as demo:
            await demo.until("The one of the last run is still ending")
            stack.close()
            await demo.until("Ready: ")


async def test_what_could_not_be_saved_is_not_called_kept(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        state = tmp_path / "aws" / "services"
        state.rename(tmp_path / "aws" / "gone")
        state.write_text("no folder")

        await demo.end(signal.SIGTERM)

        await demo.until("The AWS emulator could not save what came last. Its log: ")
        await demo.until("Stopped.")
        assert "The data are kept" not in demo.output


async def test_a_service_or_emulator_that_dies_is_started_again(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        spoken = await speak(demo.url, "standup")
        await until_stored(demo.url, "standup", spoken)
        await asyncio.sleep(2.5)  # the emulator saves its state every two seconds

        demo.child("ecs_service").kill()
        await demo.until("The service ended by SIGKILL; it is started again in 0.5 s")
        await demo.until("The service runs again")
        demo.child("program.py").kill()
        await demo.until("The AWS emulator ended by SIGKILL")
        await demo.until("The AWS emulator runs again")

        assert sorted(await stored(demo.url, "standup")) == sorted(spoken)


@pytest.mark.alone
async def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        children = demo.children()
        demo.child("ecs_service").suspend()
        demo.process.send_signal(signal.SIGINT)
        await demo.until("Stopping")
        await asyncio.sleep(2 * SAME_REQUEST_SECONDS)
        began = time.monotonic()
        assert await demo.end(signal.SIGINT) == 130
        assert time.monotonic() - began < 3
        assert await asyncio.to_thread(still_alive, children, seconds=5) == []


async def test_one_wish_that_arrives_as_two_signals_is_no_reason_to_hurry(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        assert await demo.end(signal.SIGTERM, signal.SIGTERM) == 0
        await demo.until("Stopped. The data are kept.")


async def test_an_interrupt_before_anything_is_started_leaves_no_stack_trace(
    tmp_path: Path,
) -> None:
    settings = {"deployed_before": False, "pythonprofileimporttime": 1}
    async with launched(tmp_path, **settings) as demo:
        await demo.until("asyncio")  # it imports what it needs
        status = await demo.end(signal.SIGINT)
    assert demo.printed[-1].startswith("Stopped")
    assert status in (0, 130)  # the other, where it has already begun
    assert "Traceback" not in demo.output


@pytest.mark.parametrize("part", ["AWS emulator", "service"])
async def test_an_interrupt_while_it_starts_ends_it_as_well(tmp_path: Path, part: str) -> None:
    async with launched(tmp_path) as demo:
        await demo.until(f"Starting the {part}")
        children = demo.children()
        assert await demo.end(signal.SIGINT) == 0
        assert still_alive(children, seconds=0) == []
    assert ("last words" in demo.output) == (part == "service")


async def test_a_second_copy_prints_where_the_first_one_is(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as first, launched(tmp_path) as second:
        assert await second.process.wait() == 1
        await second.until(f"(process {first.process.pid}, {first.url})")
        assert "Traceback" not in second.output


async def test_a_port_that_is_taken_is_named_with_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with launched(tmp_path, port=port) as demo:
            assert await demo.process.wait() == 1
            await demo.until(f"Port {port} is taken by ")
            if sys.platform == "linux":
                assert f"(process {os.getpid()})" in demo.output
            assert re.search("PORT=8[0-9]+ make demo", demo.output)
            assert len(demo.printed) == 1
    assert not (tmp_path / "demo.lock").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"engine": "whisper"},
            "ENGINE=whisper: the engines are moonshine, pocketsphinx, scripted",
        ),
        ({"slots": "many"}, "SLOTS=many: it should be a valid integer"),
        ({"scripted": "{"}, "SCRIPTED={: this is not JSON."),
    ],
)
async def test_a_wrong_setting_is_refused_before_anything_starts(
    tmp_path: Path, settings: dict[str, str], sentence: str
) -> None:
    async with launched(tmp_path, deployed_before=False, **settings) as demo:
        assert await demo.end() == 2
        await demo.until(sentence)
        assert len(demo.printed) == 1
        assert texts(tmp_path) == []


async def test_a_shell_from_before_a_restart_finds_the_same_aws(tmp_path: Path) -> None:
    async with ready_demo(tmp_path) as demo:
        before = aws_of(tmp_path)
        await demo.end(signal.SIGTERM)
    async with ready_demo(tmp_path) as demo:
        # The page's port is another one, chosen by the test.
        ours = {"CLOUDSCRIBE_URL": before["CLOUDSCRIBE_URL"]}
        assert aws_of(tmp_path) | ours == before
        await demo.end(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", int(before["AWS_ENDPOINT_URL"].rpartition(":")[2]))):
        async with ready_demo(tmp_path) as demo:
            await demo.until("Its port of the last time")
            assert aws_of(tmp_path)["AWS_ENDPOINT_URL"] != before["AWS_ENDPOINT_URL"]


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with launched(tmp_path / "file" / "data") as demo:
        assert await demo.process.wait() == 2
        await demo.until("The data cannot be kept in")
        assert "Traceback" not in demo.output


async def test_the_lock_names_the_address_of_the_demo_only_while_it_runs(tmp_path: Path) -> None:
    port = free_port()
    async with ready_demo(tmp_path, port=port) as demo:
        known = json.loads((tmp_path / "demo.lock").read_text())
        assert known == {"pid": demo.process.pid, "url": f"http://127.0.0.1:{port}"}
        await demo.end(signal.SIGTERM)
    assert (tmp_path / "demo.lock").read_text() == ""


async def test_with_transcribe_as_engine_it_brings_a_transcribe_of_its_own(tmp_path: Path) -> None:
    speech = flite("hello world") + silence(1.0)
    async with ready_demo(tmp_path, engine="transcribe") as demo:
        parameters = TranscribeParameters(sample_rate=16_000, conversation_id="talk")
        async with Speaker(demo.url, parameters) as talk:
            for offset in range(0, len(speech), 3_200):
                await talk.send(speech[offset : offset + 3_200])
            await talk.stop()
            spoken = [message.text async for message in talk if isinstance(message, Final)]
        served = (tmp_path / "logs" / "transcribe.log").read_text()
        announced = demo.printed[0]

    assert announced.startswith("Amazon Transcribe: a local one, for there are no AWS credentials")
    assert "hello world" in normalised(" ".join(spoken))
    assert "Serving ws://127.0.0.1:" in served


async def test_a_shell_that_uses_the_demo_puts_vocabularies_into_its_transcribe(
    tmp_path: Path,
) -> None:
    table = tmp_path / "names.txt"
    table.write_text("Phrase\tDisplayAs\nLos-Angeles\tLos Angeles\n")
    data = tmp_path / "data"
    put = f"{sys.executable} -m client vocabulary put names {table} --language en-US"
    async with ready_demo(data, engine="transcribe"):
        shell = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f". {data / 'aws.env'} && {put}"), cwd=ROOT, stdout=PIPE
        )
        printed, _ = await asyncio.wait_for(shell.communicate(), 60)

    assert shell.returncode == 0
    assert printed.startswith(b"names: READY, en-US")


@asynccontextmanager
async def aws_of_somebody(key: str, secret: str) -> AsyncIterator[str]:
    """Run an Amazon Transcribe that knows this key alone; yield its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "transcribe_endpoint", "--no-tls", "--key", f"{key}:{secret}"),
        cwd=ROOT,
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        serving = await asyncio.wait_for(process.stdout.readline(), 30)
        yield serving.decode().split()[1]
    finally:
        process.terminate()
        await process.communicate()


async def test_with_credentials_of_ones_own_speech_goes_there_and_finals_stay_here(
    tmp_path: Path,
) -> None:
    key, secret, token = "ASIAEXAMPLEEXAMPLE00", "a-secret-of-ones-own", "a-token-of-ones-own"
    data, config = tmp_path / "demo", tmp_path / "config"
    data.mkdir()
    config.write_text(
        f"[profile work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
        f"aws_session_token = {token}\nregion = eu-central-1\n"
        "endpoint_url = https://aws.invalid\nignore_configured_endpoint_urls = true\n"
    )
    async with (
        aws_of_somebody(key, secret) as endpoint,
        ready_demo(
            data,
            engine="transcribe",
            transcribe_endpoint=endpoint,
            aws_profile="work",
            aws_config_file=config,
        ) as demo,
    ):
        spoken = await speak(demo.url, "talk")
        assert spoken
        await until_stored(demo.url, "talk", spoken)

        emulators = demo.child("program.py").environ()
        commands = [process.cmdline() for process in demo.children()]
        await demo.end(signal.SIGTERM)

    assert 'with the credentials of the profile "work"' in demo.printed[0]
    assert not [name for name in emulators if name.startswith("AWS_")]
    for kept in (demo.output, str(commands), *texts(data)):
        assert key not in kept
        assert secret not in kept
        assert token not in kept


def texts(folder: Path) -> list[str]:
    return [file.read_bytes().decode("latin-1") for file in folder.rglob("*") if file.is_file()]


async def test_aws_itself_without_a_region_is_not_even_begun(tmp_path: Path) -> None:
    key = {"aws_access_key_id": "AKIAEXAMPLEEXAMPLE00", "aws_secret_access_key": "secret"}
    async with launched(tmp_path, engine="transcribe", **key) as demo:
        assert await demo.process.wait() == 2
        await demo.until("Amazon Transcribe needs a region: TRANSCRIBE_REGION=")
        assert len(demo.printed) == 1
