"""Environments: what is refused, and with which message."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any, Literal
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.regions import EndpointResolver
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from foundation.invalid import explain_each
from infra.aws.language_regions import (
    medical_regions,
    regions_of,
)
from infra.common.artifacts import ROOT
from infra.config.data import DataConfig
from infra.config.delivery import DeliveryConfig
from infra.config.domain import Domain, HostedZone
from infra.config.environment import Environment, WrongEnvironment
from infra.config.functions import Canary, FunctionsConfig
from infra.config.gpu import GpuConfig
from infra.config.live import LiveConfig
from infra.config.load_balancers import DedicatedLoadBalancer, NoLoadBalancer, SharedLoadBalancer
from infra.config.network import NetworkConfig
from infra.config.operations import OperationsConfig
from infra.config.parts import ConfigPart
from infra.config.recognition import (
    TRANSCRIBE_STREAMS,
    Allowed,
    PlainEngineConfig,
    TranscribeConfig,
)
from infra.config.service import ServiceConfig
from infra.config.translation import TranslationConfig
from infra.live import language_services
from speech.engines.names import STREAMS_PER_CORE, EngineName
from speech.engines.registry import ENGINES
from speech.engines.transcribe.endpoints import websocket_url
from speech.engines.transcribe.operators import check
from speech.engines.transcribe.options import AllowedOptions, InvalidOption, parse_choices
from tests.support.environments import DEDICATED, SHARED, environment, live

pytestmark = pytest.mark.unit

MEDICAL = {"specialty": "CARDIOLOGY", "type": "DICTATION"}

NAN = float("nan")
ELSEWHERE = SHARED.model_copy(update={"availability_zones": ("us-east-1a",)})
CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0b0a"


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        environment(**changes)
    return "\n".join(explain_each(refused.value))


def test_all_problems_are_reported_at_once() -> None:
    message = refusal(
        region="mars-1",
        live=live(
            load_balancer=DedicatedLoadBalancer(network=NetworkConfig(cidr="10.0.0.0/33")),
            domain=Domain(name="captions.example.org"),
        ),
        gpu=GpuConfig(image=None),
    )

    assert message.splitlines() == [
        "test cannot be provisioned:",
        "  region: 'mars-1' is not a region of AWS",
        (
            "  live.load_balancer.network.cidr: 10.0.0.0/33 is no network: "
            "'10.0.0.0/33' does not appear to be an IPv4 or IPv6 network"
        ),
        (
            "  live.domain.certificate_arn: is missing: CloudFront needs a certificate "
            "for captions.example.org"
        ),
        "  gpu.image: is missing: give the folder of a Dockerfile, or an image",
    ]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("cidr", NetworkConfig(cidr="10.1.2.3/16")),  # host bits
        ("cidr", NetworkConfig(cidr="8.8.0.0/16")),  # belongs to somebody
        ("cidr", NetworkConfig(cidr="10.0.0.0/28")),  # no room
        ("cidr", NetworkConfig(cidr="fd00::/16")),
        ("zones", NetworkConfig(zones=1)),
        ("nat_gateways", NetworkConfig(nat_gateways=3)),
        ("cpu", ServiceConfig(cpu=300)),
        ("memory_mib", ServiceConfig(cpu=256, memory_mib=4096)),
        ("memory_mib", ServiceConfig(cpu=1024, memory_mib=2500)),
        ("slots", ServiceConfig(slots=0)),
        ("viewers", ServiceConfig(viewers=0)),
        ("viewers", ServiceConfig(viewers=9_000)),
        ("viewers_per_conversation", ServiceConfig(viewers=10, viewers_per_conversation=11)),
        ("viewers_per_conversation", ServiceConfig(viewers_per_conversation=0)),
        (
            "slots",
            ServiceConfig(engine=TranscribeConfig(), slots=13, minimum_tasks=2, maximum_tasks=2),
        ),
        ("maximum_tasks", ServiceConfig(engine=TranscribeConfig(quota=2), maximum_tasks=3)),
        ("engine.options", ServiceConfig(engine=TranscribeConfig(options={"vocabulary": "names"}))),
        (
            "engine.allowed.languages",
            ServiceConfig(engine=TranscribeConfig(allowed=Allowed(languages=("en",)))),
        ),
        (
            "engine.allowed.vocabularies",
            ServiceConfig(engine=TranscribeConfig(allowed=Allowed(vocabularies=("a b",)))),
        ),
        ("engine.quota", ServiceConfig(engine=TranscribeConfig(quota=0))),
        ("engine.starts_per_second", ServiceConfig(engine=TranscribeConfig(starts_per_second=0))),
        (
            "translation.languages",
            ServiceConfig(translation=TranslationConfig(languages=("French",))),
        ),
        ("translation.languages", ServiceConfig(translation=TranslationConfig(languages=("xx",)))),
        (
            "translation.languages",
            ServiceConfig(translation=TranslationConfig(languages=("fr", "zz-ZZ"))),
        ),
        (
            "translation.terminology",
            ServiceConfig(translation=TranslationConfig(terminology="a__b")),
        ),
        ("max_stream_seconds", ServiceConfig(max_stream_seconds=0)),
        ("minimum_tasks", ServiceConfig(minimum_tasks=3, maximum_tasks=2)),
        ("on_demand_base", ServiceConfig(on_demand_base=2)),
        ("drain_seconds", ServiceConfig(drain_seconds=111)),  # Fargate would kill before the end
        ("log_days", ServiceConfig(log_days=8)),
        ("certificate_arn", Domain(name="a.example.org")),
        (
            "certificate_arn",
            Domain(
                name="a.example.org", certificate_arn=CERTIFICATE.replace("us-east-1", "eu-west-1")
            ),
        ),
        (
            "hosted_zone",
            Domain(
                name="a.example.org",
                certificate_arn=CERTIFICATE,
                hosted_zone=HostedZone(zone_id="Z1", name="example.com"),
            ),
        ),
        ("name", Domain(name="-a.example.org", certificate_arn=CERTIFICATE)),
        ("image", GpuConfig()),
        ("instance_types", GpuConfig(image="i", instance_types=("m7i.large",))),
        ("instance_types", GpuConfig(image="i", instance_types=())),
        ("maximum_instances", GpuConfig(image="i", maximum_instances=0)),
        ("idle_minutes", GpuConfig(image="i", idle_minutes=0)),
        ("idle_minutes", GpuConfig(image="i", idle_minutes=1440)),  # longer than an alarm can look
        ("warm_from", GpuConfig(image="i", warm_from="cron(0 8 ? * MON-FRI *)")),
        ("warm_until", GpuConfig(image="i", warm_from="cron(0 8 ? * * *)", warm_until="18:00")),
        (
            "warm_from",
            GpuConfig(image="i", warm_from="cron(0 8 * * MON *)", warm_until="cron(0 9 ? * * *)"),
        ),
        ("batch_at", GpuConfig(image="i", batch_at="midnight")),
        ("batch_at", GpuConfig(image="i", batch_at="cron(0 0 1 * ? *)")),  # SQS would lose jobs
        ("batch_at", GpuConfig(image="i", batch_at="cron(0 0 * * ? 2026)")),
        (
            "batch_at",
            GpuConfig(
                image="i", batch_at="cron(0 0 * * ? *)", jobs_to_start=9, longest_wait_minutes=30
            ),
        ),
        ("batch_at", GpuConfig(image="i", batch_at="cron(0 0 * * ? *)", longest_wait_minutes=30)),
        ("alarm_email", OperationsConfig(alarm_email="somebody")),
        ("monthly_budget_usd", OperationsConfig(monthly_budget_usd=0)),
        ("github_repository", DeliveryConfig(github_repository="*/*")),
        ("azure_organization_id", DeliveryConfig(azure_service_connection="o/p/c")),
        ("azure_service_connection", DeliveryConfig(azure_service_connection="o/*/c")),
        ("utterance_days", DataConfig(protected=True, utterance_days=0)),
        ("recording_days", DataConfig(protected=True, recording_days=0)),
        ("point_in_time_recovery_days", DataConfig(protected=True, point_in_time_recovery_days=36)),
        ("processor_concurrency", FunctionsConfig(canary=None, processor_concurrency=1)),
        ("log_days", FunctionsConfig(canary=None, log_days=2)),
        ("subnet_ids", SHARED.model_copy(update={"availability_zones": ()})),
        ("vpc_id", SHARED.model_copy(update={"vpc_id": "vpc"})),
        ("listener_arn", SHARED.model_copy(update={"listener_arn": CERTIFICATE})),
        ("rule_priority", SHARED.model_copy(update={"rule_priority": 0})),
    ],
)
def test_a_wrong_part_names_the_field(field: str, wrong: ConfigPart) -> None:
    assert field in [path for path, _ in wrong.problems()]


@pytest.mark.parametrize("name", ["", "x", "Prod", "with-dash", "1st", "averyverylongname"])
def test_a_name_that_would_break_the_names_of_stacks_is_refused(name: str) -> None:
    assert "  name: " in refusal(name=name)


def test_no_task_takes_more_viewers_than_it_may_have_files_open_for() -> None:
    largest = ServiceConfig(cpu=4096, memory_mib=30_720)

    assert not list(largest.problems())
    assert largest.task_viewers < 65_535
    assert ("viewers", "a task of 30720 MiB takes 1 to 60000; or give null") in list(
        ServiceConfig(cpu=4096, memory_mib=30_720, viewers=65_000).problems()
    )


def test_a_load_balancer_of_another_region_is_refused() -> None:
    message = refusal(region="eu-central-1", live=live(load_balancer=SHARED))

    assert "live.load_balancer.listener_arn: is in eu-west-1" in message


def test_a_region_in_which_cloudfront_is_not_known_is_refused_where_it_matters() -> None:
    assert "region: add CloudFront's prefix list" in refusal(region="me-central-1", live=live())
    assert environment(region="me-central-1").region == "me-central-1"


def test_more_zones_than_have_all_that_is_needed_are_refused() -> None:
    balancer = DedicatedLoadBalancer(network=NetworkConfig(zones=3))

    message = refusal(region="us-west-1", live=live(load_balancer=balancer))

    assert "live.load_balancer.network.zones: us-west-1 has 2 zones" in message


def test_a_log_that_cloudfront_cannot_deliver_is_refused() -> None:
    assert "live.access_logs: " in refusal(live=live(access_logs=True))


def test_a_zone_of_another_region_is_refused() -> None:
    message = refusal(live=live(load_balancer=ELSEWHERE))

    assert "live.load_balancer.availability_zones: us-east-1a is not in eu-west-1" in message


def test_a_delivery_that_delivers_nothing_is_refused() -> None:
    """A stack without resources cannot be deployed."""
    assert "  delivery: is empty: " in refusal(delivery=DeliveryConfig())


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"environment": "mine"}, "tags.environment: is ours"),
        ({"AWS:owner": "me"}, "tags.AWS:owner: a name has 1 to 128 characters"),
        ({"": "me"}, "tags.: a name has"),
        ({"owner": "me & you"}, "tags.owner: give up to 256 letters"),
        ({f"n{number}": "" for number in range(49)}, "tags: give at most 48"),
    ],
)
def test_tags_that_aws_would_refuse_are_refused(tags: dict[str, str], words: str) -> None:
    assert words in refusal(tags=tags)


def test_tags_may_be_in_any_language() -> None:
    assert environment(tags={"Kostenstelle": "Büro 7+8", "team": ""}).tags


@pytest.mark.parametrize(
    ("image", "right"),
    [
        ("nginx:1", True),
        ("localhost:5000/a/b_c@sha256:" + 64 * "0", True),
        ("public.ecr.aws/a/b:v1@sha256:" + 64 * "0", True),
        ("localhost:5000/a", False),
        ("nginx", False),
        ("nginx:", False),
        ("https://example.org/nginx:1", False),
        ("a@sha256:0", False),
    ],
)
def test_an_image_has_a_tag_or_a_digest(image: str, *, right: bool) -> None:
    assert (not list(ServiceConfig(image=image).problems())) == right


def test_a_certificate_of_the_load_balancer_needs_a_domain() -> None:
    balancer = DedicatedLoadBalancer(certificate_arn=CERTIFICATE.replace("us-east-1", "eu-west-1"))

    assert "live.domain: is missing" in refusal(live=live(load_balancer=balancer))


#: As small as a machine needs it.
ON_MACHINE = ServiceConfig(engine=TranscribeConfig(), viewers=1000)


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("cpu", {"cpu": 512, "memory_mib": 1024}),
        ("memory_mib", {"memory_mib": 1024}),
        ("on_demand_base", {"on_demand_base": 0}),
        ("maximum_tasks", {"maximum_tasks": 2}),
        ("engine", {"engine": PlainEngineConfig(kind="pocketsphinx")}),
        ("viewers", {"viewers": 3000}),
        ("viewers", {"viewers": None}),
    ],
)
def test_what_one_small_machine_does_not_have_is_refused(
    field: str, changes: dict[str, Any]
) -> None:
    service = ON_MACHINE.model_copy(update=changes)

    message = refusal(live=live(load_balancer=NoLoadBalancer(), service=service))

    assert f"\n  live.service.{field}: " in message


@pytest.mark.parametrize(
    ("field", "budget"),
    [
        (
            "monthly_budget_usd",
            OperationsConfig(monthly_budget_usd=1),
        ),  # nothing for one of the two
        ("speech_budget_usd", OperationsConfig(monthly_budget_usd=20, speech_budget_usd=20)),
        ("speech_budget_usd", OperationsConfig(monthly_budget_usd=20, speech_budget_usd=0)),
        ("speech_budget_usd", OperationsConfig(speech_budget_usd=5)),  # of what?
    ],
)
def test_a_budget_covers_speech_and_the_rest(field: str, budget: OperationsConfig) -> None:
    message = refusal(
        live=live(service=ServiceConfig(engine=TranscribeConfig())), operations=budget
    )

    assert f"\n  operations.{field}: " in message


def test_a_machine_has_a_network_of_its_own_which_is_checked() -> None:
    machine = NoLoadBalancer(network=NetworkConfig(cidr="8.8.0.0/16"), machine=0)

    message = refusal(region="us-gov-west-1", live=live(load_balancer=machine, service=ON_MACHINE))

    assert "live.load_balancer.network.cidr: " in message
    assert "live.load_balancer.machine: " in message
    assert "region: add CloudFront's prefix list in us-gov-west-1" in message


def test_an_environment_on_a_machine_is_whole_and_may_have_a_gpu() -> None:
    chosen = environment(
        live=live(load_balancer=NoLoadBalancer(), service=ON_MACHINE), gpu=GpuConfig(image="i:1")
    )
    own = {"live": {"load_balancer": {"machine": 2}}}

    changed = chosen.overridden(own)

    assert changed.live
    assert changed.live.load_balancer == NoLoadBalancer(machine=2)


def test_recordings_are_not_deleted_while_their_jobs_are_held_back() -> None:
    weekly = {"live": live(), "gpu": GpuConfig(image="image:1", batch_at="cron(0 0 ? * SUN *)")}

    assert "gpu.batch_at: jobs wait for up to 7 days" in refusal(
        **weekly, data=DataConfig(protected=False, recording_days=7)
    )
    assert environment(**weekly, data=DataConfig(protected=False, recording_days=8))


@pytest.mark.parametrize("without_network", [None, live(load_balancer=SHARED)])
def test_a_gpu_needs_a_network_of_our_own(without_network: object) -> None:
    assert "gpu: needs a network" in refusal(live=without_network, gpu=GpuConfig(image="image:1"))


@pytest.mark.parametrize(
    ("region", "service", "message"),
    [
        (
            "eu-west-3",
            ServiceConfig(engine=TranscribeConfig()),
            "live.service.engine.region: Amazon Transcribe does not stream in eu-west-3",
        ),
        (
            "eu-west-1",
            ServiceConfig(engine=TranscribeConfig(region="eu-west-3")),
            "live.service.engine.region: Amazon Transcribe does not stream in eu-west-3",
        ),
        (
            "eu-central-1",
            ServiceConfig(engine=TranscribeConfig(options=MEDICAL)),
            "live.service.engine.region: Amazon Transcribe Medical does not stream in eu-central-1",
        ),
        (
            "eu-west-1",
            ServiceConfig(
                engine=TranscribeConfig(allowed=Allowed(medical=True), region="eu-west-2")
            ),
            "live.service.engine.region: Amazon Transcribe Medical does not stream in eu-west-2",
        ),
        (
            "sa-east-1",
            ServiceConfig(translation=TranslationConfig()),
            "live.service.translation.region: there is no Amazon Translate in sa-east-1",
        ),
    ],
)
def test_a_service_of_language_that_is_not_offered_there_is_refused(
    region: str, service: ServiceConfig, message: str
) -> None:
    assert message in refusal(region=region, live=live(service=service))


def test_speech_may_be_sent_to_another_region() -> None:
    service = ServiceConfig(
        engine=TranscribeConfig(region="eu-central-1"),
        translation=TranslationConfig(region="eu-west-1"),
    )

    assert environment(region="eu-west-3", live=live(service=service)).live is not None


@pytest.mark.parametrize("region", sorted(regions_of("translate") - regions_of("comprehend")))
def test_languages_are_detected_only_where_comprehend_is(region: str) -> None:
    def chosen(source: Literal["recognised", "auto"]) -> Environment:
        translation = TranslationConfig(source=source, region=region)
        return environment(
            region="eu-west-1", live=live(service=ServiceConfig(translation=translation))
        )

    assert chosen("recognised").live is not None
    with pytest.raises(ValueError, match=r"translation\.source: there is no Amazon Comprehend"):
        chosen("auto")


@pytest.mark.parametrize("endpoint", ["transcribestreaming", "translate", "comprehend"])
def test_a_service_of_language_is_offered_in_regions_of_several_partitions(endpoint: str) -> None:
    assert {"us-east-1", "eu-west-1", "us-gov-west-1"} <= regions_of(endpoint)
    assert not any("fips" in region for region in regions_of(endpoint))


def test_transcribe_medical_streams_in_some_of_the_regions_of_transcribe() -> None:
    assert {"us-east-1", "eu-west-1"} <= medical_regions()
    assert medical_regions() < regions_of("transcribestreaming")


def test_the_service_dials_the_hosts_that_awss_own_sdk_knows() -> None:
    resolver = EndpointResolver(botocore.session.get_session().get_data("endpoints"))
    known = {
        region: found["hostname"]
        for region in regions_of("transcribestreaming")
        if (found := resolver.construct_endpoint("transcribestreaming", region))
    }

    dialled = {
        each: urlsplit(websocket_url(each, None)).hostname
        for each in regions_of("transcribestreaming")
    }
    assert dialled == known


def test_what_is_allowed_here_is_what_the_service_knows() -> None:
    everything = Allowed(
        languages=("en-US",),
        identify_language=True,
        vocabularies=("names",),
        vocabulary_filters=("words",),
        language_models=("law",),
        speaker_labels=True,
        two_channels=True,
        stability=("low", "medium", "high"),
        pii=("redact", "identify"),
        transcript_format=("spoken", "written"),
        session_resume_window=300,
        medical=True,
    )

    parsed = AllowedOptions.model_validate_json(everything.model_dump_json())

    assert set(Allowed.model_fields) == set(AllowedOptions.model_fields)
    assert json.loads(parsed.model_dump_json(exclude_defaults=True)).keys() == set(
        AllowedOptions.model_fields
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"show-speaker-label": "yes"},
        {"identify-language": "TRUE"},
        {"identify-language": "true"},
        {"identify-multiple-languages": "true", "language-options": "en-US"},
        {"identify-language": "true", "language-options": "en-US,en-US"},
        {"content-redaction-type": "PII", "pii-entity-types": "SHOE_SIZE"},
        {"session-resume-window": "301"},
        {"transcript-format": "sung"},
        {"specialty": "UROLOGY"},
        MEDICAL | {"type": "SONG"},
        MEDICAL | {"content-redaction-type": "PII"},
        MEDICAL | {"content-identification-type": "PII"},
    ],
)
def test_options_that_the_service_would_not_start_with_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidOption):
        parse_choices(wrong, language="en-US")

    assert [field for field, _ in TranscribeConfig(options=wrong).problems()] == ["options"]


@pytest.mark.parametrize(
    "right",
    [
        {"identify-language": "true", "language-options": "en-US,fr-FR"},
        {"identify-multiple-languages": "false", "show-speaker-label": "true"},
        MEDICAL | {"content-identification-type": "PHI", "show-speaker-label": "true"},
    ],
)
def test_options_that_the_service_takes_are_not(right: dict[str, str]) -> None:
    assert parse_choices(right, language="en-US")
    assert not list(TranscribeConfig(options=right).problems())


@pytest.mark.parametrize(
    ("engine", "field"),
    [
        (
            TranscribeConfig(options=MEDICAL, allowed=Allowed(languages=("de-DE",))),
            "allowed.languages",
        ),
        (
            TranscribeConfig(
                options={"content-redaction-type": "PII"}, allowed=Allowed(medical=True)
            ),
            "allowed.medical",
        ),
        (
            TranscribeConfig(
                options={"content-identification-type": "PII"}, allowed=Allowed(medical=True)
            ),
            "allowed.medical",
        ),
    ],
)
def test_medical_settings_that_the_service_would_not_start_with_are_refused(
    engine: TranscribeConfig, field: str
) -> None:
    with pytest.raises(InvalidOption):
        check(
            defaults=engine.options,
            allowed=AllowedOptions.model_validate_json(engine.allowed.model_dump_json()),
        )

    assert [each for each, _ in engine.problems()] == [field]


def test_a_field_that_nobody_knows_is_refused() -> None:
    assert "colour" in refusal(colour="blue")


def test_an_environment_does_not_change() -> None:
    with pytest.raises(ValidationError):
        environment().region = "us-east-1"  # type: ignore[misc]  # that is what is tried


def test_values_of_ones_own_replace_only_what_they_name() -> None:
    ours = environment(live=live(), functions=FunctionsConfig(canary=Canary(), log_days=30))

    theirs = ours.overridden(
        {"region": "eu-central-1", "live": {"service": {"slots": 4}}, "functions": {"log_days": 7}}
    )

    assert (theirs.region, theirs.name) == ("eu-central-1", "test")
    assert theirs.live is not None
    assert theirs.live.service == ServiceConfig(slots=4)
    assert theirs.functions == FunctionsConfig(canary=Canary(), log_days=7)


def test_another_kind_of_load_balancer_replaces_the_whole() -> None:
    ours = environment(live=live(load_balancer=SHARED))

    theirs = ours.overridden({"live": {"load_balancer": {"kind": "dedicated"}}})

    assert theirs.live is not None
    assert theirs.live.load_balancer == DEDICATED


def test_an_option_of_ones_own_leaves_the_others_and_another_engine_replaces_the_whole() -> None:
    engine = TranscribeConfig(options={"vocabulary-name": "names"}, quota=100)
    ours = environment(live=live(service=ServiceConfig(engine=engine)))

    def theirs(own: dict[str, Any]) -> object:
        found = ours.overridden({"live": {"service": {"engine": own}}}).live
        assert found is not None
        return found.service.engine

    assert theirs({"options": {"show-speaker-label": "true"}}) == TranscribeConfig(
        options={"vocabulary-name": "names", "show-speaker-label": "true"}, quota=100
    )
    assert theirs({"kind": "pocketsphinx"}) == PlainEngineConfig(kind="pocketsphinx")


def with_engine(kind: object) -> ServiceConfig:
    own = {"live": {"service": {"engine": {"kind": kind}}}}
    found = environment(live=live()).overridden(own).live
    assert found is not None
    return found.service


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_of_the_registry_can_be_chosen_by_its_name(name: EngineName) -> None:
    service = with_engine(name)

    assert language_services.settings(service, "eu-west-1")["ENGINE"] == name


@pytest.mark.parametrize("kind", ["whisper", "Moonshine", "", None, 4])
def test_an_engine_that_is_not_in_the_registry_is_refused_with_the_names(kind: object) -> None:
    *first, last = ENGINES

    with pytest.raises(WrongEnvironment) as refused:
        with_engine(kind)

    text = f"give {', '.join(first)} or {last}"
    assert refused.value.problems == (("live.service.engine.kind", text),)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("cpu", [256, 1024, 4096])
def test_a_task_takes_as_many_streams_as_its_share_of_a_processor_permits(
    name: EngineName, cpu: int
) -> None:
    engine = with_engine(name).engine

    slots = engine.streams(cpu, 1)

    if name in STREAMS_PER_CORE:
        assert slots == max(1, ENGINES[name].count_streams(1) * cpu // 1024)
    else:
        assert slots in {None, TRANSCRIBE_STREAMS}


def test_the_documentations_example_of_speech_can_be_provisioned() -> None:
    ours = environment(
        region="us-east-1", live=live(service=ServiceConfig(engine=TranscribeConfig()))
    )
    text = (ROOT / "docs" / "deploy.md").read_text().partition("## Speech")[2]
    example = re.search(r"^    \{\n(?:    .*\n)*?    \}$", text, flags=re.MULTILINE)
    assert example

    found = ours.overridden(json.loads(example[0])["prod"]).live

    assert found is not None
    assert found.service.translation is not None
    assert found.service.task_slots == 500 // 10
    assert isinstance(found.service.engine, TranscribeConfig)
    assert parse_choices(found.service.engine.options, language="en-US")


def test_values_of_ones_own_are_checked_as_well() -> None:
    with pytest.raises(WrongEnvironment, match="mars-1"):
        environment().overridden({"region": "mars-1"})


def test_a_value_of_a_wrong_type_hides_no_other_problem() -> None:
    ours = environment(live=live())

    with pytest.raises(WrongEnvironment) as refused:
        ours.overridden(
            {
                "name": "other",
                "data": {"protected": "maybe", "utterance_days": 0},
                "functions": {"canary": {"minutes": 7}},
                "live": {
                    "acess_logs": True,
                    "load_balancer": {"network": {"zones": "two", "nat_gateways": 9}},
                    "service": {
                        "cpu": 300,
                        "engine": {"kind": "sphinx"},
                        "max_stream_seconds": NAN,
                    },
                },
                "gpu": {"image": "i:1", "instance_types": ["g6.xlarge", 6], "speed": -1},
                "operations": "me@example.org",
                "tags": {"owner": 5},
            }
        )

    assert dict(refused.value.problems) == {
        "name": "is app.py's to give",
        "data.protected": "give true or false",
        "data.utterance_days": "give 1 to 3650 days",
        "functions.canary.minutes": "give 5, 10, 15 or 30",
        "live.acess_logs": "no such field: did you mean access_logs?",
        "live.load_balancer.network.zones": "give a whole number",
        "live.load_balancer.network.nat_gateways": "give 0, or at most one per availability zone",
        "live.service.cpu": "Fargate has 256, 512, 1024, 2048, 4096 units, not 300",
        "live.service.engine.kind": "give moonshine, pocketsphinx, scripted or transcribe",
        "live.service.max_stream_seconds": "give a number or null",
        "gpu.instance_types[1]": "give a text",
        "gpu.speed": "give more than 0 seconds",
        "operations": "give an object or null",
        "tags.owner": "give a text",
    }


def test_what_another_kind_of_part_lacks_hides_no_other_problem() -> None:
    ours = environment(live=live())

    with pytest.raises(WrongEnvironment) as refused:
        ours.overridden({"live": {"load_balancer": {"kind": "shared", "listener_arn": "mine"}}})

    problems = dict(refused.value.problems)
    assert problems.keys() == {
        f"live.load_balancer.{field}" for field in SharedLoadBalancer.model_fields
    } - {"live.load_balancer.kind", "live.load_balancer.rule_priority"}
    assert problems["live.load_balancer.vpc_id"] == "is missing: give a text"
    assert "is not the ARN" in problems["live.load_balancer.listener_arn"]


@pytest.mark.parametrize("own", [[], "prod", 5, True])
def test_values_of_ones_own_that_are_no_object_are_refused(own: object) -> None:
    with pytest.raises(WrongEnvironment, match="give an object"):
        environment().overridden(own)


#: Names of fields, so that what is drawn gets somewhere.
names = st.sampled_from(
    [*Environment.model_fields, *LiveConfig.model_fields, *ServiceConfig.model_fields, "kind", "x"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_values))
def test_whatever_is_written_is_either_provisioned_or_refused_with_reasons(own: object) -> None:
    try:
        found = environment(live=live()).overridden(own)
    except WrongEnvironment as error:
        refused = error.problems
    else:
        assert not list(found.problems())
        return
    assert refused


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_network_is_right_exactly_when_it_is_private_and_has_room(
    address: ipaddress.IPv4Address, bits: int
) -> None:
    network = ipaddress.ip_network((address, bits), strict=False)

    accepted = not list(NetworkConfig(cidr=str(network)).problems())

    assert accepted == (network.is_private and 16 <= bits <= 22)


@given(st.integers(1, 200))
def test_the_stop_timeout_leaves_room_after_the_drain_and_is_one_that_fargate_takes(
    drain: int,
) -> None:
    service = ServiceConfig(drain_seconds=drain)

    if not list(service.problems()):
        assert drain < service.stop_seconds <= 120


@given(
    quota=st.integers(1, 2000),
    most=st.integers(1, 50),
    cpu=st.sampled_from([256, 512, 1024, 2048, 4096]),
)
def test_tasks_together_never_take_more_streams_than_the_quota(
    quota: int, most: int, cpu: int
) -> None:
    service = ServiceConfig(
        engine=TranscribeConfig(quota=quota), cpu=cpu, memory_mib=cpu * 2, maximum_tasks=most
    )

    if not list(service.problems()):
        assert service.task_slots is not None
        assert 1 <= service.task_slots <= cpu * 400 // 1024
        assert service.task_slots * most <= quota


def test_an_environment_without_parts_is_whole() -> None:
    assert isinstance(environment(), Environment)


# --- texts that are empty ---------------------------------------------------------------------


#: Every part of an environment, and so every text that somebody can write.
WHOLE: dict[str, Any] = {
    "live": {
        "service": {
            "image": "registry.example.com/service:1",
            "engine": {"kind": "transcribe", "region": "eu-west-1"},
            "translation": {"terminology": "names", "region": "eu-west-1"},
        },
        "domain": {
            "name": "talk.example.org",
            "certificate_arn": CERTIFICATE,
            "hosted_zone": {"zone_id": "Z0123456789ABC", "name": "example.org"},
        },
    },
    "gpu": {
        "image": "registry.example.com/gpu:1",
        "model": "large-v3",
        "batch_at": "cron(0 0 * * ? *)",
        "warm_from": "cron(0 8 ? * MON-FRI *)",
        "warm_until": "cron(0 9 ? * MON-FRI *)",
    },
    "operations": {"alarm_email": "me@example.org"},
    "delivery": {
        "github_repository": "owner/repository",
        "azure_organization_id": "01234567-89ab-cdef-0123-456789abcdef",
        "azure_service_connection": "organisation/project/connection",
    },
}
ENTRANCES: dict[str, dict[str, Any]] = {
    "shared": SHARED.model_dump(),
    "dedicated": {
        "kind": "dedicated",
        "certificate_arn": CERTIFICATE.replace("us-east-1", "eu-west-1"),
    },
}


def texts_in(value: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            found += texts_in(inner, (*path, name))
        elif isinstance(inner, str) and name != "kind":
            found.append((*path, name))
    return found


def whole(entrance: str) -> dict[str, Any]:
    live_ = {**WHOLE["live"], "load_balancer": ENTRANCES[entrance]}
    own = json.loads(json.dumps({**WHOLE, "live": live_}))
    return {**own, "gpu": own["gpu"] if entrance == "dedicated" else None}


@pytest.mark.parametrize(
    ("entrance", "path"),
    [(each, path) for each in ENTRANCES for path in texts_in(whole(each))],
    ids=lambda each: each if isinstance(each, str) else ".".join(each),
)
def test_an_empty_text_is_refused_wherever_it_stands(entrance: str, path: tuple[str, ...]) -> None:
    ours, own = environment(live=live()), whole(entrance)
    assert ours.overridden(own)
    *holders, name = path
    holder = own
    for each in holders:
        holder = holder[each]
    holder[name] = ""

    with pytest.raises(WrongEnvironment) as refused:
        ours.overridden(own)

    assert any(found.startswith(".".join(path)) for found, _ in refused.value.problems)


def test_every_text_of_an_environment_is_among_those() -> None:
    def of(value: object) -> set[tuple[type, str]]:
        if not isinstance(value, ConfigPart):
            return set()
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        texts = {
            (type(value), name)
            for name, known in type(value).model_fields.items()
            if known.annotation in {str, str | None}
        }
        return texts.union(*map(of, fields.values()))

    def given_in(value: object) -> set[tuple[type, str]]:
        if not isinstance(value, ConfigPart):
            return set()
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        here = {(type(value), name) for name, each in fields.items() if isinstance(each, str)}
        return here.union(*map(given_in, fields.values()))

    for entrance in ENTRANCES:
        made = environment(live=live()).overridden(whole(entrance))
        assert of(made) <= given_in(made)


# --- of entries, and of what belongs together -------------------------------------------------


def own_problems(own: dict[str, Any], ours: Environment | None = None) -> list[tuple[str, str]]:
    with pytest.raises(WrongEnvironment) as refused:
        (ours or environment(live=live())).overridden(own)
    return list(refused.value.problems)


def test_a_wrong_entry_of_an_object_hides_nothing_of_the_others() -> None:
    settings = {"BATCH_SIZE": "many", "DEVICE": "cpu", "SLOTS": 2, "AUTH_TOKEN": "x"}

    found = own_problems({"gpu": {"image": "gpu_server", "settings": settings}})

    assert dict(found) == {
        "gpu.settings.SLOTS": "give a text",
        "gpu.settings.DEVICE": "is made by the stack",
        "gpu.settings.AUTH_TOKEN": "is a secret, which everybody could read in the template",
        "gpu.settings.BATCH_SIZE": "give a whole number, 1 to 256",
    }


@pytest.mark.parametrize(
    ("own", "paths"),
    [
        ({"tags": {"owner": 5, "application": "x"}}, ["tags.owner", "tags.application"]),
        (
            {"gpu": {"image": "i:1", "instance_types": [6, "m7i.large", None]}},
            ["gpu.instance_types[0]", "gpu.instance_types[2]", "gpu.instance_types"],
        ),
        ({"gpu": {"image": "i:1", "instance_types": [6]}}, ["gpu.instance_types[0]"]),
        ({"gpu": {"image": "i:1", "settings": "SLOTS=2"}}, ["gpu.settings"]),
        (
            {"delivery": {"images": True, "image_readers": [12, "012345678901"]}},
            ["delivery.image_readers[0]"],
        ),
    ],
)
def test_each_wrong_entry_is_reported_once(own: dict[str, Any], paths: list[str]) -> None:
    assert [path for path, _ in own_problems(own)] == paths


def test_a_list_that_another_has_to_match_keeps_its_length() -> None:
    subnets = {"subnet_ids": [5, "subnet-1"], "availability_zones": ["eu-west-1a", "eu-west-1b"]}

    found = own_problems({"live": {"load_balancer": {**SHARED.model_dump(), **subnets}}})

    assert [path for path, _ in found] == [
        "live.load_balancer.subnet_ids[0]",
        "live.load_balancer.subnet_ids",
    ]
    assert "'subnet-1' does not look like" in found[1][1]


def test_jobs_that_wait_for_an_hour_need_no_other_reason_to_wait() -> None:
    gpu = {"image": "i:1", "batch_at": "cron(0 0 * * ? *)", "jobs_to_start": 3}

    ((path, text),) = own_problems({"gpu": gpu})

    assert path == "gpu.batch_at"
    assert "leave out jobs_to_start" in text


@pytest.mark.parametrize("viewers", [0, 3000, 1_000_000])
def test_only_a_machines_own_limit_of_viewers_counts(viewers: int) -> None:
    service = ON_MACHINE.model_copy(update={"viewers": viewers})

    message = refusal(live=live(load_balancer=NoLoadBalancer(), service=service))

    assert message.count("live.service.viewers") == 1
    assert f"a t4g.nano takes 1 to 2706, not {viewers}" in message


# --- instance types ---------------------------------------------------------------------------


def wrong_types(*kinds: str) -> list[str]:
    return [text for _, text in GpuConfig(image="i:1", instance_types=kinds).problems()]


def test_every_type_with_a_gpu_that_awss_own_sdk_knows_is_let_through() -> None:
    model = botocore.session.Session().get_service_model("ec2")
    known = [
        each
        for each in model.shape_for("InstanceType").metadata["enum"]
        if re.match(r"(?:gr?|p)\d", each)
    ]

    assert len(known) > 50, "the model is not what this takes it for"
    assert wrong_types(*known) == []
    assert wrong_types("g9e.96xlarge") == []  # to come


@pytest.mark.parametrize("kind", ["g6.xlarg", "g6.xlagre", "g6xlarge", "G6.xlarge", "g6.x-large"])
def test_a_type_with_a_typing_mistake_is_refused_with_a_hint(kind: str) -> None:
    (text,) = wrong_types(kind)

    assert "did you mean g6.xlarge?" in text
