"""What strangers reach of a demo with accounts: nothing that costs, is stored, or was said."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import jwt
import psutil
import pytest

from access.messages import ROOT as API
from local_cloud.accounts.setup import SOURCES
from local_cloud.launcher.demo import DIST
from tests.support.demo import RunningDemo, ready_demo
from tests.support.sign_in import SignIn
from tests.support.strangers import Target

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (DIST / "index.html").exists() or not SOURCES.is_dir(),
        reason="the page or the API's function is not built (make setup)",
    ),
]

REQUESTS = 10_000
#: Of these, to the API. Each takes 10 ms of the emulator.
TO_API = 2_500
AT_ONCE = 20
#: More would have the emulator start a process of the function for each.
TO_API_AT_ONCE = 2
TITLE = "A title that no stranger reads"
#: Where strangers may have an answer: the page, the sign-in, and what the service recognises.
PUBLIC = re.compile(r"/api/stt/languages|(?!/api/).*")


def connect(demo: RunningDemo, service: Any) -> Any:
    """Return a client for the demo's emulator."""
    [endpoint] = set(re.findall(r"AWS: +at (http://[\d.:]+);", demo.output))
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator's
    )


def list_everything(demo: RunningDemo) -> dict[str, Any]:
    """Return all that is stored and queued."""
    dynamodb, s3, sqs = (connect(demo, name) for name in ("dynamodb", "s3", "sqs"))
    cognito, ssm = connect(demo, "cognito-idp"), connect(demo, "ssm")
    [pool] = cognito.list_user_pools(MaxResults=10)["UserPools"]
    return {
        "tables": {
            name: sorted(json.dumps(item, default=str) for item in page["Items"])
            for name in dynamodb.list_tables()["TableNames"]
            for page in dynamodb.get_paginator("scan").paginate(TableName=name)
        },
        "objects": {
            bucket["Name"]: [
                (found["Key"], found["ETag"])
                for found in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ())
            ]
            for bucket in s3.list_buckets()["Buckets"]
        },
        "messages": {
            url: sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )["Attributes"]
            for url in sqs.list_queues().get("QueueUrls", ())
        },
        "people": sorted(
            json.dumps(each, default=str)
            for each in cognito.list_users(UserPoolId=pool["Id"])["Users"]
        ),
        "parameters": sorted(each["Name"] for each in ssm.describe_parameters()["Parameters"]),
    }


async def read_metrics(demo: RunningDemo, client: aiohttp.ClientSession) -> dict[str, float]:
    """Return the service's metrics, which the edge does not offer."""
    [port] = {
        each.laddr.port
        for each in demo.child("ecs_service").net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        found = re.findall(r"^(cloudscribe_\S+) (\S+)$", await answer.text(), re.MULTILINE)
    return {name: float(value) for name, value in found}


async def find_out(demo: RunningDemo, client: aiohttp.ClientSession) -> Target:
    """Let Ada make a conversation, a link and a key; return what others may know of them."""
    passwords = dict(re.findall(r"(\S+@example\.com) +(\S+)  \(", demo.output))
    way = await SignIn.at(demo.url, client)
    tokens = await way.tokens("ada@example.com", passwords["ada@example.com"])
    ada = {"Authorization": f"Bearer {tokens['access_token']}"}

    async def make(path: str, body: Any) -> Any:
        url = f"{demo.url}{API}{path}"
        async with client.post(url, json=body, headers=ada) as answer:
            assert answer.status == 201
            return await answer.json()

    conversation = (await make("/conversations", {"title": TITLE}))["conversationId"]
    link = (await make(f"/conversations/{conversation}/links", {"role": "speaker"}))["link"]
    key = (await make("/keys", {"label": "mine", "scopes": ["read", "speak", "manage"]}))["key"]
    ticket = await make("/tickets", {"conversationId": conversation, "action": "speak"})
    async with client.get(f"{demo.url}{API}/me", headers=ada) as answer:
        person = (await answer.json())["subject"]
    return Target(
        host=demo.url.removeprefix("http://"),
        conversation=conversation,
        link=link["linkId"],
        key=key["keyId"],
        person=person,
        ticket_key=jwt.get_unverified_header(ticket["ticket"])["kid"],
        issuer_key=jwt.get_unverified_header(tokens["access_token"])["kid"],
    )


def is_for_api(request: bytes) -> bool:
    return request.split(b" ", 2)[1].startswith(f"{API}/".encode())


def is_whole(request: bytes, answer: bytes) -> bool:
    """Return whether nothing more is to come, though the connection may stay open."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if b" 101 " in head[:16]:
        return b'"error"' in body
    if request.startswith(b"HEAD "):
        return bool(end)
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    return bool(end and length) and len(body) >= int(length[1] if length else 0)


async def send_all(
    target: Target, requests: Iterable[bytes], at_once: int
) -> list[tuple[bytes, bytes]]:
    """Send requests, some at once; return them with the answers, which may be cut."""
    host, _, port = target.host.partition(":")
    waiting, answered = iter(requests), []

    async def send() -> None:
        for request in waiting:
            reader, writer = await asyncio.open_connection(host, int(port))
            answer = b""
            with contextlib.suppress(ConnectionError, TimeoutError):
                writer.write(request)
                async with asyncio.timeout(30):
                    while not is_whole(request, answer) and (piece := await reader.read(65_536)):
                        answer += piece
            writer.close()
            answered.append((request, answer))

    await asyncio.gather(*(send() for _ in range(at_once)))
    return answered


def find_breaches(answered: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return the requests that were answered as no stranger's may be."""
    found = []
    for request, answer in answered:
        method, path = request.split(b" ", 2)[:2]
        status, body = answer[9:12].decode(), answer.partition(b"\r\n\r\n")[2]
        place = path.partition(b"?")[0].decode()
        is_wrong = (
            not status.isdigit()
            # picows answers HEAD with a body, which the edge's client takes for another answer.
            or (status >= "500" and (method, status) != (b"HEAD", "502"))
            or (status == "101" and b"access_revoked" not in body)
            or (status.startswith("2") and not PUBLIC.fullmatch(place))
            or TITLE.encode() in answer
            or b"evil.example" in answer.partition(b"\r\n\r\n")[0]
        )
        if is_wrong:
            found.append(f"{method!r} {path[:80]!r} -> {answer[:200]!r}")
    return found


def read_logs(folder: Path) -> str:
    """Return all logs of a demo."""
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*.log"))


async def test_without_a_right_10000_requests_to_every_route_reach_nothing(
    tmp_path: Path,
) -> None:
    any_number = {"failures_at_once": 1_000_000, "connects_at_once": 1_000_000}
    async with (
        ready_demo(tmp_path, access="accounts", **any_number) as demo,
        aiohttp.ClientSession() as client,
    ):
        await demo.until("Nobody sends invitations")
        target = await find_out(demo, client)
        before = await asyncio.to_thread(list_everything, demo)
        metrics = await read_metrics(demo, client)

        crawled = list(target.crawl())
        to_api = [each for each in crawled if is_for_api(each)]
        to_api += [target.call_api() for _ in range(TO_API - len(to_api))]
        others = [each for each in crawled if not is_for_api(each)]
        others += [
            target.open_socket() if number % 4 else target.ask_elsewhere()
            for number in range(REQUESTS - TO_API - len(others))
        ]
        answered = [
            *await send_all(target, others, AT_ONCE),
            *await send_all(target, to_api, TO_API_AT_ONCE),
        ]

        assert len(answered) == REQUESTS
        assert find_breaches(answered) == []
        statuses = Counter(answer[9:12] for _, answer in answered)
        assert statuses[b"401"] > 3_000, statuses
        assert await asyncio.to_thread(list_everything, demo) == before
        after = await read_metrics(demo, client)
        for name in ("open_streams", "viewers", "audio_seconds_total", "finals_total"):
            assert after[f"cloudscribe_{name}"] == 0
        for kind in ("read", "use"):
            name = f'cloudscribe_access_calls_total{{kind="{kind}"}}'
            assert after.get(name) == metrics.get(name)
    logs = read_logs(tmp_path)
    assert "Traceback" not in logs
    assert TITLE not in logs
