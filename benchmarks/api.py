"""Measures the function behind the accounts API: its cold start, and what a ticket takes.

The real handler runs with real clients in a process of its own. Stand-ins on the loopback answer
its requests at once (`benchmarks.api_world`), so the figures leave out the time of DynamoDB, the
Systems Manager and the issuer. The conversation has as many people and links as it may have.
`benchmarks.functions` describes how imports are measured.

The first ticket of a process includes the fetch of the issuer's keys, the creation of a key for
tickets, and what Powertools prepares at the first request.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, Final

from access.messages import ROOT
from access.secret import Secret
from benchmarks.api_world import KEY, LINK, TABLE
from benchmarks.figures import format_target, milliseconds, table
from benchmarks.functions import Imports, make_environment, measure_imports, output_of
from benchmarks.servers import program
from tests.support.access import CLIENT, CONVERSATION, ISSUER, issuer_key, key_set
from transcripts.functions import API

IMPORT_MS: Final = 500.0
TICKET_MS: Final = 30.0

#: Who asks for a ticket; nobody is refused.
PERSON, GUEST, PROGRAM, NOBODY = "person", "guest", "API key", "nobody"
_STATUS: Final = {PERSON: 201, GUEST: 201, PROGRAM: 201, NOBODY: 401}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often each measurement is repeated."""

    imports: int = 15
    firsts: int = 10
    invocations: int = 500


QUICK: Final = Plan(imports=3, firsts=2, invocations=50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Imports):
    """Figures in milliseconds: p50, p95, p99 and max."""

    #: A process's first ticket, after the import.
    first: dict[str, float]
    #: The warm handler, by who asks for a ticket.
    warm: dict[str, dict[str, float]]


def run(plan: Plan, progress: Callable[[str], None]) -> Result:
    """Run the measurements.

    Raises:
        ServerError: the stand-ins around the function did not start, or the function failed.
    """
    key = issuer_key()
    link, api_key = Secret("csl", LINK, "s" * 26), Secret("csk", KEY, "t" * 26)
    credentials = {
        PERSON: key.sign(iat=int(time.time()), exp=int(time.time()) + 3_600),
        GUEST: str(link),
        PROGRAM: str(api_key),
        NOBODY: None,
    }
    hashes = json.dumps([link.hash, api_key.hash])
    command = [sys.executable, "-m", "benchmarks.api_world", key_set(key).decode(), hashes]
    with program("the API's world", command, {}, _find_address) as (_, url):
        environment = make_environment(
            url,
            ACCESS_TABLE=TABLE,
            ISSUER=ISSUER,
            JWKS_URL=f"{url}/keys",
            TOKEN_KIND="cognito",  # noqa: S106 - a kind, no token
            AUDIENCES=CLIENT,
            TICKET_KEYS="/cloudscribe/bench/ticket-keys",
            RECORDINGS_BUCKET="benchmark-recordings",
            USER_POOL_ID="us-east-1_benchmark",
            POWERTOOLS_METRICS_NAMESPACE="benchmark",
        )
        progress("api: cold start")
        imports = measure_imports(API, environment, plan.imports)
        progress(f"api: {plan.firsts} first tickets")
        firsts = [_seconds(environment, credentials[PERSON], 201, 1)[0] for _ in range(plan.firsts)]
        warm = {}
        for caller, credential in credentials.items():
            progress(f"api: {plan.invocations} tickets by {caller}")
            seconds = _seconds(
                environment, credential, _STATUS[caller], plan.invocations + _OPENING
            )
            warm[caller] = milliseconds(seconds[_OPENING:])
    return Result(**asdict(imports), first=milliseconds(firsts), warm=warm)


def report(result: Result) -> str:
    """Return the table, and whether each limit is kept."""
    heads = ["what", "p50 ms", "p95 ms", "p99 ms", "max ms"]
    rows = [*result.rows(), ["first ticket, after the import", *result.first.values()]]
    for caller, each in result.warm.items():
        name = "refusal" if caller == NOBODY else f"ticket, {caller}"
        rows.append([f"warm {name}", *each.values()])
    imported = result.imported["p50"]
    slowest = max(each["p95"] for each in result.warm.values())
    return "\n".join(
        [
            table(heads, rows),
            "",
            _format_limit("import, p50", imported, IMPORT_MS),
            _format_limit("warm ticket, the slowest p95", slowest, TICKET_MS),
        ]
    )


#: The first requests of a process open connections.
_OPENING: Final = 5


def _format_limit(name: str, value: float, limit: float) -> str:
    return format_target(f"{name}: {value:.1f} ms, at most {limit:.0f} ms", is_kept=value <= limit)


def _find_address(output: str) -> str | None:
    found = re.match(r"(http://\S+)\n", output)
    return found[1] if found else None


def _seconds(
    environment: dict[str, str], credential: str | None, status: int, count: int
) -> list[float]:
    """Return the seconds of each of `count` requests to one process, from its first on."""
    wanted = json.dumps({"credential": credential, "status": status, "count": count})
    command = [sys.executable, "-m", "benchmarks.api", wanted]
    seconds: list[float] = json.loads(output_of(command, environment).splitlines()[-1])
    return seconds


def _invoke(*, credential: str | None, status: int, count: int) -> list[float]:
    """Ask the handler for one ticket after another; return the seconds of each call."""
    from lambdas.api.handler import handler  # noqa: PLC0415 - reads the environment

    context: Any = SimpleNamespace(
        function_name="api",
        memory_limit_in_mb=1_024,
        invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:api:live",
        aws_request_id="request",
    )
    headers = {"content-type": "application/json"}
    if credential is not None:
        headers["authorization"] = f"Bearer {credential}"
    event = {
        "version": "2.0",
        "rawPath": f"{ROOT}/tickets",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "http": {"method": "POST", "path": f"{ROOT}/tickets", "sourceIp": "192.0.2.1"},
            "stage": "$default",
        },
        "body": json.dumps({"conversationId": CONVERSATION, "action": "read"}),
        "isBase64Encoded": False,
    }
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        answer = handler(event, context)
        seconds.append(time.perf_counter() - begin)
        if answer["statusCode"] != status:
            raise RuntimeError(f"answered with {answer['statusCode']}: {answer['body']}")
    return seconds


if __name__ == "__main__":
    print(json.dumps(_invoke(**json.loads(sys.argv[1]))))
