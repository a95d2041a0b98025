"""The environments' type: what can be chosen, and what cannot be.

An `Environment` is a frozen value. `app.py` makes one per environment by an explicit call;
values of your own account come from the CDK's context (`cdk.context.json`) and replace fields
of the same name. What an environment leaves out (`live`, `gpu`, `operations`, `delivery`) is
not provisioned.

ValueError
├── pydantic.ValidationError    of `Environment`; `foundation.invalid` has words for it
└── WrongEnvironment            an environment with values of your own cannot be provisioned

All problems are reported at once: each part yields its own, and the environment collects them.
A value of a wrong type hides no other problem.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Final, Literal, Self

from aws_cdk.region_info import RegionInfo
from pydantic import Field, ValidationError, model_validator

from infra.aws import cron
from infra.aws.cron import InvalidCron
from infra.aws.language_regions import (
    COMPREHEND,
    TRANSCRIBE_MEDICAL_STREAMING,
    TRANSCRIBE_STREAMING,
    TRANSLATE,
)
from infra.aws.log_retention import RETENTION
from infra.aws.prefix_lists import CLOUDFRONT_ORIGIN_FACING
from infra.aws.zones import zone_ids
from infra.config import gpu_settings
from infra.config.mistakes import covers, mistakes, suggestion, without
from infra.config.parts import Part, Problem
from infra.config.recognition import Engine, Pocketsphinx, Transcribe
from infra.config.translation import Translation
from transcripts.recordings.machines import ASSUMED_SPEED

#: Memory that Fargate gives to a task of so many CPU units, MiB: least, most, step.
#: Source: Amazon ECS Developer Guide, "Task CPU and memory".
FARGATE_MEMORY: Final[Mapping[int, tuple[int, int, int]]] = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16_384, 1024),
    4096: (8192, 30_720, 1024),
}

#: The most that ECS waits between SIGTERM and SIGKILL on Fargate, seconds.
MAX_STOP_SECONDS: Final = 120
#: What the service takes beyond its drain to close files and connections, seconds.
STOP_MARGIN_SECONDS: Final = 10
#: What a viewer takes of a task's memory while it reads, bytes; 25 to 31 kB were measured.
VIEWER_BYTES: Final = 31_000
#: Fargate lets a task open 65,535 files, and a viewer takes one.
MOST_VIEWERS: Final = 60_000
#: What the service may take of a t4g.nano's 512 MiB; the system, Docker and ECS's agent need the
#: rest (`NoLoadBalancer`), MiB.
MACHINE_MEMORY_MIB: Final = 320

_ARN: Final = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):\d{12}:.+")
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,11}")
_DOMAIN: Final = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_ZONE_ID: Final = re.compile(r"Z[A-Z0-9]{1,31}")
#: Also of a local zone, such as `us-west-2-lax-1a`.
_ZONE: Final = re.compile(r"(?P<region>[a-z]{2,4}(?:-[a-z]+)+-\d+)(?:-[a-z]+-\d+)?[a-z]")
#: Source: docs.docker.com, reference of `docker image tag`; a tag or a digest has to be there.
_IMAGE: Final = re.compile(
    r"[a-zA-Z0-9][\w.-]*(?::\d+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::\w[\w.-]{0,127}(?:@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})",
    re.ASCII,
)
#: A family with a GPU, and a size, as all of EC2's are written.
_GPU_INSTANCE: Final = re.compile(r"(?:gr?|p)\d[a-z]*(?:-[a-z]*\d+)?\.(?:large|\d*xlarge|metal)")
_FOLDER: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
#: Source: AWS General Reference, "Tag naming limits and requirements".
_TAG: Final = re.compile(r"[\w .:/=+@-]*")
#: Tags that all our resources have; pipelines, `make cost` and the budget find them by these.
OUR_TAGS: Final = frozenset({"application", "environment"})
#: As a token's subject has it; the numbers are both there or both missing.
_REPOSITORY: Final = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+@\d+/[\w.-]+@\d+")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


# --- data and functions --------------------------------------------------------------------


class Data(Part):
    """What is kept, and for how long."""

    #: Keep tables and buckets when a stack is deleted, and refuse to delete the table.
    protected: bool
    #: Restore the table to any second of the last so many days; 0 switches it off.
    point_in_time_recovery_days: int = 0
    utterance_days: int = 30
    #: Recordings are deleted after so many days; None keeps them.
    recording_days: int | None = 30

    def problems(self) -> Iterator[Problem]:
        """Yield periods that are out of range."""
        if not 0 <= self.point_in_time_recovery_days <= 35:  # noqa: PLR2004 - DynamoDB's limit
            yield "point_in_time_recovery_days", "give 0 to 35 days"
        if not 1 <= self.utterance_days <= 3650:  # noqa: PLR2004 - the function refuses more
            yield "utterance_days", "give 1 to 3650 days"
        if self.recording_days is not None and self.recording_days < 1:
            yield "recording_days", "give at least 1 day, or null to keep recordings"


class Canary(Part):
    """How a new version of a function takes over: first a tenth of the calls, then all."""

    minutes: Literal[5, 10, 15, 30] = 5


class Functions(Part):
    """How Lambda functions are deployed."""

    #: None sends every call to a new version at once.
    canary: Canary | None
    #: Bring the locked dependencies as a layer (built for arm64). Without it the runtime has
    #: to have them, as the interpreter of the embedded emulator does.
    with_dependencies: bool = True
    #: Invocations of the transcript processor at once, 2 to 1000.
    processor_concurrency: int = 10
    log_days: int = 14
    #: How often the batch worker looks at the queue of jobs by itself, minutes. What the router
    #: queues wakes it at once; this finds what others have queued, and stops idle machines.
    batch_worker_minutes: int = 1

    def problems(self) -> Iterator[Problem]:
        """Yield what AWS would refuse."""
        if not 2 <= self.processor_concurrency <= 1000:  # noqa: PLR2004 - Lambda's limits
            yield "processor_concurrency", "an event source takes 2 to 1000 invocations at once"
        if self.log_days not in RETENTION:
            yield "log_days", _log_days(self.log_days)
        if not 1 <= self.batch_worker_minutes <= 60:  # noqa: PLR2004 - an hour late is too late
            yield "batch_worker_minutes", "give 1 to 60 minutes"


# --- the live way -----------------------------------------------------------------------------


class Network(Part):
    """A network of its own: public subnets, and private ones where something needs them."""

    cidr: str = "10.20.0.0/16"
    #: Availability zones, 2 to 3; a load balancer insists on two.
    zones: int = 2
    #: NAT gateways cost some $33 a month each; nothing here needs one.
    nat_gateways: int = 0
    flow_logs: bool = False

    def problems(self) -> Iterator[Problem]:
        """Yield a network that cannot be cut into subnets."""
        try:
            network = ipaddress.ip_network(self.cidr)
        except ValueError as error:
            yield "cidr", f"{self.cidr} is no network: {error}"
        else:
            if network.version != 4 or not network.is_private:  # noqa: PLR2004 - IPv4
                yield "cidr", f"{self.cidr} is not a private IPv4 network (RFC 1918)"
            elif not 16 <= network.prefixlen <= 22:  # noqa: PLR2004 - a VPC's most; ours needs this
                yield "cidr", f"{self.cidr}: a prefix of 16 to 22 bits leaves room for subnets"
        if self.zones not in {2, 3}:
            yield "zones", "give 2 or 3 availability zones"
        if not 0 <= self.nat_gateways <= self.zones:
            yield "nat_gateways", "give 0, or at most one per availability zone"


class SharedLoadBalancer(Part):
    """A load balancer that exists already and serves others as well; known by attributes only.

    A rule is added to its HTTPS listener. CloudFront reaches it over the internet by a name
    that its certificate covers, and proves itself with a secret header.
    """

    kind: Literal["shared"] = "shared"
    listener_arn: str
    #: What CloudFront connects to; the listener's certificate must cover it.
    domain_name: str
    security_group_id: str
    vpc_id: str
    #: Public subnets of that network, one or more, and their zones in the same order.
    subnet_ids: tuple[str, ...]
    availability_zones: tuple[str, ...]
    #: Where the rule stands among the listener's others, 1 to 50000.
    rule_priority: int = 100

    def problems(self) -> Iterator[Problem]:
        """Yield attributes that cannot be right."""
        if not _is_arn(self.listener_arn, "elasticloadbalancing", ":listener/app/"):
            yield "listener_arn", "is not the ARN of an Application Load Balancer's listener"
        if not _DOMAIN.fullmatch(self.domain_name):
            yield "domain_name", f"{self.domain_name!r} is not a domain name"
        for field, value, prefix in (
            ("security_group_id", self.security_group_id, "sg-"),
            ("vpc_id", self.vpc_id, "vpc-"),
            *(("subnet_ids", subnet, "subnet-") for subnet in self.subnet_ids),
        ):
            if not re.fullmatch(rf"{prefix}[0-9a-f]{{8,17}}", value):
                yield field, f"{value!r} does not look like {prefix}0123456789abcdef0"
        if not self.subnet_ids or len(self.subnet_ids) != len(self.availability_zones):
            yield "subnet_ids", "give at least one subnet, and a zone for each"
        for zone in self.availability_zones:
            if not _ZONE.fullmatch(zone):
                yield (
                    "availability_zones",
                    f"{zone!r} is not the name of a zone, such as us-east-1a",
                )
        if not 1 <= self.rule_priority <= 50_000:  # noqa: PLR2004 - the listener's limit
            yield "rule_priority", "give 1 to 50000"

    @property
    def region(self) -> str | None:
        """The region that the listener's ARN names."""
        return _region_of(self.listener_arn)

    @property
    def account(self) -> str:
        """The account that the listener's ARN names."""
        return self.listener_arn.split(":")[4]


class DedicatedLoadBalancer(Part):
    """A load balancer of its own: internal, reached by CloudFront through a VPC origin."""

    kind: Literal["dedicated"] = "dedicated"
    network: Network = Network()
    #: Certificate for the environment's domain in the environment's own region. With it the
    #: way from CloudFront to the load balancer is HTTPS; without a domain there is no
    #: certificate that CloudFront would trust, and the way inside AWS's network is HTTP.
    certificate_arn: str | None = None
    #: Keep the load balancer's access log in a bucket. Its entries hold whole addresses, and so
    #: the names of conversations; CloudFront's log (`Live.access_logs`) does not.
    access_logs: bool = False

    def problems(self) -> Iterator[Problem]:
        """Yield a certificate that is none."""
        yield from super().problems()
        if self.certificate_arn is not None and not _is_arn(
            self.certificate_arn, "acm", ":certificate/"
        ):
            yield "certificate_arn", "is not the ARN of a certificate"

    @property
    def region(self) -> str | None:
        """The region that the certificate's ARN names."""
        return _region_of(self.certificate_arn)


class NoLoadBalancer(Part):
    """No load balancer: CloudFront reaches one EC2 machine (t4g.nano) through a VPC origin."""

    kind: Literal["none"] = "none"
    network: Network = Network()
    #: Another number replaces the machine by one of Amazon's newest image. Nothing else does.
    machine: int = 1

    def problems(self) -> Iterator[Problem]:
        """Yield a number that is none."""
        yield from super().problems()
        if not 1 <= self.machine <= 9999:  # noqa: PLR2004 - part of a name
            yield "machine", "give 1 to 9999; another number makes another machine"

    @property
    def region(self) -> str | None:
        """None: nothing of it names a region."""
        return None


LoadBalancer = Annotated[
    SharedLoadBalancer | DedicatedLoadBalancer | NoLoadBalancer, Field(discriminator="kind")
]


class Service(Part):
    """The WebSocket service's tasks on Fargate, ARM64."""

    #: 1024 units are one vCPU.
    cpu: int = 256
    memory_mib: int = 512
    #: An image with tag or digest, e.g. from the pipeline; None builds ecs_service/Dockerfile.
    image: str | None = None
    engine: Engine = Pocketsphinx()
    #: None leaves translation out.
    translation: Translation | None = None
    #: Streams of a task at a time; None leaves it to the engine.
    slots: int | None = None
    #: Viewers of a task at a time; None: as many as a quarter of its memory holds, and it may
    #: have files open for.
    viewers: int | None = None
    #: Viewers of one conversation at a time and task; None: half of them.
    viewers_per_conversation: int | None = None
    #: A stream is ended after so much audio, seconds; None sets no limit.
    max_stream_seconds: float | None = None
    #: Tasks, least and most. Equal numbers switch autoscaling off.
    minimum_tasks: int = 1
    maximum_tasks: int = 1
    #: So many tasks run on demand before Spot is used; None uses no Spot at all.
    on_demand_base: int | None = None
    #: What a task gets on SIGTERM to end streams and hand finals to the queue, seconds.
    drain_seconds: int = 25
    log_days: int = 14

    def problems(self) -> Iterator[Problem]:
        """Yield what ECS or Transcribe would refuse, or what would lose finals."""
        yield from super().problems()
        yield from self._size_problems()
        if self.image is not None and not _IMAGE.fullmatch(self.image):
            yield "image", f"{self.image!r} is not an image with a tag or digest"
        if self.slots is not None and self.slots < 1:
            yield "slots", "give at least 1, or null"
        yield from self._viewer_problems()
        yield from self._quota_problems()
        if self.max_stream_seconds is not None and self.max_stream_seconds <= 0:
            yield "max_stream_seconds", "give more than 0 seconds, or null"
        if not 1 <= self.minimum_tasks <= self.maximum_tasks:
            yield "minimum_tasks", "give at least 1, and not more than maximum_tasks"
        if self.maximum_tasks < 1:
            yield "maximum_tasks", "give at least 1"
        if self.on_demand_base is not None and not 0 <= self.on_demand_base <= self.minimum_tasks:
            yield "on_demand_base", "give 0 to minimum_tasks, or null for no Spot"
        if not 1 <= self.drain_seconds <= MAX_STOP_SECONDS - STOP_MARGIN_SECONDS:
            most_seconds = MAX_STOP_SECONDS - STOP_MARGIN_SECONDS
            yield (
                "drain_seconds",
                f"give 1 to {most_seconds}: Fargate kills after {MAX_STOP_SECONDS} s",
            )
        if self.log_days not in RETENTION:
            yield "log_days", _log_days(self.log_days)

    def _size_problems(self) -> Iterator[Problem]:
        sizes = FARGATE_MEMORY.get(self.cpu)
        if sizes is None:
            yield "cpu", f"Fargate has {', '.join(map(str, FARGATE_MEMORY))} units, not {self.cpu}"
        if not any(
            least <= self.memory_mib <= most and self.memory_mib % step == 0
            for least, most, step in ([sizes] if sizes else FARGATE_MEMORY.values())
        ):
            least, most, step = sizes or (512, 30_720, 512)
            units = f"{self.cpu} CPU units" if sizes else "as many CPU units as they need"
            yield "memory_mib", f"with {units}: {least} to {most} MiB in steps of {step}"

    def _viewer_problems(self) -> Iterator[Problem]:
        """Yield viewers for whom there is no memory, or of whom none would get in."""
        most = _viewers_in(self.memory_mib / 2)
        if self.viewers is not None and not 1 <= self.viewers <= most:
            yield "viewers", f"a task of {self.memory_mib} MiB takes 1 to {most}; or give null"
        most = self.task_viewers if self.task_viewers >= 1 else most
        each = self.viewers_per_conversation
        if each is not None and not 1 <= each <= most:
            yield "viewers_per_conversation", f"give 1 to {most}, or null"

    def _quota_problems(self) -> Iterator[Problem]:
        """Yield slots that Transcribe would not keep: a speaker is let in, and then refused."""
        if not isinstance(self.engine, Transcribe):
            return
        quota, most = self.engine.quota, self.maximum_tasks
        if self.slots is not None and self.slots * most > quota:
            yield (
                "slots",
                f"{self.slots} on each of up to {most} tasks are more than engine.quota, {quota}",
            )
        elif self.slots is None and most > quota >= 1:
            yield "maximum_tasks", f"more tasks than streams: engine.quota is {quota}"

    @property
    def task_slots(self) -> int | None:
        """Streams of a task at a time; None leaves it to the service."""
        if self.slots is not None:
            return self.slots
        return self.engine.streams(self.cpu, self.maximum_tasks)

    @property
    def task_viewers(self) -> int:
        """Viewers of a task at a time.

        The other three quarters are for the service itself (80 MB), its streams and their engine,
        and what waits to be read.
        """
        return _viewers_in(self.memory_mib / 4) if self.viewers is None else self.viewers

    @property
    def stop_seconds(self) -> int:
        """What ECS waits between SIGTERM and SIGKILL, seconds."""
        return self.drain_seconds + STOP_MARGIN_SECONDS


class HostedZone(Part):
    """A zone of Route 53 in which the domain's record is made."""

    zone_id: str
    name: str

    def problems(self) -> Iterator[Problem]:
        """Yield what Route 53 would not know."""
        if not _ZONE_ID.fullmatch(self.zone_id):
            yield "zone_id", f"{self.zone_id!r} is not the id of a zone, such as Z0123456789ABC"
        if not _DOMAIN.fullmatch(self.name):
            yield "name", f"{self.name!r} is not a domain name"


class Domain(Part):
    """A domain of your own for the page."""

    name: str
    #: A certificate for it in us-east-1, where CloudFront looks for it.
    certificate_arn: str | None = None
    #: None: you make the record yourself.
    hosted_zone: HostedZone | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield a domain that CloudFront would refuse."""
        yield from super().problems()
        if not _DOMAIN.fullmatch(self.name):
            yield "name", f"{self.name!r} is not a domain name"
        if self.certificate_arn is None:
            yield "certificate_arn", f"is missing: CloudFront needs a certificate for {self.name}"
        elif not _is_arn(self.certificate_arn, "acm", ":certificate/"):
            yield "certificate_arn", "is not the ARN of a certificate"
        elif _region_of(self.certificate_arn) != "us-east-1":
            yield "certificate_arn", "CloudFront takes certificates from us-east-1 only"
        zone = self.hosted_zone
        if zone is not None and self.name != zone.name and not self.name.endswith(f".{zone.name}"):
            yield "hosted_zone", f"{self.name} is not in the zone {zone.name}"


class Live(Part):
    """Live captions: the page and the service behind one address."""

    load_balancer: LoadBalancer
    service: Service
    domain: Domain | None = None
    #: Keep CloudFront's access log in a bucket.
    access_logs: bool = False


# --- what is optional ---------------------------------------------------------------------------


#: The longest that jobs may be held back: SQS keeps them for 14 days.
LONGEST_HOLD: Final = timedelta(days=7)


class Gpu(Part):
    """Machines with a GPU that transcribe recordings; none while there is nothing to do."""

    #: A folder with a Dockerfile, or an image with tag or digest.
    image: str | None = None
    #: Who transcribes in an image that is built from a folder: faster-whisper, which makes an image
    #: of some 2.5 GB; or WhisperX, which labels speakers, and makes one of some 12 GB.
    transcriber: Literal["faster-whisper", "whisperx"] = "faster-whisper"
    #: What is baked into it: a name that faster-whisper knows, or of a repository in the Hugging
    #: Face hub. None: large-v3-turbo, and for WhisperX large-v3.
    model: str | None = None
    #: Languages whose models for the alignment of words are baked in, too. Only WhisperX aligns;
    #: None: English for it.
    alignment_languages: tuple[str, ...] | None = None
    #: The server's settings (`python -m gpu_server --help`), but for those that the stack makes.
    settings: Mapping[str, str] = {}
    #: In order of preference; each has one GPU that holds the model.
    instance_types: tuple[str, ...] = ("g6.xlarge", "g5.xlarge", "g4dn.xlarge")
    maximum_instances: int = 1
    spot: bool = True
    #: Jobs that one machine is expected to work off before another one is started.
    jobs_per_instance: int = 50
    #: The first machine is started when so many jobs wait, or when one has waited for so many
    #: minutes. Each start is paid for with some minutes of loading, so more is cheaper, and later.
    jobs_to_start: int = 1
    longest_wait_minutes: int = 0
    #: Seconds of audio that a machine is expected to transcribe in a second. What would take a
    #: machine more than some minutes is queued at once; `make cost` reckons with it, too.
    speed: float = ASSUMED_SPEED
    #: A machine without work for so long is stopped, minutes.
    idle_minutes: int = 10
    #: When machines may be started for jobs that wait, as an EventBridge cron expression in UTC,
    #: such as `cron(0 0 * * ? *)`; from then on until the queue is empty. None: at any time.
    batch_at: str | None = None
    #: Times at which one machine is kept ready, as EventBridge cron expressions in UTC.
    warm_from: str | None = None
    warm_until: str | None = None
    log_days: int = 14

    def problems(self) -> Iterator[Problem]:
        """Yield what could not start, or would never stop."""
        if not self.image:
            yield "image", "is missing: give the folder of a Dockerfile, or an image"
        elif not (_IMAGE if ":" in self.image else _FOLDER).fullmatch(self.image):
            yield "image", f"{self.image!r} is neither a folder nor an image with a tag or digest"
        if not self.instance_types:
            yield "instance_types", "give at least one"
        for kind in self.instance_types:
            if not _GPU_INSTANCE.fullmatch(kind):
                hint = suggestion(kind, Gpu.model_fields["instance_types"].default)
                yield "instance_types", f"{kind!r} is not an instance type with a GPU: {hint}"
        if self.maximum_instances < 1:
            yield "maximum_instances", "give at least 1, or leave gpu out"
        yield from self._image_problems()
        yield from self._work_problems()
        if not 1 <= self.idle_minutes <= 720:  # noqa: PLR2004 - an alarm spans a day at most
            yield "idle_minutes", "give 1 to 720 minutes"
        yield from self._schedule_problems()
        if self.log_days not in RETENTION:
            yield "log_days", _log_days(self.log_days)

    def _image_problems(self) -> Iterator[Problem]:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?", self.baked_model):
            yield "model", f"{self.model!r} is not the name of a model, such as large-v3-turbo"
        if self.alignment_languages and self.transcriber != "whisperx":
            yield "alignment_languages", "only WhisperX aligns words: set transcriber to whisperx"
        for language in self.baked_languages:
            if not re.fullmatch(r"[a-z]{2,3}", language):
                yield "alignment_languages", f"{language!r} is not a code such as en"
        folder = ":" not in (self.image or "")
        built_for = self.transcriber if folder else None
        for name, text in gpu_settings.problems(self.settings, built_for=built_for):
            yield f"settings.{name}", text

    @property
    def baked_model(self) -> str:
        """The model of an image that is built from a folder."""
        default = "large-v3" if self.transcriber == "whisperx" else "large-v3-turbo"
        return default if self.model is None else self.model

    @property
    def baked_languages(self) -> tuple[str, ...]:
        """The languages for whose words such an image has models."""
        default = ("en",) if self.transcriber == "whisperx" else ()
        return default if self.alignment_languages is None else self.alignment_languages

    def _work_problems(self) -> Iterator[Problem]:
        if self.jobs_per_instance < 1:
            yield "jobs_per_instance", "give at least 1"
        if self.jobs_to_start < 1:
            yield "jobs_to_start", "give at least 1"
        if not 0 <= self.longest_wait_minutes <= 720:  # noqa: PLR2004 - an alarm spans a day at most
            yield "longest_wait_minutes", "give 0 to 720 minutes"
        if self.jobs_to_start > 1 and not self.longest_wait_minutes and self.batch_at is None:
            yield "longest_wait_minutes", "is missing: without it no job waits for others"
        if self.speed <= 0:
            yield "speed", "give more than 0 seconds"

    def _schedule_problems(self) -> Iterator[Problem]:
        if (self.warm_from is None) != (self.warm_until is None):
            yield "warm_from", "what is started on a schedule has to be stopped on one: give both"
        for field in ("warm_from", "warm_until"):
            expression: str | None = getattr(self, field)
            try:
                if expression is not None:
                    cron.parse(expression)
            except InvalidCron as error:
                yield field, str(error)
        yield from self._batch_problems()

    def _batch_problems(self) -> Iterator[Problem]:
        """Yield hours at which jobs would wait for too long, or are meant not to wait."""
        try:
            longest = self.longest_hold
        except InvalidCron as error:
            yield "batch_at", str(error)
            return
        if longest > LONGEST_HOLD:
            yield "batch_at", f"jobs would wait for up to {longest.days} days: give one each week"
        if self.batch_at is not None and (self.jobs_to_start > 1 or self.longest_wait_minutes):
            yield (
                "batch_at",
                "begins all that waits: leave out jobs_to_start and longest_wait_minutes",
            )

    @property
    def longest_hold(self) -> timedelta:
        """How long a job may wait because machines are started at set times only.

        Raises:
            InvalidCron: `batch_at` is no expression, or ends some day.
        """
        if self.batch_at is None:
            return timedelta(0)
        return cron.parse(self.batch_at).longest_pause()


class Operations(Part):
    """Who is notified, and of how much money."""

    #: Gets the alarms; None leaves them in the console only.
    alarm_email: str | None = None
    #: For everything, what is said included; None: no budget.
    monthly_budget_usd: int | None = None
    #: Of that, what Amazon Transcribe and Translate may cost, where they are called; None: half.
    speech_budget_usd: int | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield an address that is none, or a budget that alarms at once."""
        if self.alarm_email is not None and not _EMAIL.fullmatch(self.alarm_email):
            yield "alarm_email", f"{self.alarm_email!r} is not an e-mail address"
        if self.monthly_budget_usd is not None and self.monthly_budget_usd < 1:
            yield "monthly_budget_usd", "give at least 1 dollar, or null"
        if self.speech_budget_usd is not None and not (
            1 <= self.speech_budget_usd < (self.monthly_budget_usd or 0)
        ):
            yield (
                "speech_budget_usd",
                "give a part of monthly_budget_usd, 1 dollar at least, or null",
            )


class Delivery(Part):
    """Pipelines that may deploy this environment, through OpenID Connect and without keys."""

    #: `owner/repository`, as the subjects of GitHub's tokens name it: with their numbers,
    #: `owner@12/repository@34`, for repositories made or renamed after July 15, 2026. Its
    #: workflows may deploy from the GitHub environment of our name.
    github_repository: str | None = None
    #: The organisation's GUID, and the service connection as `organisation/project/connection`.
    azure_organization_id: str | None = None
    azure_service_connection: str | None = None
    #: An account knows an identity provider once: True where another environment of the same
    #: account, or somebody else, made those that are needed.
    providers_exist: bool = False
    #: Make the repository of images that pipelines push to. One is enough for all environments.
    images: bool = False
    #: Make a second one for images of the GPU server.
    gpu_images: bool = False
    #: Other accounts that may pull from them, for environments that live there.
    image_readers: tuple[str, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """Yield names that would open the door to nobody, or to everybody."""
        repository, connection = self.github_repository, self.azure_service_connection
        images = self.images or self.gpu_images
        if not (repository or connection or self.azure_organization_id or images):
            yield "", "is empty: give whose pipelines may deploy, or images; or leave it out"
        if repository is not None and not _REPOSITORY.fullmatch(repository):
            yield "github_repository", f"{repository!r} is not of the form owner/repository"
        if self.image_readers and not images:
            yield "image_readers", "read from a repository of images: set images to true"
        if not all(re.fullmatch(r"\d{12}", account) for account in self.image_readers):
            yield "image_readers", "give accounts' numbers of 12 digits"
        if connection is not None and not re.fullmatch(r"[^/*?]+/[^/*?]+/[^/*?]+", connection):
            yield "azure_service_connection", "is not of the form organisation/project/connection"
        if (self.azure_organization_id is None) != (connection is None):
            yield "azure_organization_id", "belongs to azure_service_connection: give both"
        guid = self.azure_organization_id
        if guid is not None and not re.fullmatch(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", guid
        ):
            yield "azure_organization_id", "is not a GUID"


class WrongEnvironment(ValueError):
    """An environment cannot be provisioned.

    Attributes:
        problems: everything that is wrong, each with its path.
    """

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {path}: {text}" for path, text in self.problems)
        super().__init__(f"{name} cannot be provisioned:{lines}")


class Environment(Part):
    """One deployment of the whole application. See the module."""

    name: str
    #: The account that the CDK's command line is signed in to is the one that is deployed to.
    region: str
    data: Data
    functions: Functions
    live: Live | None = None
    gpu: Gpu | None = None
    operations: Operations | None = None
    delivery: Delivery | None = None
    #: Refuse to delete the stacks.
    termination_protection: bool = False
    tags: Mapping[str, str] = {}

    def problems(self) -> Iterator[Problem]:
        """Yield everything that is wrong, also between parts."""
        if not _NAME.fullmatch(self.name):
            yield "name", f"{self.name!r}: give 2 to 12 small letters and digits"
        if self.region not in _regions():
            yield "region", f"{self.region!r} is not a region of AWS"
        yield from self._tag_problems()
        on_machine = self.live is not None and self.live.load_balancer.kind == "none"
        for path, text in super().problems():
            # A machine's own limit counts, which is lower than that of a task on Fargate.
            if not (on_machine and path == "live.service.viewers"):
                yield path, text
        if self.live is not None:
            yield from self._entrance_problems(self.live)
            yield from self._region_problems(self.live.service)
            yield from self._budget_problems(self.live.service)
            if self.live.load_balancer.kind == "none":
                yield from _machine_problems(self.live.service)
        if self.gpu is not None and (self.live is None or self.live.load_balancer.kind == "shared"):
            yield "gpu", "needs a network of its own, which a shared load balancer does not bring"
        yield from self._hold_problems()

    def _tag_problems(self) -> Iterator[Problem]:
        """Yield tags that AWS would refuse, and those that are ours."""
        for name, value in self.tags.items():
            if name in OUR_TAGS:
                yield f"tags.{name}", "is ours: what belongs together is found by it"
            elif not 1 <= len(name) <= 128 or name.lower().startswith("aws:"):  # noqa: PLR2004 - AWS's limit
                yield f"tags.{name}", "a name has 1 to 128 characters and does not begin with aws:"
            elif len(value) > 256 or not _TAG.fullmatch(name + value):  # noqa: PLR2004 - AWS's limit
                yield (
                    f"tags.{name}",
                    "give up to 256 letters, digits, spaces and + - = . _ : / @",
                )
        if len(self.tags) + len(OUR_TAGS) > 50:  # noqa: PLR2004 - AWS's limit
            yield "tags", f"give at most {50 - len(OUR_TAGS)}"

    def _hold_problems(self) -> Iterator[Problem]:
        """Yield recordings that are deleted while their jobs are held back."""
        if self.gpu is None or self.data.recording_days is None:
            return
        try:
            held = self.gpu.longest_hold
        except InvalidCron:
            return  # a problem of the part
        if held >= timedelta(days=self.data.recording_days):
            yield (
                "gpu.batch_at",
                f"jobs wait for up to {held.days} days, and data.recording_days deletes recordings",
            )

    def _entrance_problems(self, live: Live) -> Iterator[Problem]:
        """Yield what keeps the load balancer or CloudFront from standing in the region."""
        balancer = live.load_balancer
        if balancer.region not in {None, self.region}:
            field = "listener_arn" if balancer.kind == "shared" else "certificate_arn"
            yield (
                f"live.load_balancer.{field}",
                f"is in {balancer.region}, the environment in {self.region}",
            )
        if balancer.kind == "shared":
            for zone in balancer.availability_zones:
                found = _ZONE.fullmatch(zone)
                if found and found["region"] != self.region:
                    yield (
                        "live.load_balancer.availability_zones",
                        f"{zone} is not in {self.region}",
                    )
        if balancer.kind == "dedicated" and balancer.certificate_arn and not live.domain:
            yield "live.domain", "is missing: the load balancer's certificate is for a domain"
        if (
            balancer.kind != "shared"
            and self.region in _regions()
            and self.region not in CLOUDFRONT_ORIGIN_FACING
        ):
            yield (
                "region",
                f"add CloudFront's prefix list in {self.region} to infra/aws/prefix_lists.py",
            )
        zones = zone_ids(self.region)
        if balancer.kind != "shared" and zones and balancer.network.zones > len(zones):
            yield (
                "live.load_balancer.network.zones",
                f"{self.region} has {len(zones)} zones with all that is needed",
            )
        if live.access_logs and self.region != "us-east-1":
            yield "live.access_logs", "CloudFront delivers its log from us-east-1 only"

    def _region_problems(self, service: Service) -> Iterator[Problem]:
        """Yield services of language that are not offered where they are to be called."""
        engine, translation = service.engine, service.translation
        for field, part, name, offered in (
            ("engine", engine, "Amazon Transcribe does not stream", TRANSCRIBE_STREAMING),
            ("translation", translation, "there is no Amazon Translate", TRANSLATE),
        ):
            if not isinstance(part, Transcribe | Translation):
                continue
            region = self._region_of(part)
            unknown = part.region is None and region not in _regions()  # reported already
            if region not in offered and not unknown:
                yield (
                    f"live.service.{field}.region",
                    f"{name} in {region}: give another region (infra/aws/language_regions.py)",
                )
        if isinstance(engine, Transcribe) and engine.medical != "never":
            region = self._region_of(engine)
            if region in TRANSCRIBE_STREAMING - TRANSCRIBE_MEDICAL_STREAMING:
                yield (
                    "live.service.engine.region",
                    f"Amazon Transcribe Medical does not stream in {region}: give another region",
                )
        if translation is not None and translation.source == "auto":
            region = self._region_of(translation)
            if region in TRANSLATE - COMPREHEND:
                yield (
                    "live.service.translation.source",
                    f"there is no Amazon Comprehend in {region}: give another region, or no source",
                )

    def _region_of(self, part: Transcribe | Translation) -> str:
        return self.region if part.region is None else part.region

    def _budget_problems(self, service: Service) -> Iterator[Problem]:
        """Yield a budget that leaves nothing for one of its two parts."""
        if self.operations and self.operations.monthly_budget_usd == 1 and speech_services(service):
            yield "operations.monthly_budget_usd", "give at least 2 dollars, one of them for speech"

    @model_validator(mode="after")
    def _right(self) -> Self:
        problems = list(self.problems())
        if problems:
            raise WrongEnvironment(self.name, problems)
        return self

    def overridden(self, own: object) -> Environment:
        """Return the environment with fields replaced by those of the same path in `own`.

        What is left out stays as it is; another `kind` of a part replaces the whole part.

        Args:
            own: as somebody wrote it, of whatever type; None replaces nothing.

        Raises:
            WrongEnvironment: the result cannot be provisioned.
        """
        if own is None:
            return self
        if not isinstance(own, Mapping):
            raise WrongEnvironment(self.name, [(self.name, "give an object")])
        ours = self.model_dump()
        values = _merged(ours, own)
        problems = [] if values["name"] == self.name else [("name", "is app.py's to give")]
        values["name"] = self.name
        try:
            theirs = Environment.model_validate(values)
        except ValidationError as error:
            problems += _problems(error, values, ours)
        if problems:
            raise WrongEnvironment(self.name, problems)
        return theirs


def _problems(
    error: ValidationError, values: Mapping[str, Any], ours: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong with an environment's values: their types, and then all the rest."""
    found = mistakes(error, Environment)
    yield from ((each.path, each.text) for each in found)
    replaced: list[str] = []
    if found:
        mended, replaced = without(found, values, model=Environment, right=ours)
        try:
            Environment.model_validate(mended)
        except ValidationError as rest:
            error = rest
    for detail in error.errors(include_url=False, include_input=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, WrongEnvironment):
            for path, text in dict.fromkeys(cause.problems):
                if not any(covers(each, path) for each in replaced):
                    yield path, text


def speech_services(service: Service) -> tuple[str, ...]:
    """Return the services of language that tasks call, as AWS's bill names them."""
    translation = service.translation
    called = (
        ("Amazon Transcribe", isinstance(service.engine, Transcribe)),
        ("Amazon Translate", translation is not None),
        ("Amazon Comprehend", translation is not None and translation.source == "auto"),
    )
    return tuple(name for name, chosen in called if chosen)


def _machine_problems(service: Service) -> Iterator[Problem]:
    """Yield what one small machine cannot give to the service."""
    for field in ("cpu", "memory_mib"):
        if getattr(service, field) != Service.model_fields[field].default:
            yield (
                f"live.service.{field}",
                "is a size of Fargate's: without a load balancer the machine is a t4g.nano",
            )
    if service.on_demand_base is not None:
        yield (
            "live.service.on_demand_base",
            "is about Spot: without a load balancer one machine runs on demand; give null",
        )
    if service.maximum_tasks > 1:
        yield "live.service.maximum_tasks", "one machine runs one task: give 1"
    if isinstance(service.engine, Pocketsphinx):
        yield (
            "live.service.engine",
            "too slow on a t4g.nano, which sustains a tenth of a vCPU: choose transcribe",
        )
    most = _viewers_in(MACHINE_MEMORY_MIB / 4)
    if service.task_viewers > most or (service.viewers is not None and service.viewers < 1):
        yield "live.service.viewers", f"a t4g.nano takes 1 to {most}, not {service.task_viewers}"


def _viewers_in(mebibytes: float) -> int:
    return min(MOST_VIEWERS, int(mebibytes * 2**20 / VIEWER_BYTES))


def _merged(ours: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(ours)
    for name, value in own.items():
        known = ours.get(name)
        if (
            isinstance(known, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind", known.get("kind")) == known.get("kind")
        ):
            merged[name] = _merged(known, value)
        else:
            merged[name] = value
    return merged


@cache
def _regions() -> frozenset[str]:
    return frozenset(region.name for region in RegionInfo.regions)


def _is_arn(text: str, service: str, infix: str) -> bool:
    found = _ARN.fullmatch(text)
    return found is not None and found["service"] == service and infix in f":{text}"


def _region_of(arn: str | None) -> str | None:
    found = _ARN.fullmatch(arn or "")
    return found["region"] if found else None


def _log_days(days: int) -> str:
    known = ", ".join(map(str, RETENTION))
    return f"logs are kept for {known} days, not for {days}"
