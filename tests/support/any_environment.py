"""Any environment that the type allows, and a wrong value for each of its fields.

Both follow the type: what a field of a new part, a new kind of a part, a flag or a choice takes is
derived. A text, a number, a list or an object means something, so each has a line in `RIGHT` and
one in `WRONG`; without it the tests fail and name the field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from hypothesis import reject
from hypothesis import strategies as st
from pydantic import BaseModel

from infra.aws.log_retention import RETENTION
from infra.config.environment import Environment
from infra.config.parts import ConfigPart
from translation.languages import LANGUAGES

#: Some with few zones, without Transcribe or Translate, and the one with CloudFront's logs.
REGIONS: Final = ("us-east-1", "eu-west-1", "us-west-1", "sa-east-1", "eu-west-3")
ACCOUNT: Final = "123456789012"
#: How often what does not fit together is drawn anew before all of it is, and how often that.
ROUNDS: Final = 12
STARTS: Final = 12

Strategy = st.SearchStrategy[Any]


class Undescribed(Exception):
    """A field has no line in RIGHT or WRONG."""


def _texts(*values: object) -> Strategy:
    return st.sampled_from(values)


def _lists(values: Strategy, *, least: int = 0, most: int = 3) -> Strategy:
    return st.lists(values, min_size=least, max_size=most, unique=True).map(tuple)


def _certificates(*regions: str) -> Strategy:
    return _texts(*(f"arn:aws:acm:{each}:{ACCOUNT}:certificate/0b0a" for each in regions))


_DAYS: Final = st.sampled_from(list(RETENTION))
_NAMES: Final = _lists(_texts("names", "Produkte_2", "a.b-c"))
_CRONS: Final = _texts("cron(0 8 ? * MON-FRI *)", "cron(30 23 1 * ? *)", "cron(0/15 * * * ? *)")
_LANGUAGES: Final = ("en-US", "de-DE", "fr-CA", "zh-HK")

#: Values that a field may have, by the part and the field; the type adds null where it may be.
RIGHT: Final[Mapping[str, Strategy]] = {
    "Environment.name": _texts("any", "a1", "environment1"),
    "Environment.region": _texts(*REGIONS),
    "Environment.tags": st.dictionaries(_texts("owner", "cost centre"), _texts("", "me", "ä+1")),
    "CognitoConfig.api_concurrency": st.integers(1, 1000),
    "CognitoConfig.administrator_email": _texts("me@example.org"),
    "OidcConfig.api_concurrency": st.integers(1, 1000),
    "OidcConfig.issuer": _texts("https://login.example.org/tenant/v2.0", "https://id.example.org"),
    "OidcConfig.audience": _texts("api://captions", "0123abcd-0123-0123-0123-0123456789ab"),
    "OidcConfig.page_client_id": _texts("page", "0123abcd-0123-0123-0123-0123456789ab"),
    "OidcConfig.program_client_id": _texts("program"),
    "OidcConfig.jwks_url": _texts("https://id.example.org/keys", "https://keys.example.org:8443/"),
    "OidcConfig.authorization_endpoint": _texts("https://id.example.org/authorize"),
    "OidcConfig.token_endpoint": _texts("https://id.example.org/token"),
    "OidcConfig.logout_endpoint": _texts("https://id.example.org/logout"),
    "OidcConfig.revocation_endpoint": _texts("https://id.example.org/revoke"),
    "OidcConfig.scopes": _texts(("openid",), ("openid", "email", "api://captions/use")),
    "OidcConfig.groups_claim": _texts("groups", "https://example.org/roles"),
    "OidcConfig.administrators": _texts("admins", "0123abcd-0123-0123-0123-0123456789ab"),
    "DataConfig.point_in_time_recovery_days": st.integers(0, 35),
    "DataConfig.utterance_days": st.integers(1, 3650),
    "DataConfig.recording_days": st.integers(1, 3650),
    "FunctionsConfig.processor_concurrency": st.integers(2, 1000),
    "FunctionsConfig.log_days": _DAYS,
    "FunctionsConfig.batch_worker_minutes": st.integers(1, 60),
    "NetworkConfig.cidr": _texts("10.20.0.0/16", "172.16.4.0/22", "192.168.0.0/20"),
    "NetworkConfig.zones": st.integers(2, 3),
    "NetworkConfig.nat_gateways": st.integers(0, 3),
    "SharedLoadBalancer.listener_arn": _texts(
        *(f"arn:aws:elasticloadbalancing:{each}:{ACCOUNT}:listener/app/a/1/2" for each in REGIONS)
    ),
    "SharedLoadBalancer.domain_name": _texts("alb.example.org"),
    "SharedLoadBalancer.security_group_id": _texts("sg-0123456789abcdef0", "sg-01234567"),
    "SharedLoadBalancer.vpc_id": _texts("vpc-0123456789abcdef0"),
    "SharedLoadBalancer.subnet_ids": _lists(
        _texts("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"), least=1
    ),
    "SharedLoadBalancer.availability_zones": _lists(
        _texts(*(f"{region}{zone}" for region in REGIONS for zone in "ab")), least=1, most=2
    ),
    "SharedLoadBalancer.rule_priority": st.integers(1, 50_000),
    "DedicatedLoadBalancer.certificate_arn": _certificates(*REGIONS),
    "NoLoadBalancer.machine": st.integers(1, 9999),
    "ServiceConfig.cpu": st.sampled_from([256, 512, 1024, 2048, 4096]),
    "ServiceConfig.memory_mib": st.sampled_from([512, 1024, 2048, 4096, 8192, 30_720]),
    "ServiceConfig.image": _texts(
        "registry.example.org/team/service:1.2",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/cloudscribe:v1",
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/a/b@sha256:{'0a' * 32}",
    ),
    "ServiceConfig.slots": st.integers(1, 500),
    "ServiceConfig.viewers": st.integers(1, 60_000),
    "ServiceConfig.viewers_per_conversation": st.integers(1, 60_000),
    "ServiceConfig.max_stream_seconds": st.floats(0.5, 1e6),
    "ServiceConfig.minimum_tasks": st.integers(1, 3),
    "ServiceConfig.maximum_tasks": st.integers(1, 20),
    "ServiceConfig.on_demand_base": st.integers(0, 3),
    "ServiceConfig.drain_seconds": st.integers(1, 110),
    "ServiceConfig.log_days": _DAYS,
    "Allowed.languages": _lists(_texts(*_LANGUAGES)),
    "Allowed.vocabularies": _NAMES,
    "Allowed.vocabulary_filters": _NAMES,
    "Allowed.language_models": _NAMES,
    "Allowed.stability": _lists(_texts("low", "medium", "high")),
    "Allowed.transcript_format": _lists(_texts("written", "spoken")),
    "Allowed.session_resume_window": st.integers(0, 300),
    "Allowed.pii": _lists(_texts("redact", "identify")),
    "TranscribeConfig.region": _texts(*REGIONS),
    "TranscribeConfig.options": st.sampled_from(
        [
            {},
            {"vocabulary-name": "names", "show-speaker-label": "true"},
            {"identify-language": "true", "language-options": "en-US,de-DE"},
            {"specialty": "CARDIOLOGY", "type": "DICTATION"},
        ]
    ),
    "TranscribeConfig.quota": st.integers(1, 2000),
    "TranscribeConfig.starts_per_second": st.integers(1, 200),
    "TranslationConfig.languages": _lists(_texts(*LANGUAGES)),
    "TranslationConfig.terminology": _texts("products", "Names-2_b"),
    "TranslationConfig.region": _texts(*REGIONS),
    "HostedZone.zone_id": _texts("Z0123456789ABCDEFGHIJ"),
    "HostedZone.name": _texts("example.org"),
    "Domain.name": _texts("captions.example.org", "example.org"),
    "Domain.certificate_arn": _certificates("us-east-1"),
    "GpuConfig.image": _texts("registry.example.org/whisperx:1", "gpu_server"),
    "GpuConfig.model": _texts("large-v3", "deepdml/faster-whisper-large-v3-turbo-ct2"),
    "GpuConfig.alignment_languages": _lists(_texts("en", "de", "yue")),
    "GpuConfig.settings": st.dictionaries(
        _texts("FETCH_MODELS", "SPOT_NOTICE"), _texts("true", "false")
    ),
    "GpuConfig.instance_types": _lists(_texts("g6.xlarge", "g5.2xlarge", "g4dn.xlarge"), least=1),
    "GpuConfig.maximum_instances": st.integers(1, 10),
    "GpuConfig.jobs_per_instance": st.integers(1, 1000),
    "GpuConfig.jobs_to_start": st.integers(1, 1000),
    "GpuConfig.longest_wait_minutes": st.integers(0, 720),
    "GpuConfig.speed": st.floats(0.1, 1000),
    "GpuConfig.idle_minutes": st.integers(1, 720),
    "GpuConfig.batch_at": _texts("cron(0 0 * * ? *)", "cron(0 2 ? * MON-FRI *)"),
    "GpuConfig.warm_from": _CRONS,
    "GpuConfig.warm_until": _CRONS,
    "GpuConfig.log_days": _DAYS,
    "OperationsConfig.alarm_email": _texts("me@example.org", "first.last+alarms@mail.example.org"),
    "OperationsConfig.monthly_budget_usd": st.integers(1, 100_000),
    "OperationsConfig.speech_budget_usd": st.integers(1, 1000),
    "DeliveryConfig.github_repository": _texts("owner/repository", "owner@12/repository@34"),
    "DeliveryConfig.azure_organization_id": _texts("0123abcd-0123-0123-0123-0123456789ab"),
    "DeliveryConfig.azure_service_connection": _texts("organisation/our project/connection"),
    "DeliveryConfig.image_readers": _lists(_texts("210987654321", "333333333333")),
}

#: A value that is of a field's type and still wrong, as somebody writes it in JSON.
WRONG: Final[Mapping[str, object]] = {
    "Environment.tags": {"aws:owner": "me"},
    "Environment.region": "mars-1",
    "CognitoConfig.api_concurrency": 0,
    "CognitoConfig.administrator_email": "me",
    "OidcConfig.api_concurrency": 0,
    "OidcConfig.issuer": "http://id.example.org",
    "OidcConfig.audience": "two words",
    "OidcConfig.page_client_id": "",
    "OidcConfig.program_client_id": "a,b",
    "OidcConfig.jwks_url": "id.example.org",
    "OidcConfig.authorization_endpoint": "https://",
    "OidcConfig.token_endpoint": "https://id.example.org/token?x=y",
    "OidcConfig.logout_endpoint": "javascript:alert(1)",
    "OidcConfig.revocation_endpoint": "https://id.example.org/#revoke",
    "OidcConfig.scopes": ["openid", "two words"],
    "OidcConfig.groups_claim": "two words",
    "OidcConfig.administrators": "",
    "DataConfig.point_in_time_recovery_days": 36,
    "DataConfig.utterance_days": 0,
    "DataConfig.recording_days": 0,
    "FunctionsConfig.processor_concurrency": 1,
    "FunctionsConfig.log_days": 2,
    "FunctionsConfig.batch_worker_minutes": 0,
    "NetworkConfig.cidr": "8.8.0.0/16",
    "NetworkConfig.zones": 4,
    "NetworkConfig.nat_gateways": -1,
    "SharedLoadBalancer.listener_arn": "arn:aws:s3:::listener",
    "SharedLoadBalancer.domain_name": "alb",
    "SharedLoadBalancer.security_group_id": "default",
    "SharedLoadBalancer.vpc_id": "vpc",
    "SharedLoadBalancer.subnet_ids": ["subnet"],
    "SharedLoadBalancer.availability_zones": ["a"],
    "SharedLoadBalancer.rule_priority": 50_001,
    "DedicatedLoadBalancer.certificate_arn": "mine",
    "NoLoadBalancer.machine": 0,
    "ServiceConfig.cpu": 300,
    "ServiceConfig.memory_mib": 500,
    "ServiceConfig.image": "has a space:1",
    "ServiceConfig.slots": 0,
    "ServiceConfig.viewers": 0,
    "ServiceConfig.viewers_per_conversation": 0,
    "ServiceConfig.max_stream_seconds": 0,
    "ServiceConfig.minimum_tasks": 0,
    "ServiceConfig.maximum_tasks": 0,
    "ServiceConfig.on_demand_base": -1,
    "ServiceConfig.drain_seconds": 200,
    "ServiceConfig.log_days": 2,
    "Allowed.languages": ["English"],
    "Allowed.vocabularies": ["two words"],
    "Allowed.vocabulary_filters": ["two words"],
    "Allowed.language_models": [""],
    "Allowed.stability": ["highest"],
    "Allowed.transcript_format": ["sung"],
    "Allowed.session_resume_window": 301,
    "Allowed.pii": ["hide"],
    "TranscribeConfig.region": "mars-1",
    "TranscribeConfig.options": {"volume": "11"},
    "TranscribeConfig.quota": 0,
    "TranscribeConfig.starts_per_second": 0,
    "TranslationConfig.languages": ["Klingon"],
    "TranslationConfig.terminology": "two words",
    "TranslationConfig.region": "mars-1",
    "HostedZone.zone_id": "example.org",
    "HostedZone.name": "example org",
    "Domain.name": "captions",
    "Domain.certificate_arn": "mine",
    "GpuConfig.image": "has a space:1",
    "GpuConfig.model": "../model",
    "GpuConfig.alignment_languages": ["English"],
    "GpuConfig.settings": {"PORT": "80"},
    "GpuConfig.instance_types": ["m7i.large"],
    "GpuConfig.maximum_instances": 0,
    "GpuConfig.jobs_per_instance": 0,
    "GpuConfig.jobs_to_start": 0,
    "GpuConfig.longest_wait_minutes": -1,
    "GpuConfig.speed": 0,
    "GpuConfig.idle_minutes": 0,
    "GpuConfig.batch_at": "midnight",
    "GpuConfig.warm_from": "08:00",
    "GpuConfig.warm_until": "18:00",
    "GpuConfig.log_days": 2,
    "OperationsConfig.alarm_email": "me",
    "OperationsConfig.monthly_budget_usd": 0,
    "OperationsConfig.speech_budget_usd": 0,
    "DeliveryConfig.github_repository": "repository",
    "DeliveryConfig.azure_organization_id": "organisation",
    "DeliveryConfig.azure_service_connection": "connection",
    "DeliveryConfig.image_readers": ["me"],
}


# --- the type -------------------------------------------------------------------------------


def members(annotation: object) -> Iterator[Any]:
    """Yield what a type is a union of, or itself."""
    if get_origin(annotation) is Annotated:
        yield from members(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for each in get_args(annotation):
            yield from members(each)
    else:
        yield annotation


def is_part(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def all_parts(model: type[ConfigPart] = Environment) -> Iterator[type[ConfigPart]]:
    """Yield the part and the parts that can be in it."""
    yield model
    for known in model.model_fields.values():
        for each in members(known.annotation):
            if is_part(each):
                yield from all_parts(each)


def described(table: Mapping[str, Any], model: type[ConfigPart], field: str) -> Any:
    """Return a field's line in `table`.

    Raises:
        Undescribed: it has none.
    """
    key = f"{model.__name__}.{field}"
    if key not in table:
        name = "RIGHT" if table is RIGHT else "WRONG"
        raise Undescribed(f"give {key} a line in {name} (tests/support/any_environment.py)")
    return table[key]


# --- right ----------------------------------------------------------------------------------


#: Kinds that parts must have, by path: `{"live.load_balancer": "shared"}`; "" where there is one.
Pins = Mapping[str, str]


def choices(model: type[ConfigPart] = Environment, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and kind of each part that may be absent or another one."""
    for field in model.model_fields:
        here = f"{path}.{field}".removeprefix(".")
        inner = inside(model, field)
        for kind, part in inner.items():
            if len(inner) > 1 or type(None) in members(model.model_fields[field].annotation):
                yield here, kind
            yield from choices(part, here)


def values(model: type[ConfigPart], field: str, pins: Pins, path: str) -> Strategy:
    """Return a strategy for the values of one field; `path` is the field's own."""
    pinned = pins.get(path)
    needed = pinned is not None or any(each.startswith(f"{path}.") for each in pins)
    found: list[Strategy] = []
    for each in members(model.model_fields[field].annotation):
        if each is type(None):
            if not needed:
                found.append(st.none())
        elif each is bool:
            found.append(st.booleans())
        elif get_origin(each) is Literal:
            found.append(st.sampled_from(get_args(each)))
        elif not is_part(each):
            found.append(described(RIGHT, model, field))
        elif pinned is None or pinned in each.kinds():
            # More often than nothing at all.
            found += [parts(each, pins, path) for _ in range(2)]
    return st.one_of(found)


def parts(model: type[ConfigPart], pins: Pins, path: str = "") -> Strategy:
    """Return a strategy for parts, whose fields need not fit together."""
    fields = {
        field: values(model, field, pins, f"{path}.{field}".removeprefix("."))
        for field in model.model_fields
    }
    if path in pins and "kind" in fields:
        fields["kind"] = st.just(pins[path])
    return st.fixed_dictionaries(fields).map(lambda drawn: model.model_construct(**drawn))


@st.composite
def environments(draw: Callable[[Strategy], Any], pins: Pins) -> Environment:
    """Draw any environment with the kinds of `pins`; what does not fit is drawn anew."""
    for _ in range(STARTS):
        drawn = draw(parts(Environment, pins))
        for _ in range(ROUNDS):
            paths = {path for path, _ in drawn.problems()}
            if not paths:
                return Environment.model_validate(drawn.model_dump())
            for path in sorted(paths):
                drawn = _redrawn(drawn, path.split("."), draw, pins)
    return reject()


def _redrawn(
    part: Any, path: list[str], draw: Callable[[Strategy], Any], pins: Pins, above: str = ""
) -> Any:
    head, *rest = path
    head = head.partition("[")[0]
    here = f"{above}.{head}".removeprefix(".")
    inner = getattr(part, head)
    if rest and isinstance(inner, ConfigPart):
        return part.model_copy(update={head: _redrawn(inner, rest, draw, pins, here)})
    return part.model_copy(update={head: draw(values(type(part), head, pins, here))})


# --- wrong ----------------------------------------------------------------------------------


def wrong(model: type[ConfigPart], field: str) -> object:
    """Return a value that is wrong for a field without parts in it."""
    plain = list(members(model.model_fields[field].annotation))
    if any(each is bool or get_origin(each) is Literal for each in plain):
        return "maybe"
    return described(WRONG, model, field)


def leaves(
    model: type[ConfigPart], chosen: Mapping[str, str], path: str = ""
) -> Iterator[tuple[str, object]]:
    """Yield paths of all fields without parts in them, each with a wrong value.

    Args:
        model: where to begin.
        chosen: the kind of each part that has several, by its path.
        path: that of `model`.
    """
    for field in model.model_fields:
        inner = inside(model, field)
        here = f"{path}.{field}".removeprefix(".")
        if inner:
            yield from leaves(inner[chosen.get(here, next(iter(inner)))], chosen, here)
        elif (model, field) != (Environment, "name") and field != "kind":
            yield here, wrong(model, field)


def inside(model: type[ConfigPart], field: str) -> dict[str, type[ConfigPart]]:
    """Return the parts that a field takes, by kind."""
    return {
        kind: each
        for each in members(model.model_fields[field].annotation)
        if is_part(each)
        for kind in each.kinds()
    }
