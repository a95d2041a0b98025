"""Mutated events for each function: it does its work, or refuses the event by name.

    .venv/bin/python -m tests.fuzz.events --count 20000

Each number is one event of a function, the same on every machine. The real handlers run, with AWS
in memory. An event's texts hold a secret, which must not come back in errors, nor in logs: but for
the session combiner's, whose log names users and sessions by their ids.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import io
import json
import os
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Final
from unittest import mock

from botocore.exceptions import ClientError

from lambdas.router.bucket import BucketLookup
from lambdas.router.route import RecordingRouter
from lambdas.session_combiner.combine import Combiner, OutOfTime, SessionUnsettled
from lambdas.undelivered import MAX_MESSAGE_BYTES, Undelivered
from tests.support.events import BUCKET, created, event, flat, located
from tests.support.recordings_bucket import S3InMemory
from tests.support.utterances import utterance
from transcripts.conversations import ConversationTable
from transcripts.recordings.objects import Objects
from transcripts.recordings.store import DocumentStore

SECRET: Final = "the secret of the meeting"  # noqa: S105 - a text, not a password
_ENVIRONMENT: Final = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",  # AWS is in memory
    "TABLE_NAME": "conversations",
    "RECORDINGS_BUCKET": BUCKET,
    "JOBS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/000000000000/jobs",
    "UNDELIVERED_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/000000000000/undelivered",
    "CLUSTER": "cluster",
    "SERVICE": "gpu",
    "MAXIMUM_INSTANCES": "3",
    "JOBS_PER_INSTANCE": "10",
    "IDLE_MINUTES": "10",
}
_CONTEXT: Final = SimpleNamespace(
    function_name="function",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-central-1:000000000000:function:function:live",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 60_000,
)

Handler = Callable[[Any], None]


@dataclass(frozen=True)
class Function:
    """A function to try.

    Attributes:
        name: of its folder.
        seeds: good events.
        prepare: puts AWS in memory into its module; returns what to call with an event.
        refusals: the exceptions by which it fails on an event that is no defect of its own.
        logs_ids: whether ids of users and sessions, among which is the secret, are logged.
    """

    name: str
    seeds: tuple[Any, ...]
    prepare: Callable[[ModuleType], Handler]
    refusals: tuple[type[Exception], ...]
    logs_ids: bool = False


class TableInMemory:
    """As much of DynamoDB as refuses an item: sizes, numbers, texts that are no Unicode."""

    def put_item(self, *, Item: dict[str, Any], **_: object) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if len(json.dumps(Item, ensure_ascii=False).encode()) > 400 * 1024:
            raise _invalid("Item size has exceeded the maximum allowed size")
        for value in Item.values():
            number = value.get("N")
            if number is not None and not (
                float(number) == 0 or 1e-130 < abs(float(number)) < 1e126
            ):
                raise _invalid("Number overflow")
        return {}


def _invalid(message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, "PutItem")


def _processor(module: ModuleType) -> Handler:
    table: Any = TableInMemory()
    vars(module)["table"] = ConversationTable("conversations", table)

    def call(message: Any) -> None:
        body = message if isinstance(message, str) else json.dumps(message)
        record = {"messageId": "1", "body": body, "eventSource": "aws:sqs"}
        with mock.patch.object(module.logger, "exception") as failed:
            answer = module.handler({"Records": [record]}, _CONTEXT)
        assert answer["batchItemFailures"] in ([], [{"itemIdentifier": "1"}])
        assert not failed.called, f"{failed.call_args}: {sys.exc_info()[1]}"

    return call


class _Aside:
    """The queue of undelivered events."""

    def send_message(self, *, MessageBody: str, **_: object) -> None:  # noqa: N803 - AWS's name
        assert len(MessageBody.encode()) <= MAX_MESSAGE_BYTES
        assert SECRET not in json.loads(MessageBody)["responsePayload"]["errorMessage"]


def _set_aside(module: ModuleType) -> None:
    sqs: Any = _Aside()
    vars(module)["undelivered"] = Undelivered(sqs, "https://queue")


def _router(module: ModuleType) -> Handler:
    _set_aside(module)
    s3: Any = S3InMemory()

    def send(job: Any) -> None:
        assert len(job.model_dump_json(by_alias=True).encode()) < 256 * 1024

    vars(module)["router"] = RecordingRouter(
        recordings=BucketLookup(Objects(BUCKET, s3)),
        server=None,
        queue=send,
        pace=module.router.pace,
    )
    return lambda message: module.handler(message, _CONTEXT)


def _combiner(module: ModuleType) -> Handler:
    _set_aside(module)
    s3: Any = S3InMemory()
    bucket = DocumentStore(Objects(BUCKET, s3, sleep=lambda _: None))
    vars(module)["store"] = bucket
    now = importlib.import_module("tests.support.transcripts").NOW
    vars(module)["combiner"] = Combiner(bucket, now=lambda: now, log=module.logger)
    return lambda message: module.handler(message, _CONTEXT)


class _Ecs:
    def describe_services(self, **_: object) -> dict[str, Any]:
        service = {"status": "ACTIVE", "desiredCount": 0, "serviceArn": "arn"}
        return {"services": [service]}

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda **_: None


def _batch_worker(module: ModuleType) -> Handler:
    attributes = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
    vars(module)["sqs"] = SimpleNamespace(
        get_queue_attributes=lambda **_: {"Attributes": attributes}
    )
    vars(module)["machines"] = module.Machines(_Ecs(), cluster="cluster", service="gpu")
    return lambda message: module.handler(message, _CONTEXT)


def _named(module: str, *names: str) -> tuple[type[Exception], ...]:
    found = importlib.import_module(module)
    return tuple(getattr(found, name) for name in names)


_CHUNK: Final = f"users/{SECRET}/transcripts/monday-chunk-001.json"
_ENDED: Final = event(
    {"bucket": BUCKET, "userId": SECRET, "sessionId": "monday", "chunkCount": 3}, "cloudscribe"
) | {"detail-type": "Session Ended"}


@contextmanager
def functions() -> Iterator[tuple[Function, ...]]:
    """Give all functions; their environment lasts as long as the context."""
    with mock.patch.dict(os.environ, _ENVIRONMENT):
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "GPU_URL", "AUTH_TOKEN"):
            os.environ.pop(name, None)
        good = json.loads(utterance(text=SECRET).model_dump_json(by_alias=True))
        yield (
            Function("transcript_processor", (good, json.dumps(good)), _processor, ()),
            Function(
                "router",
                (
                    created(f"users/{SECRET}/audio/sessions/monday/chunk-001.webm"),
                    located(f"uploads/{SECRET}.mp3", mode="batch"),
                    flat(f"uploads/{SECRET}.mp3"),
                ),
                _router,
                (),
            ),
            Function(
                "session_combiner",
                (
                    created(_CHUNK),
                    created(f"users/{SECRET}/transcripts/monday.json"),
                    created(f"users/{SECRET}/audio/sessions/monday/metadata.json"),
                    _ENDED,
                ),
                _combiner,
                (SessionUnsettled, OutOfTime),
                logs_ids=True,
            ),
            Function(
                "batch_worker",
                (
                    {"keepWarm": True},
                    {"keepWarm": True, "until": "2026-11-20T18:00:00Z", "note": SECRET},
                    {"workOff": True},
                    {"Records": [{"eventSource": "aws:sqs", "body": SECRET}]},
                    event({}, "aws.events"),
                ),
                _batch_worker,
                _named("lambdas.batch_worker.handler", "UnknownOrder", "NoMachines"),
            ),
        )


_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1e308,
    -1e-300,
    2**63,
    10**400,
    "",
    " ",
    "\0",
    "\ud800",
    "￿",
    "../" * 50,
    "x" * 70_000,
    "users/%2F/audio",
    "2026-11-20T17:29:03Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    [],
    {},
    [[[[]]]],
    {"": {"": {}}},
    list(range(2_000)),
)


def mutated(function: Function, number: int) -> Any:
    """Return a function's event of a number."""
    chance = random.Random(f"{function.name} {number}")  # noqa: S311 - to be the same each time
    result = copy.deepcopy(chance.choice(function.seeds))
    if chance.random() < 0.02:
        return copy.deepcopy(chance.choice(_ODD))
    for _ in range(chance.choice((1, 1, 2, 5))):
        if isinstance(result, str):
            result = _text(result, chance)
        else:
            _change(result, chance)
    return result


def _change(value: Any, chance: random.Random) -> None:
    """Change something somewhere within an object or a list."""
    while True:
        places = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = chance.choice(places)
        inner = value[place]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            value = inner
            continue
        action = chance.randrange(5)
        if action == 0:
            value[place] = copy.deepcopy(chance.choice(_ODD))
        elif action == 1:
            del value[place]
        elif action == 2 and isinstance(inner, str):
            value[place] = _text(inner, chance)
        elif action == 3:
            value[place] = [inner] * chance.choice((1, 2, 1_600))
        elif isinstance(value, dict):
            value[f"{place}{chance.choice(('', 'X', chr(0)))}"] = copy.deepcopy(chance.choice(_ODD))
        return


def _text(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    new = chance.choice(("", "/", "..", "#", "\n", "é", "\udfff", "😀", "\\", '"', "}", "9" * 400))
    return text[:at] + new + text[at + chance.randrange(4) :]


def faults(function: Function, numbers: range) -> tuple[list[tuple[int, str]], Counter[str]]:
    """Return the numbers of events with which something is wrong, and how often each end was."""
    sys.modules.pop(f"lambdas.{function.name}.handler", None)
    module = importlib.import_module(f"lambdas.{function.name}.handler")
    refusals = _fresh(module, function.refusals)
    output = io.StringIO()
    module.logger.registered_handler.setStream(output)
    call = function.prepare(module)
    found: list[tuple[int, str]] = []
    ends: Counter[str] = Counter()
    for number in numbers:
        output.seek(0)
        output.truncate()
        error_text = ""
        try:
            with redirect_stdout(output), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Powertools', of nothing to count
                call(mutated(function, number))
            end = "done"
        except refusals as error:
            end, error_text = type(error).__name__, str(error)
        except Exception as error:  # noqa: BLE001 - the very thing that is looked for
            end = "FAULT"
            found.append((number, f"{type(error).__name__}: {str(error)[:200]}"))
        ends[end] += 1
        logged = "" if function.logs_ids else output.getvalue()
        if SECRET in logged + error_text:
            found.append((number, "the secret is in the log or the error"))
    return found, ends


def _fresh(
    module: ModuleType, refusals: tuple[type[Exception], ...]
) -> tuple[type[Exception], ...]:
    """Return the refusals as a module that was imported again has them."""
    return tuple(getattr(module, each.__name__, each) for each in refusals)


def main() -> int:
    """Try all functions and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="number of the first event")
    parser.add_argument("--count", type=int, default=20_000, help="events for each function")
    wanted = parser.parse_args()
    wrong = 0
    with functions() as all_of_them:
        for function in all_of_them:
            found, ends = faults(function, range(wanted.first, wanted.first + wanted.count))
            for number, what in found[:20]:
                sys.stdout.write(f"{function.name} {number}: {what}\n")
            sys.stdout.write(
                f"{function.name}: {wanted.count} events: {dict(ends)}, {len(found)} faults\n"
            )
            wrong += len(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
