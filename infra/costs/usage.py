"""The costs of usage as rates: an hour of a stream, of speech, a recording, audio on a GPU.

The rates ignore free tiers, so that they also hold in a busy month. Their assumptions about streams
and machines are beside them and are printed with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from infra.costs import prices
from infra.costs.machines import Choice, list_choices, machine
from infra.costs.prices import HOURS_PER_MONTH, Price, Usage
from infra.costs.tasks import count_tasks, find_setting, on_fargate, split, task_hour
from infra.costs.templates import EnvironmentResources, Resource, mentions
from speech.transcribe_operations import is_medical
from transcripts.recordings.machines import ASSUMED_SPEED

# --- what is assumed ----------------------------------------------------------------------------

#: One hour at 16 kHz, 16 bits, one channel: 115.2 MB.
STREAM_GB: Final = Decimal("0.1152")
#: A load balancer's unit is 1 GB an hour; of its dimensions, a stream uses most of this one.
STREAM_LCUS: Final = STREAM_GB
#: A final every five seconds, of at most 1 KB.
UTTERANCES: Final = 720
#: A final is an update of the stream's entry in the ledger, of 2 KB. Twice a minute it also moves
#: the entry in the index, which is two writes.
LEDGER_WRITES: Final = 720 * 2 + 60 * 2 * 2
#: SQS: send, receive, delete.
REQUESTS_PER_MESSAGE: Final = 3
#: The processor takes 0.1 s of 256 MiB for an utterance, and logs 2 KB about it.
FUNCTION_GB_SECONDS: Final = Decimal("0.1") / 4
FUNCTION_LOG_GB: Final = Decimal("0.000002")
#: While somebody watches, the last two minutes (some 16 KB) of the table are read every five
#: seconds, consistently, at 4 KB to the unit. Each final is looked up twice, at half a unit.
READ_UNITS: Final = 720 * 4 + UTTERANCES
#: Metrics that the processor sends while it works.
FUNCTION_METRICS: Final = 2
#: Router, worker and combiner: three runs of a second with 256 MiB, twenty requests to S3.
RECORDING_RUNS: Final = 3
RECORDING_REQUESTS: Final = 20
#: A request to the API of accounts takes 30 ms of 1 GiB and reads 4 items, the largest of 4 KB,
#: consistently. A refusal takes 5 ms and reads nothing: measured are 0.2 ms of CPU on a desktop.
#: Both write lines of 1.5 KB into the logs of function and gateway.
API_GB_SECONDS: Final = Decimal("0.030")
REFUSAL_GB_SECONDS: Final = Decimal("0.005")
API_READ_UNITS: Final = 4
API_LOG_GB: Final = Decimal("0.0000015")
MILLION: Final = 1_000_000
#: Characters of an hour of speech without a pause, at 900 a minute.
SPEECH_CHARACTERS: Final = 60 * 900
#: Partials are translated, too. Besides the final itself they add at most this many times its
#: characters (`Policy.partial_factor` in `ecs_service/conversations/translation_plan.py`).
PARTIAL_FACTOR: Final = 3
#: The router's setting with the speed of a machine.
SPEED_SETTING: Final = "SERVER_SPEED"
#: Seconds between two translations of an utterance's partials (`Policy.partial_every`), and those
#: from one final to the next.
PARTIAL_SECONDS: Final = Decimal("0.4")
UTTERANCE_SECONDS: Final = Decimal(3600) / UTTERANCES


@dataclass(frozen=True, slots=True)
class RatePart:
    """A part of a rate, US dollars."""

    what: str
    dollars: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRate:
    """The price of one unit of usage."""

    per: str
    usage: Usage
    parts: tuple[RatePart, ...]
    #: Its assumptions, for people.
    assumed: str = ""

    @property
    def dollars(self) -> Decimal:
        """The sum of its parts."""
        return sum((part.dollars for part in self.parts), Decimal(0))


def _translated(what: str, characters: int) -> RatePart:
    price = prices.TRANSLATE_MILLION_CHARACTERS / 1_000_000
    return RatePart(f"{what}, {characters} characters", characters * price)


#: Not in the total: these are called only if chosen, and while somebody speaks.
TRANSCRIBE: Final = UsageRate(
    per="Amazon Transcribe, a minute of a live stream",
    usage=Usage.SPEECH,
    parts=(RatePart("one minute", prices.TRANSCRIBE_MINUTE),),
    assumed=(
        f"${60 * prices.TRANSCRIBE_MINUTE:.2f} an hour, silence included; at least 15 s are "
        "charged for a stream; redaction and language models of your own cost more"
    ),
)
TRANSCRIBE_MEDICAL: Final = UsageRate(
    per="Amazon Transcribe Medical, a minute of a live stream",
    usage=Usage.SPEECH,
    parts=(RatePart("one minute", prices.TRANSCRIBE_MEDICAL_MINUTE),),
    assumed=(
        f"${60 * prices.TRANSCRIBE_MEDICAL_MINUTE:.2f} an hour, silence included; at least 15 s "
        "are charged for a stream; it is for streams with a specialty, instead of the price above"
    ),
)
TRANSLATE: Final = UsageRate(
    per="Amazon Translate, an hour of speech into a language, at most",
    usage=Usage.SPEECH,
    parts=(
        _translated("finals", SPEECH_CHARACTERS),
        _translated("partials, at most", PARTIAL_FACTOR * SPEECH_CHARACTERS),
    ),
    assumed=(
        "900 characters a minute without a pause; only languages that somebody reads, and in each "
        "task anew in which somebody reads them"
    ),
)


def _detected(what: str, requests: int, characters: int) -> RatePart:
    """Return the price of detecting the language of texts, each up to a number of characters."""
    units = max(prices.COMPREHEND_LEAST_UNITS, -(-characters // prices.COMPREHEND_UNIT_CHARACTERS))
    return RatePart(f"{what}, {requests} requests", requests * units * prices.COMPREHEND_UNIT)


_FINAL_CHARACTERS: Final = SPEECH_CHARACTERS // UTTERANCES
DETECT: Final = UsageRate(
    per="Amazon Comprehend, an hour of speech whose language is detected, at most",
    usage=Usage.SPEECH,
    parts=(
        _detected("finals", UTTERANCES, _FINAL_CHARACTERS),
        _detected(
            "partials, at most",
            UTTERANCES * int(UTTERANCE_SECONDS / PARTIAL_SECONDS),
            _FINAL_CHARACTERS,
        ),
    ),
    assumed=(
        "a final every five seconds and a partial every 0.4 s, of up to 300 characters; for each "
        "language that somebody reads, also for what is in that language already"
    ),
)


def list_rates(resources: EnvironmentResources) -> list[UsageRate]:
    """Return the rates of an environment's resources.

    Raises:
        UnpricedResource: for a machine or task that may be started no price is known.
    """
    found = [*_stream(resources), *_speech(resources, chosen=True), *_recording(resources)]
    found += [*_tasks(resources), *_gpus(resources), *_accounts(resources)]
    return [*found, *_gigabytes(resources)]


def list_unused_rates(resources: EnvironmentResources) -> list[UsageRate]:
    """Return the rates of Transcribe and Translate if no task calls them."""
    return list(_speech(resources, chosen=False))


def _speech(resources: EnvironmentResources, *, chosen: bool) -> Iterator[UsageRate]:
    """Return the rates of the language services that tasks call, or of those that none calls."""
    tasks = resources.of("AWS::ECS::TaskDefinition")
    called = {rate.per for task in tasks for rate in list_called(task)}
    # The others are variants, not services: they are named only if chosen.
    for rate in (TRANSCRIBE, TRANSCRIBE_MEDICAL, TRANSLATE, DETECT):
        if (rate.per in called) == chosen and (chosen or rate in {TRANSCRIBE, TRANSLATE}):
            yield rate


def list_called(task: Resource) -> Iterator[UsageRate]:
    """Yield the rates of the language services that a task calls."""

    def has(named: tuple[str, str]) -> bool:
        name, value = named
        return find_setting(task, name) == value

    if has(prices.TRANSCRIBE_SETTING):
        always = is_medical(
            json.loads(find_setting(task, prices.TRANSCRIBE_OPTIONS_SETTING) or "{}")
        )
        allowed = json.loads(find_setting(task, prices.TRANSCRIBE_ALLOWED_SETTING) or "{}")
        if not always:
            yield TRANSCRIBE
        if always or allowed.get("medical"):
            yield TRANSCRIBE_MEDICAL
    if has(prices.TRANSLATE_SETTING):
        yield TRANSLATE
    if has(prices.DETECT_SETTING):
        yield DETECT


def _stream(resources: EnvironmentResources) -> Iterator[UsageRate]:
    """Return the rate of a stream, if the environment takes streams."""
    if not resources.of("AWS::ECS::Service"):
        return
    runs = UTTERANCES * (prices.LAMBDA_REQUEST + FUNCTION_GB_SECONDS * prices.LAMBDA_ARM_GB_SECOND)
    parts = _present(
        resources,
        (
            (
                "load balancer, 0.1152 LCU",
                STREAM_LCUS * prices.LCU_HOUR,
                (
                    "AWS::ElasticLoadBalancingV2::ListenerRule",
                    "AWS::ElasticLoadBalancingV2::LoadBalancer",
                ),
            ),
            (
                "CloudFront, 0.1152 GB to the origin",
                STREAM_GB * prices.CLOUDFRONT_TO_ORIGIN_GB,
                ("AWS::CloudFront::Distribution",),
            ),
            (
                "SQS, 2160 requests",
                UTTERANCES * REQUESTS_PER_MESSAGE * prices.SQS_REQUEST,
                ("AWS::SQS::Queue",),
            ),
            ("Lambda, 720 runs", runs, ("AWS::Lambda::Function",)),
            (
                "DynamoDB, 2400 writes and 3600 reads",
                (UTTERANCES + LEDGER_WRITES) * prices.DYNAMODB_WRITE
                + READ_UNITS * prices.DYNAMODB_READ,
                ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable"),
            ),
            (
                "logs, 1.4 MB",
                UTTERANCES * FUNCTION_LOG_GB * prices.LOGS_GB,
                ("AWS::Logs::LogGroup",),
            ),
            (
                "metrics of the processor, 2",
                FUNCTION_METRICS * prices.CUSTOM_METRIC.dollars / HOURS_PER_MONTH,
                ("AWS::Lambda::Function",),
            ),
        ),
    )
    yield UsageRate(
        per=Usage.STREAM,
        usage=Usage.STREAM,
        parts=parts,
        assumed=(
            "16 kHz, one channel, an utterance every five seconds, one viewer; "
            "what CloudFront sends to viewers is within its free terabyte"
        ),
    )


def _recording(resources: EnvironmentResources) -> Iterator[UsageRate]:
    if not resources.of("AWS::S3::Bucket"):
        return
    seconds = RECORDING_RUNS * Decimal("0.25")
    parts = _present(
        resources,
        (
            (
                "S3, 20 requests",
                RECORDING_REQUESTS // 2 * (prices.S3_PUT + prices.S3_GET),
                ("AWS::S3::Bucket",),
            ),
            ("SQS, 3 requests", REQUESTS_PER_MESSAGE * prices.SQS_REQUEST, ("AWS::SQS::Queue",)),
            (
                "Lambda, 3 runs of a second",
                RECORDING_RUNS * prices.LAMBDA_REQUEST + seconds * prices.LAMBDA_ARM_GB_SECOND,
                ("AWS::Lambda::Function",),
            ),
            (
                "S3, 0.1152 GB kept for a month",
                STREAM_GB * prices.S3_GB,
                ("AWS::S3::Bucket",),
            ),
        ),
    )
    yield UsageRate(
        per=Usage.RECORDING,
        usage=Usage.RECORDING,
        parts=parts,
        assumed="16 kHz, one channel, uncompressed; without its time on a GPU",
    )


def _present(
    resources: EnvironmentResources, parts: Iterable[tuple[str, Decimal, tuple[str, ...]]]
) -> tuple[RatePart, ...]:
    """Return the parts for whose types the environment has a resource."""
    return tuple(RatePart(what, dollars) for what, dollars, types in parts if resources.of(*types))


def _tasks(resources: EnvironmentResources) -> Iterator[UsageRate]:
    """Return the price of each task that autoscaling adds, by the capacity that it starts next."""
    for target in resources.of("AWS::ApplicationAutoScaling::ScalableTarget"):
        for service in resources.of("AWS::ECS::Service"):
            scaled = service.stack == target.stack and mentions(
                target.value("ResourceId"), service.logical_id
            )
            if not scaled or not on_fargate(service):
                continue
            least, most = count_tasks(service, resources), target.number("MaxCapacity")
            if most <= least:
                continue
            spot = split(service, least + 1).spot > split(service, least).spot
            yield UsageRate(
                per=Usage.TASK,
                usage=Usage.TASK,
                parts=_hour(task_hour(service, resources, spot=spot)),
                assumed=f"from {least} to {most} tasks, as load demands",
            )


def _gpus(resources: EnvironmentResources) -> Iterator[UsageRate]:
    """Return the price of an hour of audio on each machine that may start, Spot and on demand."""
    speed = _speed(resources)
    for group in resources.of("AWS::AutoScaling::AutoScalingGroup"):
        for choice in list_choices(group, resources):
            for spot in (True, False):
                yield _audio_hour(replace(choice, spot=spot), speed)


def _speed(resources: EnvironmentResources) -> Decimal:
    """Return the hours of audio that a machine transcribes in an hour, by the router's setting."""
    for function in resources.of("AWS::Lambda::Function"):
        found = function.value("Environment", "Variables", SPEED_SETTING)
        if isinstance(found, str):
            return Decimal(found)
    return Decimal(str(ASSUMED_SPEED))


def _audio_hour(choice: Choice, speed: Decimal) -> UsageRate:
    hour = _hour(machine(choice))
    dollars = sum((part.dollars for part in hour), Decimal(0))
    return UsageRate(
        per=f"{Usage.GPU}, {choice.instance_type} {'Spot' if choice.spot else 'on demand'}",
        usage=Usage.GPU,
        parts=tuple(RatePart(part.what, part.dollars / speed) for part in hour),
        assumed=(
            f"${dollars:.4f} an hour of the machine, in which {speed.normalize():f} hours of audio "
            "are assumed: not measured; starting and idle time come on top"
        ),
    )


def _hour(used: Iterable[tuple[Price, Decimal]]) -> tuple[RatePart, ...]:
    return tuple(
        RatePart(price.what, quantity * price.monthly / HOURS_PER_MONTH) for price, quantity in used
    )


def _accounts(resources: EnvironmentResources) -> Iterator[UsageRate]:
    """Return the rates of people, of requests to their API, and of refused ones."""
    if resources.of("AWS::Cognito::UserPool"):
        yield UsageRate(
            per="a person who signs in in a month, beyond 10,000",
            usage=Usage.ACCOUNTS,
            parts=(RatePart("Cognito, Essentials", prices.COGNITO_PERSON),),
            assumed="the first 10,000 of the account are free in each month",
        )
    if not resources.of("AWS::ApiGatewayV2::Api"):
        return
    for per, seconds, reads in (
        ("a million requests to the API of accounts", API_GB_SECONDS, API_READ_UNITS),
        ("a million requests that the API refuses", REFUSAL_GB_SECONDS, 0),
    ):
        yield UsageRate(
            per=per,
            usage=Usage.ACCOUNTS,
            parts=_million(seconds, reads),
            assumed="what the gateway throttles costs CloudFront's part alone",
        )


def _million(seconds: Decimal, reads: int) -> tuple[RatePart, ...]:
    parts = (
        ("API Gateway", prices.HTTP_API_REQUEST),
        ("CloudFront, beyond 10 million a month", prices.CLOUDFRONT_REQUEST),
        ("Lambda", prices.LAMBDA_REQUEST + seconds * prices.LAMBDA_ARM_GB_SECOND),
        ("DynamoDB", reads * prices.DYNAMODB_READ),
        ("logs", API_LOG_GB * prices.LOGS_GB),
    )
    return tuple(RatePart(what, MILLION * dollars) for what, dollars in parts if dollars)


def _gigabytes(resources: EnvironmentResources) -> Iterator[UsageRate]:
    """Return the prices of a GB that is stored or transferred."""
    tables = resources.of("AWS::DynamoDB::Table")
    restorable = any(
        table.value("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled")
        for table in tables
    )
    for what, dollars, present in (
        ("recordings, pages and access logs in S3, a month", prices.S3_GB, "AWS::S3::Bucket"),
        (
            "utterances in DynamoDB, a month beyond 25 GB",
            prices.DYNAMODB_GB,
            "AWS::DynamoDB::Table",
        ),
        ("images in ECR, a month", prices.ECR_GB, "AWS::ECS::Service"),
        ("logs written, beyond 5 GB a month", prices.LOGS_GB, "AWS::Logs::LogGroup"),
        ("logs kept, a month", prices.LOGS_KEPT_GB, "AWS::Logs::LogGroup"),
        ("flow logs written", prices.LOGS_GB, "AWS::EC2::FlowLog"),
        ("through a NAT gateway", prices.NAT_GB, "AWS::EC2::NatGateway"),
    ):
        if resources.of(present):
            yield _gigabyte(what, dollars)
    endpoints = resources.of("AWS::EC2::VPCEndpoint")
    if any(endpoint.value("VpcEndpointType") == "Interface" for endpoint in endpoints):
        yield _gigabyte("through an interface endpoint", prices.ENDPOINT_GB)
    if restorable:
        yield _gigabyte("utterances that can be restored, a month", prices.DYNAMODB_PITR_GB)


def _gigabyte(what: str, dollars: Decimal) -> UsageRate:
    return UsageRate(
        per=f"{Usage.GIGABYTE}: {what}", usage=Usage.GIGABYTE, parts=(RatePart(what, dollars),)
    )
