"""Settings, rights and egress of the tasks for Amazon Transcribe and Amazon Translate.

All rights are for `*`. AWS's Service Authorization Reference (as of 2026) has no resource type for
the streaming actions of Transcribe, nor for DetectDominantLanguage of Comprehend. For TranslateText
it has terminologies and parallel data, both optional: a request without them names no resource.
Whether the ARN of a terminology would be enough for a request with one has not been tried. A
condition on the region narrows the rights; every request to AWS has that key.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from infra.config.recognition import TRANSCRIBE_PORT, TranscribeConfig
from infra.config.service import ServiceConfig

TRANSLATE_ACTION = "translate:TranslateText"
#: To detect a text's language, Translate calls Comprehend on behalf of the caller.
#: Source: Amazon Translate Developer Guide, "Identity-based policies".
DETECT_ACTION = "comprehend:DetectDominantLanguage"


def settings(service: ServiceConfig, region: str) -> dict[str, str]:
    """Return environment variables of the tasks, which `ecs_service.settings` describes.

    Args:
        service: what the environment chose.
        region: the environment's own.
    """
    engine, translation = service.engine, service.translation
    variables: dict[str, str] = {"ENGINE": engine.kind}
    if isinstance(engine, TranscribeConfig):
        allowed = engine.allowed.model_dump(mode="json", exclude_defaults=True)
        variables["TRANSCRIBE_REGION"] = engine.region or region
        variables["TRANSCRIBE_STARTS_PER_SECOND"] = f"{engine.starts(service.maximum_tasks):.4g}"
        variables["TRANSCRIBE_OPTIONS"] = _json(engine.options)
        variables["TRANSCRIBE_ALLOWED"] = _json(allowed)
    if translation is not None:
        variables["TRANSLATOR"] = "amazon"
        variables["TRANSLATE_REGION"] = translation.region or region
        variables["TRANSLATE_LANGUAGES"] = ",".join(translation.languages)
        variables["TRANSLATE_TERMINOLOGY"] = translation.terminology or ""
        variables["TRANSLATE_SOURCE"] = translation.source
    return {name: value for name, value in variables.items() if value}


def rights(service: ServiceConfig, region: str) -> Iterator[iam.PolicyStatement]:
    """Yield the rights of the tasks' role to call the chosen services.

    Args:
        service: what the environment chose.
        region: the environment's own.
    """
    if isinstance(service.engine, TranscribeConfig):
        for action in _transcribe_actions(service.engine):
            yield _right(action, service.engine.region or region)
    if service.translation is not None:
        yield _right(TRANSLATE_ACTION, service.translation.region or region)
        if service.translation.source == "auto":
            yield _right(DETECT_ACTION, service.translation.region or region)


def allow_egress(group: ec2.SecurityGroup, service: ServiceConfig) -> None:
    """Permit the connections to AWS that tasks need, including Transcribe's port if chosen."""
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "AWS")
    if isinstance(service.engine, TranscribeConfig):
        group.add_egress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(TRANSCRIBE_PORT), "Amazon Transcribe"
        )


def _transcribe_actions(engine: TranscribeConfig) -> Iterator[str]:
    """Yield the actions that start the streams that speakers may choose."""
    if engine.medical != "always":
        yield "transcribe:StartStreamTranscriptionWebSocket"
    if engine.medical != "never":
        yield "transcribe:StartMedicalStreamTranscriptionWebSocket"


def _right(action: str, region: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=[action],
        resources=["*"],
        conditions={"StringEquals": {"aws:RequestedRegion": region}},
    )


def _json(value: object) -> str:
    """Return a value as JSON with sorted keys; `""` for an empty one."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if value else ""
