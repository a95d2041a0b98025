"""The type of an environment, and the rules between its parts.

An `Environment` is a frozen value. `app.py` makes each by an explicit call. Values of your own
account come from the CDK's context (`cdk.context.json`) and replace fields of the same name. A part
that an environment leaves out (`live`, `gpu`, `operations`, `delivery`) is not provisioned. An
environment with a page says who may use it (`access`).

ValueError
├── pydantic.ValidationError    of `Environment`; `foundation.invalid` has words for it
└── WrongEnvironment            an environment with values of your own is invalid

All problems are reported at once: each part yields its own, and the environment collects them. A
value of a wrong type hides no other problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final, Self

from aws_cdk.region_info import RegionInfo
from pydantic import ValidationError, model_validator

from infra.aws.cron import InvalidCron
from infra.aws.language_regions import medical_regions, regions_of
from infra.aws.prefix_lists import CLOUDFRONT_ORIGIN_FACING
from infra.aws.zones import zone_ids
from infra.config.access import AccessConfig, OpenConfig
from infra.config.data import DataConfig
from infra.config.delivery import DeliveryConfig
from infra.config.formats import ZONE
from infra.config.functions import FunctionsConfig
from infra.config.gpu import GpuConfig
from infra.config.live import LiveConfig
from infra.config.mistakes import covers, mistakes, without
from infra.config.operations import OperationsConfig
from infra.config.parts import ConfigPart, Problem
from infra.config.recognition import TranscribeConfig
from infra.config.service import ServiceConfig, list_speech_services, machine_problems
from infra.config.translation import TranslationConfig

_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,11}")
#: Source: AWS General Reference, "Tag naming limits and requirements".
_TAG: Final = re.compile(r"[\w .:/=+@-]*")
#: Tags of all our resources, by which pipelines, `make cost` and the budget find them.
OUR_TAGS: Final = frozenset({"application", "environment"})


class WrongEnvironment(ValueError):
    """An environment cannot be provisioned.

    Attributes:
        problems: everything that is wrong, each with its path.
    """

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "".join(f"\n  {path}: {text}" for path, text in self.problems)
        super().__init__(f"{name} cannot be provisioned:{lines}")


class Environment(ConfigPart):
    """One deployment of the whole application. See the module."""

    name: str
    #: The account is the one to which the CDK's command line is signed in.
    region: str
    data: DataConfig
    functions: FunctionsConfig
    live: LiveConfig | None = None
    access: AccessConfig = OpenConfig()
    gpu: GpuConfig | None = None
    operations: OperationsConfig | None = None
    delivery: DeliveryConfig | None = None
    #: Refuse to delete the stacks.
    termination_protection: bool = False
    tags: Mapping[str, str] = {}

    def problems(self) -> Iterator[Problem]:
        """Yield the problems of all parts and those between parts."""
        if not _NAME.fullmatch(self.name):
            yield "name", f"{self.name!r}: give 2 to 12 small letters and digits"
        if self.region not in _regions():
            yield "region", f"{self.region!r} is not a region of AWS"
        yield from self._tag_problems()
        on_machine = self.live is not None and self.live.load_balancer.kind == "none"
        for path, text in super().problems():
            # The machine's limit applies, which is lower than that of a task on Fargate.
            if not (on_machine and path == "live.service.viewers"):
                yield path, text
        yield from self._access_problems()
        if self.live is not None:
            yield from self._entrance_problems(self.live)
            yield from self._region_problems(self.live.service)
            yield from self._budget_problems(self.live.service)
            if self.live.load_balancer.kind == "none":
                yield from machine_problems(self.live.service)
        if self.gpu is not None and (self.live is None or self.live.load_balancer.kind == "shared"):
            yield "gpu", "needs a network of its own, which a shared load balancer does not bring"
        yield from self._hold_problems()

    def _access_problems(self) -> Iterator[Problem]:
        """Yield a page for everybody that nobody has asked for, and accounts without a page."""
        if isinstance(self.access, OpenConfig):
            if self.live is not None and not self.access.everyone_may_spend:
                yield (
                    "access",
                    (
                        'choose accounts, such as {"kind": "cognito"}, or {"kind": "open", '
                        '"everyone_may_spend": true}: then everybody who knows the address of '
                        "the page can use speech recognition at your expense"
                    ),
                )
        elif self.live is None:
            yield "access", "accounts are for the page, which this environment lacks (live)"

    def _tag_problems(self) -> Iterator[Problem]:
        """Yield tags that AWS would refuse, and names of our own tags."""
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
        """Yield a schedule that holds jobs back until their recordings are deleted."""
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

    def _entrance_problems(self, live: LiveConfig) -> Iterator[Problem]:
        """Yield conflicts of load balancer, CloudFront and region."""
        balancer = live.load_balancer
        if balancer.region not in {None, self.region}:
            field = "listener_arn" if balancer.kind == "shared" else "certificate_arn"
            yield (
                f"live.load_balancer.{field}",
                f"is in {balancer.region}, the environment in {self.region}",
            )
        if balancer.kind == "shared":
            for zone in balancer.availability_zones:
                found = ZONE.fullmatch(zone)
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

    def _region_problems(self, service: ServiceConfig) -> Iterator[Problem]:
        """Yield language services that the chosen region does not offer."""
        engine, translation = service.engine, service.translation
        for field, part, name, endpoint in (
            ("engine", engine, "Amazon Transcribe does not stream", "transcribestreaming"),
            ("translation", translation, "there is no Amazon Translate", "translate"),
        ):
            if not isinstance(part, TranscribeConfig | TranslationConfig):
                continue
            region = self._region_of(part)
            unknown = part.region is None and region not in _regions()  # reported already
            if region not in regions_of(endpoint) and not unknown:
                yield (
                    f"live.service.{field}.region",
                    f"{name} in {region}: give another region (infra/aws/language_regions.py)",
                )
        if isinstance(engine, TranscribeConfig) and engine.medical != "never":
            region = self._region_of(engine)
            if region in regions_of("transcribestreaming") - medical_regions():
                yield (
                    "live.service.engine.region",
                    f"Amazon Transcribe Medical does not stream in {region}: give another region",
                )
        if translation is not None and translation.source == "auto":
            region = self._region_of(translation)
            if region in regions_of("translate") - regions_of("comprehend"):
                yield (
                    "live.service.translation.source",
                    f"there is no Amazon Comprehend in {region}: give another region, or no source",
                )

    def _region_of(self, part: TranscribeConfig | TranslationConfig) -> str:
        return self.region if part.region is None else part.region

    def _budget_problems(self, service: ServiceConfig) -> Iterator[Problem]:
        """Yield a budget that is too small for its two parts."""
        if (
            self.operations
            and self.operations.monthly_budget_usd == 1
            and list_speech_services(service)
        ):
            yield "operations.monthly_budget_usd", "give at least 2 dollars, one of them for speech"

    @model_validator(mode="after")
    def _right(self) -> Self:
        problems = list(self.problems())
        if problems:
            raise WrongEnvironment(self.name, problems)
        return self

    def overridden(self, own: object) -> Environment:
        """Return the environment with fields replaced by those of the same path in `own`.

        Other fields keep their values. A different `kind` of a part replaces the whole part.

        Args:
            own: unvalidated JSON; None replaces nothing.

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
    """Yield the problems of an environment's values: wrong types first, then all others."""
    found = mistakes(error, Environment)
    yield from ((each.path, each.text) for each in found)
    replaced: list[str] = []
    if found:
        repaired, replaced = without(found, values, model=Environment, right=ours)
        try:
            Environment.model_validate(repaired)
        except ValidationError as rest:
            error = rest
    for detail in error.errors(include_url=False, include_input=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, WrongEnvironment):
            for path, text in dict.fromkeys(cause.problems):
                if not any(covers(each, path) for each in replaced):
                    yield path, text


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
