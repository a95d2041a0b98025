"""The settings of the tasks for Amazon Transcribe and Amazon Translate, and their rights there.

All rights are for `*`. AWS's Service Authorization Reference (as of 2026) names no type of resource
for the streaming actions of Transcribe, nor for DetectDominantLanguage of Comprehend. For
TranslateText it names terminologies and parallel data, both optional: a request without them is
about no resource, and whether the ARN alone would do for one with a terminology nobody has tried
here. What narrows the rights is the region, a key that every request to AWS has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from infra.config.environment import Service
from infra.config.recognition import TRANSCRIBE_PORT, Transcribe

TRANSLATE_ACTION = "translate:TranslateText"
#: Translate calls Comprehend in the caller's name, where it is to detect the source's language.
#: Source: Amazon Translate Developer Guide, "Identity-based policies".
DETECT_ACTION = "comprehend:DetectDominantLanguage"


def settings(service: Service, region: str) -> dict[str, str]:
    """Return environment variables of the tasks, which `ecs_service.settings` describes.

    Args:
        service: what was chosen.
        region: the environment's own.
    """
    engine, translation = service.engine, service.translation
    variables: dict[str, str] = {"ENGINE": engine.kind}
    if isinstance(engine, Transcribe):
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


def rights(service: Service, region: str) -> Iterator[iam.PolicyStatement]:
    """Yield what the tasks' role needs besides the rest; nothing where neither is used.

    Args:
        service: what was chosen.
        region: the environment's own.
    """
    if isinstance(service.engine, Transcribe):
        for action in _transcribe_actions(service.engine):
            yield _right(action, service.engine.region or region)
    if service.translation is not None:
        yield _right(TRANSLATE_ACTION, service.translation.region or region)
        if service.translation.source == "auto":
            yield _right(DETECT_ACTION, service.translation.region or region)


def let_out(group: ec2.SecurityGroup, service: Service) -> None:
    """Open the ways to AWS that tasks need, among them that to Transcribe where it recognises."""
    group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "AWS")
    if isinstance(service.engine, Transcribe):
        group.add_egress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(TRANSCRIBE_PORT), "Amazon Transcribe"
        )


def _transcribe_actions(engine: Transcribe) -> Iterator[str]:
    """Yield what starts the streams that there can be."""
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
    """Return a value as JSON, the same one each time; nothing for an empty one."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")) if value else ""
