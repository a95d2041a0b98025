"""Synthesises every environment of `app.py`, and one that has all that it does not choose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import app
from infra.common import nag
from infra.config.access import CognitoConfig
from infra.config.delivery import DeliveryConfig
from infra.config.domain import Domain, HostedZone
from infra.config.functions import Canary, FunctionsConfig
from infra.config.gpu import GpuConfig
from infra.config.operations import OperationsConfig
from infra.config.recognition import Allowed, TranscribeConfig
from infra.config.service import ServiceConfig
from infra.config.translation import TranslationConfig
from infra.stacks import provision
from tests.support import templates
from tests.support.environments import DEDICATED, environment, live

CERTIFICATE = "arn:aws:acm:{region}:123456789012:certificate/0b0a"
#: What somebody has to write into cdk.context.json before they deploy.
ADMINISTRATORS = {
    name: {"access": {"administrator_email": f"first@{name}.example.org"}}
    for name in ("demo", "solo", "prod")
}
#: Everything that can be chosen and that app.py does not choose.
FULL = environment(
    name="full",
    functions=FunctionsConfig(canary=Canary()),
    live=live(
        load_balancer=DEDICATED.model_copy(
            update={"certificate_arn": CERTIFICATE.format(region="eu-west-1"), "access_logs": True}
        ),
        domain=Domain(
            name="captions.example.org",
            certificate_arn=CERTIFICATE.format(region="us-east-1"),
            hosted_zone=HostedZone(zone_id="Z0123456789", name="example.org"),
        ),
        service=ServiceConfig(
            engine=TranscribeConfig(
                region="eu-central-1",
                options={"vocabulary-name": "names"},
                allowed=Allowed(vocabularies=("names",)),
            ),
            translation=TranslationConfig(languages=("fr",), terminology="products"),
        ),
    ),
    access=CognitoConfig(administrator_email="someone@example.org", api_concurrency=10),
    gpu=GpuConfig(
        image="registry.example.org/whisperx:1",
        warm_from="cron(0 8 ? * MON-FRI *)",
        warm_until="cron(0 18 ? * MON-FRI *)",
        batch_at="cron(0 0 * * ? *)",
    ),
    operations=OperationsConfig(alarm_email="someone@example.org", monthly_budget_usd=100),
    delivery=DeliveryConfig(
        github_repository="owner/repository",
        images=True,
        azure_organization_id="0123abcd-0123-0123-0123-0123456789ab",
        azure_service_connection="organisation/project/connection",
    ),
)


@dataclass(frozen=True)
class Assembly:
    """What a synth wrote."""

    folder: Path

    def stacks(self, of: str = "*") -> dict[str, dict[str, Any]]:
        """Return templates by stack, of one environment or of all."""
        return {
            path.name.removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(self.folder.glob(f"cloudscribe-{of}-*.template.json"))
        }

    def resources(self, kind: str, of: str = "*") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield resources of a kind, each with where it is."""
        for stack, template in self.stacks(of).items():
            for name, resource in template["Resources"].items():
                if resource["Type"] == kind:
                    yield f"{stack}/{name}", resource

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what roles may do."""
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role"):
            for where, resource in self.resources(kind):
                properties = resource["Properties"]
                inline = [each["PolicyDocument"] for each in properties.get("Policies", [])]
                if "PolicyDocument" in properties:
                    inline.append(properties["PolicyDocument"])
                for document in inline:
                    for statement in document["Statement"]:
                        yield where, statement


def synthesised(folder: Path) -> Assembly:
    """Return the templates of all environments, which cdk-nag was content with."""
    artifacts = templates.built(folder / "built")
    made = templates.app(folder, ADMINISTRATORS)
    nag.check(made)
    app.build(made, artifacts)
    provision(made, FULL, artifacts)
    made.synth()
    return Assembly(folder / "cdk.out")
