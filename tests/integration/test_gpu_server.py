"""The server for recordings over HTTP, its transcriber in a real process."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path

import pytest

from gpu_server import app
from gpu_server.settings import Settings
from speech.transcribers.errors import TranscriberUnavailable
from speech.transcribers.process import TranscriberProcess
from tests.support.eventually import eventually
from tests.support.gpu_server import Answer, Client, gpu_server

pytestmark = pytest.mark.integration

SECRET = "a secret of enough letters"  # noqa: S105 - a test's


async def test_an_upload_is_transcribed() -> None:
    async with gpu_server() as (client, _):
        answer = await client.upload("say good morning", {"language": "en-GB"})

    assert answer.status == 200
    assert answer.body == {
        "text": "good morning",
        "language": "en-GB",
        "duration": 12.0,
        "engine": "scripted 1",
        "audioTrack": {"number": 2, "count": 3},
        "segments": [
            {
                "startTime": 0.0,
                "endTime": 12.0,
                "text": "good morning",
                "words": [],
                "speakerLabel": None,
                "channel": None,
            }
        ],
    }


async def test_no_recording_stays_on_the_disk(tmp_path: Path) -> None:
    async with gpu_server(work_dir=tmp_path) as (client, _):
        await client.upload("say good morning")
        await client.upload("refuse")
        left = [each for each in tmp_path.rglob("*") if each.is_file()]  # noqa: ASYNC240 - a look into a small folder

    assert left == []
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - the same


async def test_before_the_model_is_loaded_answers_name_the_time_to_retry() -> None:
    async with gpu_server(loaded=False) as (client, server):
        health, upload = await client.get("/health"), await client.upload("say no")
        await server.parts.inference.wait_until_loaded()

        assert (health.status, health.body["status"]) == (503, "loading")
        assert (upload.status, upload.body["code"]) == (503, "not_ready")
        assert int(upload.headers["Retry-After"]) > 0
        assert (await client.get("/health")).status == 200


async def test_beyond_its_bound_the_queue_refuses_and_health_stays_true(tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with gpu_server(queue_limit=1) as (client, server):
        in_work = asyncio.create_task(client.upload(f"wait {go}"))
        await eventually(lambda: server.parts.inference.running == 1, "the first is in work")
        waiting = asyncio.create_task(client.upload("say second"))
        await eventually(lambda: server.parts.inference.waiting == 1, "the second waits")

        refused = await client.upload("say third")
        health = await client.get("/health")
        go.touch()

        assert (refused.status, refused.body["code"]) == (503, "busy")
        assert refused.body["retryable"] is True
        assert int(refused.headers["Retry-After"]) > 0
        assert (health.status, health.body["ready"]) == (200, True)
        assert health.body["queue"] == {"waiting": 1, "running": 1, "limit": 1}
        assert (await in_work).body["text"] == "done"
        assert (await waiting).body["text"] == "second"


async def test_who_hangs_up_leaves_the_queue_and_stops_what_is_in_work(tmp_path: Path) -> None:
    async with gpu_server(queue_limit=4) as (client, server):
        inference = server.parts.inference
        callers = [
            asyncio.create_task(client.upload(f"wait {tmp_path / 'never'}")) for _ in range(3)
        ]
        await eventually(lambda: (inference.running, inference.waiting) == (1, 2), "all are there")

        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

        await eventually(lambda: inference.idle_seconds > 0, "nobody has a place any more")
        assert (await client.upload("say next")).body["text"] == "next"


@pytest.mark.parametrize("deed", ["die", "raise", "break"])
async def test_a_crash_is_the_error_of_one_job_and_the_server_recovers(deed: str) -> None:
    async with gpu_server() as (client, _):
        first, second = await asyncio.gather(client.upload(deed), client.upload("say still here"))

        assert (first.status, first.body["code"]) == (503, "engine_failed")
        assert first.body["retryable"] is True
        assert second.body["text"] == "still here"


@pytest.mark.parametrize(("deed", "kept"), [("raise", True), ("break", False), ("die", False)])
async def test_only_a_model_that_computes_no_more_is_loaded_again(deed: str, *, kept: bool) -> None:
    async with gpu_server() as (client, server):
        await client.upload(deed)
        await client.upload("say still here")

        restarts = server.parts.metrics.registry.get_sample_value(
            "cloudscribe_transcriber_restarts_total"
        )
        assert restarts == (0 if kept else 1)


async def test_a_server_that_can_start_no_model_any_more_ends_so_that_it_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_process: TranscriberProcess) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("gpu_server.work.inference.LONGEST_PAUSE", 0)
    async with gpu_server() as (client, server), asyncio.timeout(30):
        living = asyncio.create_task(app._run_until_stopped(Settings(), server))
        monkeypatch.setattr(TranscriberProcess, "_spawn", full)
        answer = await client.upload("die")

        assert answer.body["code"] == "engine_failed"
        assert not await living


async def test_a_model_without_a_sign_of_life_is_replaced() -> None:
    async with gpu_server(stall_seconds=0.5) as (client, _):
        answer = await client.upload("hang")

        assert (answer.status, answer.body["code"]) == (503, "engine_failed")
        assert (await client.upload("say again")).body["text"] == "again"


MEMORY = "the machine's memory is not enough"


@pytest.mark.parametrize(
    ("deed", "status", "code", "retryable", "words", "kept"),
    [
        ("refuse", 422, "not_audio", False, "it is no audio", True),
        ("foreign", 422, "unsupported_language", False, "ALIGNMENT is always", True),
        ("unoffered", 422, "not_offered", False, "it does not tell speakers apart", True),
        ("fail no model for de now", 503, "engine_failed", True, "no model for de now", True),
        ("memory CUDA failed with error out of memory", 503, "engine_failed", True, MEMORY, False),
        ("memory cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED", 503, "engine_failed", True,
         MEMORY, False),
        ("memory said in the recording", 503, "engine_failed", True, "raised RuntimeError.", True),
        ("die", 503, "engine_failed", True, "process died by SIGKILL", False),
    ],
)  # fmt: skip
async def test_an_error_reaches_its_caller_in_its_own_words(
    deed: str, status: int, code: str, words: str, *, retryable: bool, kept: bool
) -> None:
    async with gpu_server() as (client, server):
        answer = await client.upload(deed)
        await client.upload("say still here")
        restarts = server.parts.metrics.registry.get_sample_value(
            "cloudscribe_transcriber_restarts_total"
        )

    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.body["retryable"] is retryable
    assert words in answer.body["message"]
    assert "said in the recording" not in answer.body["message"]
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert restarts == (0 if kept else 1)


async def test_a_recording_that_is_too_large_is_refused_also_without_a_length() -> None:
    async def pieces() -> object:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield bytes(64 * 1024)
        yield b"\r\n--x--\r\n"

    async with gpu_server(max_upload_bytes=1_000_000) as (client, _):
        announced = await client.upload(bytes(2_000_000))
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        async with client.session.post(
            f"{client.url}/transcribe", data=pieces(), headers=kind
        ) as unannounced:
            answer = await unannounced.json()

    assert (announced.status, announced.body["code"]) == (422, "too_large")
    assert (unannounced.status, answer["code"]) == (422, "too_large")


async def test_an_upload_that_stalls_gives_its_place_back() -> None:
    async with gpu_server(transfer_seconds=0.3, queue_limit=0) as (client, server):
        port = int(client.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        status = await reader.readline()
        writer.close()

        assert b" 408 " in status
        assert server.parts.inference.waiting == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"language": "English"}, "language"),
        ({"surprise": "1"}, "surprise"),
        ({"diarize": "perhaps"}, "diarize"),
    ],
)
async def test_a_field_that_is_none_is_named_and_not_quoted(
    fields: dict[str, str], message: str
) -> None:
    async with gpu_server() as (client, _):
        answer = await client.upload("say no", fields)

    assert (answer.status, answer.body["code"]) == (400, "invalid_request")
    assert message in answer.body["message"]
    assert "perhaps" not in answer.body["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"s3_input_path": "talk.mp3"}, "s3_input_path: must be s3://BUCKET/KEY"),
        (
            {"s3_input_path": "s3://b/k", "s3_output_path": "s3://b/k.txt"},
            "s3_output_path: must be s3://BUCKET/KEY, with a key that ends in .json",
        ),
    ],
)
async def test_an_invalid_path_is_explained(body: dict[str, str], message: str) -> None:
    async with gpu_server() as (client, _):
        answer = await client.post("/transcribe-s3", body)

    assert (answer.status, answer.body["message"]) == (400, message)


async def test_only_callers_with_the_secret_are_authenticated() -> None:
    async def tried(client: Client, authorization: str | None = None) -> Answer:
        headers = {} if authorization is None else {"Authorization": authorization}
        return await client.upload("say in", None, **headers)

    async with gpu_server(auth_token=SECRET) as (client, _):
        outside = [
            await tried(client),
            await tried(client, "Bearer no"),
            await tried(client, "Bearer ümlaut"),
            await tried(client, f"Basic {SECRET}"),
            await client.post("/warmup", {"until": "2030-01-01T00:00:00Z"}),
            await client.post("/transcribe-url", {"audio_url": "http://example.com"}),
            await client.post("/transcribe-s3", {"s3_input_path": "s3://a-bucket/uploads/a"}),
        ]
        inside = await tried(client, f"Bearer {SECRET}")
        health, metrics = await client.get("/health"), await client.get("/metrics")

    assert [(each.status, each.body["code"]) for each in outside] == [(401, "unauthorized")] * 7
    assert inside.status == 200
    assert (health.status, metrics.status) == (200, 200)


async def test_foreign_pages_cannot_use_a_server_of_this_machine() -> None:
    async with gpu_server() as (client, _):
        rebound = await client.get("/health", Host="evil.example")
        page = await client.upload("say no", Origin="https://evil.example")

    assert (rebound.status, page.status) == (403, 403)


async def test_an_endless_body_of_json_is_refused() -> None:
    async with gpu_server() as (client, _):
        answer = await client.post("/transcribe-url", {"audio_url": "x" * 200_000})

    assert answer.status == 400


async def test_metrics_and_the_description_are_served() -> None:
    async with gpu_server() as (client, _):
        await client.upload("say some words")
        metrics = (await client.get("/metrics")).body["text"]
        described = (await client.get("/openapi.json")).body

    assert 'cloudscribe_transcriber_outcomes_total{code="done"} 1.0' in metrics
    assert "some words" not in metrics
    assert {"/transcribe", "/transcribe-s3", "/transcribe-url", "/health", "/warmup"} <= set(
        described["paths"]
    )
    assert "422" in described["paths"]["/transcribe"]["post"]["responses"]
    json.dumps(described)


async def test_it_stays_warm_as_long_as_somebody_asks_for() -> None:
    async with gpu_server() as (client, server):
        long = await client.post("/warmup", {"until": "2999-01-01T00:00:00Z"})
        bad = await client.post("/warmup", {"until": "tomorrow"})

        assert server.parts.warmth.is_kept
        assert long.status == 200
        assert bad.status == 400


async def test_a_model_that_cannot_be_loaded_is_reported_before_any_upload() -> None:
    async with gpu_server(loaded=False, model="missing") as (client, server):
        with pytest.raises(TranscriberUnavailable, match="no such model"):
            await server.parts.inference.wait_until_loaded()

        assert (await client.get("/health")).status == 503
