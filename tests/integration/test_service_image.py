"""The service's image, built and started as the cloud will start it."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from client.live.connection import Message, Speaker
from tests.support.cloud import Cloud
from tests.support.containers import Container, running_container
from tests.support.eventually import eventually
from tests.support.image_builds import Buildah, CannotBuild, Docker, build_image, find_builder
from tests.support.recordings import flite, silence, word_error_rate
from tests.support.utterances import conversation
from transcripts.models import Utterance
from transcripts.protocol import Closed, Final, Partial, TranscribeParameters

pytestmark = pytest.mark.integration

SENTENCE = "the weather is very nice today and we are going to walk along the river"
CHUNK = 3_200
DRAIN_SECONDS = 20


@pytest.fixture(scope="module")
def maker() -> Docker | Buildah:
    try:
        found = find_builder()
    except CannotBuild as reason:
        pytest.skip(str(reason))
    if isinstance(found, Buildah) and not all(map(shutil.which, ("unshare", "nsenter", "setpriv"))):
        pytest.skip("util-linux is missing: apt-get install util-linux")
    return found


@pytest.fixture(scope="module")
def image(maker: Docker | Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_image(maker, tmp_path_factory.mktemp("secrets"))


def settings(cloud: Cloud) -> dict[str, Any]:
    kept = {k: v for k, v in cloud.environment.items() if k.startswith("AWS_")}
    kept |= {"NO_PROXY": "127.0.0.1"}
    return kept | {
        "slots": 1,
        "drain_seconds": DRAIN_SECONDS,
        "queue_url": cloud.resources.queue_url,
        "table_name": cloud.resources.table_name,
    }


@pytest.fixture(scope="module")
async def container(maker: Docker | Buildah, image: str, cloud: Cloud) -> AsyncIterator[Container]:
    async with running_container(maker, image, **settings(cloud)) as running:
        yield running


async def stored(cloud: Cloud, conversation_id: str) -> list[Utterance]:
    """Wait until the table has something of a conversation, and return it."""

    async def look() -> list[Utterance]:
        since = datetime.now(UTC) - timedelta(minutes=10)
        return await asyncio.to_thread(cloud.table.since, conversation_id, since)

    return await eventually(look, "the conversation is in the table", within=40)


async def send(speaker: Speaker, pcm: bytes) -> None:
    for at in range(0, len(pcm), CHUNK):
        await speaker.send(pcm[at : at + CHUNK])


async def test_speech_ends_in_the_table(container: Container, cloud: Cloud) -> None:
    talk = conversation()
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id=talk)

    async with Speaker(container.url, parameters) as speaker:
        await send(speaker, silence(0.4) + flite(SENTENCE) + silence(0.4))
        await speaker.stop()
        finals = [message async for message in speaker if isinstance(message, Final)]
    kept = await stored(cloud, talk)

    received = " ".join(final.text for final in finals)
    assert word_error_rate([(SENTENCE, received)]) < 0.4
    assert [utterance.text for utterance in kept] == [final.text for final in finals]


async def test_its_health_check_reports_whether_it_answers(container: Container) -> None:
    check = ("python", "-m", "ecs_service.healthcheck")

    assert await container.run(*check) == (0, "")
    status, complaint = await container.run(*check, PORT="1")
    assert status == 1
    assert "refused" in complaint


async def test_it_runs_without_any_right(container: Container) -> None:
    _, status = await container.run("cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines())

    assert facts["Uid"].split() == facts["Gid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "1"


async def test_it_is_the_first_process_so_that_signals_reach_it(container: Container) -> None:
    _, command = await container.run("cat", "/proc/1/cmdline")

    assert command.split("\0")[:3] == ["python", "-m", "ecs_service"]


@pytest.mark.parametrize("folder", ["/", "/app", "/opt/venv", "/etc"])
async def test_it_cannot_change_itself(container: Container, folder: str) -> None:
    status, _ = await container.run("touch", f"{folder}/changed")

    assert status != 0


@pytest.mark.parametrize("folder", ["/tmp", "/var/lib/cloudscribe"])  # noqa: S108 - the container's
async def test_it_can_write_where_the_task_gives_it_a_volume(
    container: Container, folder: str
) -> None:
    assert await container.run("touch", f"{folder}/written") == (0, "")


async def test_finals_wait_for_the_queue_in_a_file(container: Container) -> None:
    assert await container.run("test", "-s", "/var/lib/cloudscribe/outbox.db") == (0, "")


async def test_nothing_is_in_it_that_only_serves_to_make_it(container: Container) -> None:
    compilers = "for name in cc gcc g++ clang ld make; do command -v $name; done; true"

    assert await container.run("sh", "-c", compilers) == (0, "")
    for folder, pattern in (
        ("/app", "test*"),
        ("/app", "Dockerfile"),
        ("/app", "requirements*.txt"),
        ("/opt/venv", "tests"),
        ("/opt/venv", "pip"),
    ):
        assert await container.run("find", folder, "-name", pattern) == (0, "")
    _, rooms = await container.run("ls", "/app")
    assert sorted(rooms.split()) == [
        "LICENSE",
        "NOTICE",
        "access",
        "ecs_service",
        "foundation",
        "speech",
        "transcripts",
        "translation",
    ]


async def test_nothing_is_compiled_when_it_starts(container: Container) -> None:
    """It could not keep what it compiles, and a quarter of a processor takes seconds for it."""
    modules = "ecs_service.app, speech.engines.moonshine.recogniser, ecs_service.healthcheck"
    status, printed = await container.run("python", "-v", "-c", f"import {modules}")

    assert status == 0
    found = [line for line in printed.splitlines() if line.startswith("# code object from ")]
    assert found
    assert [line for line in found if line.endswith(".py")] == []


async def test_who_speaks_when_it_is_stopped_gets_the_last_final(
    maker: Docker | Buildah, image: str, cloud: Cloud
) -> None:
    talk = conversation()
    parameters = TranscribeParameters(sample_rate=16_000, conversation_id=talk)
    spoken = flite(SENTENCE)
    received: list[Message] = []
    async with running_container(maker, image, **settings(cloud)) as stopping:
        async with Speaker(stopping.url, parameters) as speaker:
            await send(speaker, spoken[: len(spoken) // 4 * 3])
            async for message in speaker:
                received.append(message)
                if isinstance(message, Partial) and len(message.text.split()) > 2:
                    break
            began = time.monotonic()
            ending = asyncio.create_task(stopping.terminate())
            received += [message async for message in speaker]
        status = await ending
        took = time.monotonic() - began

    finals = [message for message in received if isinstance(message, Final)]
    closed = received[-1]
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.finals) == ("draining", len(finals))
    assert finals
    assert finals[-1].text
    assert status == 0
    assert took < DRAIN_SECONDS
    kept = await stored(cloud, talk)
    assert [utterance.text for utterance in kept] == [final.text for final in finals]
