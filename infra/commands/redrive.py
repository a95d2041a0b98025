"""`make redrive ENV=demo QUEUE=jobs`: send dead letters back, once their cause is fixed.

    QUEUE        dead letters                                      are sent back to
    utterances   finals that could not be stored                   their queue
    jobs         recordings that could not be transcribed          their queue
    undelivered  events that a function refused, failed on or      that function
                 never received

Without QUEUE it prints the number in each queue. Sending a message twice does no harm, because
consumers skip what is already stored or transcribed. A message is deleted only after it was sent,
so an interruption loses nothing. A message that fails again comes back, and the same run does not
send it a second time. A received message is hidden from other consumers for a while, including one
that a run of this command left in the queue (a minute). Hidden messages are counted, and the run
fails.

SQS itself moves messages between queues (StartMessageMoveTask). If it cannot, as in the emulator of
`make demo`, this command receives, sends and deletes them batch by batch.

Exit codes: 0 sent or listed, 1 not all could be sent, 2 wrong call, 7 the output cannot be written,
130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from foundation import program

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Outputs of the data stack: each queue of dead letters, and the queue that they came from. Events
#: in `undelivered` came from no queue.
QUEUES: Final[Mapping[str, tuple[str, str | None]]] = {
    "utterances": ("UtterancesDeadLettersUrl", "UtterancesQueueUrl"),
    "jobs": ("JobsDeadLettersUrl", "JobsQueueUrl"),
    "undelivered": ("UndeliveredQueueUrl", None),
}
#: The alias through which events reach a function (`infra.common.functions`).
ALIAS: Final = "live"
#: Error codes for an unknown StartMessageMoveTask.
_UNKNOWN_ACTION: Final = frozenset(
    {"InvalidAction", "AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation"}
)
#: Seconds after which this command stops waiting for SQS, which continues to move messages.
PATIENCE: Final = 900.0
PAUSE: Final = 2.0
#: Seconds that a batch is invisible to other consumers while it is sent.
VISIBILITY: Final = 60
#: Consecutive empty answers that mean an empty queue: SQS asks only a sample of its servers.
EMPTY_ANSWERS: Final = 3
#: SQS's largest batch.
BATCH: Final = 10

INTERRUPTED: Final = (
    "Interrupted. Repeating it is safe: nothing was removed before it was sent. Wait a minute, "
    "until what was being looked at can be seen again; a move that SQS has begun goes on by itself."
)

_FUNCTION: Final = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:(?P<name>[\w-]{1,64})(?::[\w$-]+)?"
)


class NotRedriven(Exception):
    """The redrive is impossible; the message says what to do."""


@dataclass(slots=True, kw_only=True)
class RedriveReport:
    """The result for one queue."""

    queue: str
    #: The number of messages before; SQS counts with some delay.
    found: int
    moved: int = 0
    #: The reason why a message stays, by its id.
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def hidden(self) -> int:
        """The number of messages that were counted and could not be received."""
        return max(0, self.found - self.moved - len(self.kept))

    def lines(self) -> Iterator[str]:
        """Yield lines for people."""
        yield f"{self.queue}: {self.moved} of {self.found} sent back"
        for message, reason in self.kept.items():
            yield f"  {message} stays: {reason}"


def resources(cloudformation: Any, environment: str) -> dict[str, str]:
    """Return the outputs of an environment's data stack.

    Raises:
        NotRedriven: there is no such stack, or an old version without these outputs.
        ClientError: AWS refused.
    """
    stack = f"cloudscribe-{environment}-data"
    try:
        answer = cloudformation.describe_stacks(StackName=stack)
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            region = cloudformation.meta.region_name
            raise NotRedriven(
                f"There is no stack {stack} in {region}: is ENV right, and AWS_REGION the region "
                "of the environment?"
            ) from error
        raise
    outputs = answer["Stacks"][0].get("Outputs", [])
    known = {each["OutputKey"]: each["OutputValue"] for each in outputs}
    if missing := {each for pair in QUEUES.values() for each in pair if each} - known.keys():
        raise NotRedriven(
            f"{stack} has no outputs {', '.join(sorted(missing))}: deploy it, it is older than this"
        )
    return known


def count(sqs: SQSClient, queue: str) -> int:
    """Return the number of messages in a queue, including hidden ones."""
    attributes = sqs.get_queue_attributes(
        QueueUrl=queue,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    return sum(map(int, attributes.values()))


def move(
    sqs: SQSClient, source: str, target: str, report: RedriveReport, progress: Callable[[], None]
) -> None:
    """Send messages from a queue of dead letters back to their queue.

    Raises:
        NotRedriven: SQS stopped, or is not done in time.
        ClientError: AWS refused.
    """
    arn = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    try:
        sqs.start_message_move_task(SourceArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _UNKNOWN_ACTION:
            raise
        for message in _messages(sqs, source):
            sqs.send_message(
                QueueUrl=target,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
            _delete(sqs, source, message)
            report.moved += 1
            progress()
        return
    deadline = time.monotonic() + PATIENCE
    while True:
        tasks = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=1).get("Results", [])
        for task in tasks:  # none, until SQS knows it everywhere
            report.moved = task.get("ApproximateNumberOfMessagesMoved", 0)
            progress()
            if task["Status"] == "COMPLETED":
                return
            if task["Status"] != "RUNNING":
                reason = task.get("FailureReason", "no reason was given")
                raise NotRedriven(f"SQS stopped ({task['Status']}): {reason}")
        if time.monotonic() >= deadline:
            raise NotRedriven(f"SQS has moved for {PATIENCE:g} s and goes on; check again later")
        time.sleep(PAUSE)


def deliver(
    functions: LambdaClient,
    sqs: SQSClient,
    source: str,
    *,
    environment: str,
    report: RedriveReport,
    progress: Callable[[], None],
) -> None:
    """Invoke the functions again for their events, asynchronously.

    Raises:
        ClientError: AWS refused.
    """
    for message in _messages(sqs, source):
        found = event_of(message)
        if found is None:
            reason = "it is no event that EventBridge, Lambda or a function gave up"
            report.kept[message["MessageId"]] = reason
            continue
        name, event = found
        if not name.startswith(f"cloudscribe-{environment}-"):
            report.kept[message["MessageId"]] = f"{name} is no function of {environment}"
            continue
        try:
            functions.invoke(
                FunctionName=f"{name}:{ALIAS}",
                InvocationType="Event",
                Payload=json.dumps(event).encode(),
            )
        except functions.exceptions.ResourceNotFoundException:
            report.kept[message["MessageId"]] = f"there is no function {name} any more"
            continue
        _delete(sqs, source, message)
        report.moved += 1
        progress()


def event_of(message: MessageTypeDef) -> tuple[str, Any] | None:
    """Return an undelivered event with its function's name; None for another message.

    EventBridge sends the event itself, with the target in an attribute. Lambda sends a record of
    the invocation. Both may name an old version, so only the function's name is used. Sources:
    EventBridge User Guide, "Using dead-letter queues"; Lambda Developer Guide, "Capturing records
    of Lambda asynchronous invocations".
    """
    try:
        body = json.loads(message["Body"])
    except ValueError:
        return None
    attributes: Mapping[str, Any] = message.get("MessageAttributes", {})
    target = attributes.get("TARGET_ARN", {}).get("StringValue")
    if target is None and isinstance(body, dict):
        context = body.get("requestContext")
        target = context.get("functionArn") if isinstance(context, dict) else None
        body = body.get("requestPayload")
    found = _FUNCTION.fullmatch(target) if isinstance(target, str) else None
    return (found["name"], body) if found and body is not None else None


def _messages(sqs: SQSClient, queue: str) -> Iterator[MessageTypeDef]:
    """Yield the messages of a queue, without those that arrive meanwhile."""
    began = time.time()
    empty = 0
    while empty < EMPTY_ANSWERS:
        messages = sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=VISIBILITY,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        older = [m for m in messages if int(m["Attributes"]["SentTimestamp"]) <= began * 1000]
        empty = 0 if older else empty + 1
        yield from older


def _delete(sqs: SQSClient, queue: str, message: MessageTypeDef) -> None:
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Send dead letters back, or list them; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.commands.redrive",
        description="Sends dead letters back, once the cause is fixed.",
    )
    parser.add_argument("environment", help="e.g. demo")
    parser.add_argument("queue", nargs="?", choices=list(QUEUES), help="default: list all queues")
    parser.add_argument("--list", action="store_true", help="only print the number of messages")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    chosen = parser.parse_args(arguments)
    names = [chosen.queue] if chosen.queue else list(QUEUES)
    only_list = chosen.list or not chosen.queue
    reports: list[RedriveReport] = []
    wrong, status = "", 1
    try:
        # botocore ignores AWS_REGION, which AWS's other tools read.
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        known = resources(session.client("cloudformation"), chosen.environment)
        sqs = session.client("sqs")
        reports += (
            RedriveReport(queue=name, found=count(sqs, known[QUEUES[name][0]])) for name in names
        )
        if not only_list:
            _redrive(session, known, chosen.environment, reports[0])
            wrong = _explain_rest(reports[0])
    except (NotRedriven, BotoCoreError, ClientError) as error:
        wrong = str(error)
    except KeyboardInterrupt:
        wrong, status = INTERRUPTED, program.EXIT_INTERRUPTED
    if chosen.json:
        result = {"queues": [asdict(each) for each in reports], "error": wrong or None}
        program.show(json.dumps(result, indent=2))
    elif only_list:
        for each in reports:
            program.show(f"{each.queue:<12}{each.found:>7}")
    else:
        for line in (line for each in reports for line in each.lines()):
            program.show(line)
    if wrong:
        program.note(wrong)
    return status if wrong else 0


def _explain_rest(report: RedriveReport) -> str:
    """Return why a completed run did not send everything; `""` if it did."""
    reasons = []
    if report.kept:
        stays = "stays where it is" if len(report.kept) == 1 else "stay where they are"
        reasons.append(f"{len(report.kept)} {stays}, for the reasons given.")
    if report.hidden:
        rest = "The other" if report.moved or report.kept else "All"
        reasons.append(
            f"{rest} {report.hidden} {'is' if report.hidden == 1 else 'are'} being looked at by "
            "somebody else, or by a run of this that ended a moment ago: again in a minute."
        )
    return " ".join(reasons)


def _redrive(
    session: boto3.Session, known: Mapping[str, str], environment: str, report: RedriveReport
) -> None:
    source, target = QUEUES[report.queue]
    sqs = session.client("sqs")
    shown = sys.stderr is not None and sys.stderr.isatty()

    def progress() -> None:
        if shown:
            program.note(f"\r{report.queue}: {report.moved} of {report.found} sent back", end="")

    try:
        if target:
            move(sqs, known[source], known[target], report, progress)
        else:
            deliver(
                session.client("lambda"),
                sqs,
                known[source],
                environment=environment,
                report=report,
                progress=progress,
            )
    finally:
        if shown:
            program.note("")


if __name__ == "__main__":
    program.end(main)
