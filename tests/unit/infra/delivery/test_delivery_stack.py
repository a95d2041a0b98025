"""Delivery: which job of which pipeline may do what."""

from __future__ import annotations

import json
from typing import Any, Protocol

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infra.common.artifacts import ROOT
from infra.config.data import DataConfig
from infra.config.delivery import DeliveryConfig
from infra.delivery.images import KEPT_IMAGES
from infra.delivery.roles import PipelineRoles
from infra.recordings.store import RecordingStore
from tests.support.environments import environment
from tests.support.templates import app, one

pytestmark = pytest.mark.unit

GUID = "01234567-89ab-cdef-0123-456789abcdef"
AZURE = {"azure_organization_id": GUID, "azure_service_connection": "org/project/cloudscribe-demo"}
BOTH = DeliveryConfig(github_repository="owner/words", images=True, **AZURE)


class Synthesise(Protocol):
    def __call__(self, delivery: DeliveryConfig) -> Template: ...


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    def synthesise(delivery: DeliveryConfig) -> Template:
        whole = app(tmp_path_factory.mktemp("delivery"))
        region = cdk.Environment(region="eu-west-1")
        data = cdk.Stack(whole, "cloudscribe-demo-data", env=region)
        stack = cdk.Stack(whole, "cloudscribe-demo-delivery", env=region)
        PipelineRoles(
            stack,
            "Pipelines",
            delivery=delivery,
            environment_name="demo",
            store=RecordingStore(data, "Recordings", data=DataConfig(protected=False)),
            smoke_key="/cloudscribe/demo/smoke-key",
            gpu_service_arn=None,
        )
        return Template.from_stack(stack)

    return synthesise


@pytest.fixture(scope="module")
def template(synthesised: Synthesise) -> Template:
    return synthesised(BOTH)


def role(template: Template, name: str) -> tuple[str, dict[str, Any]]:
    """Return a role by the name of its output."""
    arn = template.to_json()["Outputs"][f"{name}Role"]["Value"]
    logical_id = arn["Fn::GetAtt"][0]
    return logical_id, template.to_json()["Resources"][logical_id]["Properties"]


def trusted(template: Template, name: str) -> dict[str, str]:
    """Return what a token has to have in it, for this role."""
    (statement,) = role(template, name)[1]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert set(statement["Condition"]) == {"StringEquals"}  # no pattern, no wildcard
    return {
        key.split(":")[-1]: value for key, value in statement["Condition"]["StringEquals"].items()
    }


def statements(template: Template, name: str) -> list[dict[str, Any]]:
    """Return everything that a role may do."""
    logical_id, properties = role(template, name)
    assert "ManagedPolicyArns" not in properties
    assert "Policies" not in properties
    return [
        statement
        for policy in template.find_resources("AWS::IAM::Policy").values()
        if {"Ref": logical_id} in policy["Properties"]["Roles"]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def actions(template: Template, name: str) -> set[str]:
    found: set[str] = set()
    for statement in statements(template, name):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("GitHubDeploy", "repo:owner/words:environment:demo"),
        ("GitHubPublish", "repo:owner/words:ref:refs/heads/main"),
        ("GitHubDiff", "repo:owner/words:pull_request"),
        ("AzureDeploy", "sc://org/project/cloudscribe-demo"),
        ("AzurePublish", "sc://org/project/cloudscribe-demo-publish"),
        ("AzureDiff", "sc://org/project/cloudscribe-demo-diff"),
    ],
)
def test_a_role_trusts_one_subject_and_nobody_else(
    template: Template, name: str, subject: str
) -> None:
    audience = "sts.amazonaws.com" if name.startswith("GitHub") else "api://AzureADTokenExchange"

    assert trusted(template, name) == {"aud": audience, "sub": subject}


def test_repositories_with_numbers_in_their_subject_are_trusted_by_these(
    synthesised: Synthesise,
) -> None:
    template = synthesised(DeliveryConfig(github_repository="owner@12/words@34"))

    assert trusted(template, "GitHubDeploy")["sub"] == "repo:owner@12/words@34:environment:demo"


@pytest.mark.parametrize("name", ["GitHubDeploy", "AzureDeploy"])
def test_who_deploys_may_take_the_roles_of_the_cdk(template: Template, name: str) -> None:
    (statement,) = [each for each in statements(template, name) if "sts" in str(each["Action"])]

    assert statement["Action"] == "sts:AssumeRole"
    for resource in statement["Resource"]:
        arn = json.dumps(resource)
        assert ":role/cdk-hnb659fds-" in arn
        assert "eu-west-1" in arn
        assert "*" not in arn


@pytest.mark.parametrize("name", ["GitHubDeploy", "AzureDeploy"])
def test_who_deploys_may_try_one_recording_and_read_no_other(template: Template, name: str) -> None:
    outcome = "/users/smoke/transcripts/check-chunk-001"
    may: dict[str, set[str]] = {}
    for statement in statements(template, name):
        for action in listed(statement["Action"]):
            for resource in listed(statement["Resource"]):
                may.setdefault(action, set()).add(json.dumps(resource))

    def keys(action: str) -> list[str]:
        return sorted(each.rpartition('"/users')[2].split('"')[0] for each in may[action])

    assert may.keys() == {
        "sts:AssumeRole",
        *("s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"),
        *("sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage"),
        "ssm:GetParameter",
    }
    (parameter,) = may["ssm:GetParameter"]
    assert parameter.endswith(':parameter/cloudscribe/demo/smoke-key"]]}')
    assert keys("s3:PutObject") == ["/smoke/audio/sessions/check/chunk-001.ogg"]
    assert keys("s3:GetObject") == [f"{outcome[6:]}.failed", f"{outcome[6:]}.json"]
    assert keys("s3:DeleteObject") == [*keys("s3:PutObject"), *keys("s3:GetObject")]
    assert "*" not in str(may)
    (listing,) = [each for each in statements(template, name) if "s3:ListBucket" in str(each)]
    assert listing["Condition"] == {"StringEquals": {"s3:prefix": outcome[1:]}}


@pytest.mark.parametrize("name", ["GitHubDiff", "AzureDiff"])
def test_a_pull_request_reads_templates_of_this_environment_and_no_data(
    template: Template, name: str
) -> None:
    (statement,) = statements(template, name)

    assert set(statement["Action"]) == {
        "cloudformation:DescribeStacks",
        "cloudformation:GetTemplate",
    }
    assert "stack/cloudscribe-demo-*/*" in json.dumps(statement["Resource"])


@pytest.mark.parametrize("name", ["GitHubPublish", "AzurePublish"])
def test_who_publishes_may_push_to_one_repository_and_not_deploy(
    template: Template, name: str
) -> None:
    images, _ = one(template, "AWS::ECR::Repository")

    for statement in statements(template, name):
        if statement["Resource"] == "*":
            assert statement["Action"] == "ecr:GetAuthorizationToken"
        else:
            assert statement["Resource"] == {"Fn::GetAtt": [images, "Arn"]}
    assert "ecr:PutImage" in actions(template, name)
    assert "ecr:BatchDeleteImage" not in actions(template, name)
    assert "sts:AssumeRole" not in actions(template, name)


def test_an_image_that_was_tested_stays_what_it_is(template: Template) -> None:
    _, repository = one(template, "AWS::ECR::Repository")

    assert repository["Properties"]["ImageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert repository["Properties"]["ImageTagMutabilityExclusionFilters"] == [
        {
            "ImageTagMutabilityExclusionFilterType": "WILDCARD",
            "ImageTagMutabilityExclusionFilterValue": "kept-*",
        }
    ]
    assert repository["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["DeletionPolicy"] == "Retain"  # running tasks pull from it


def test_what_an_environment_runs_is_never_deleted(template: Template) -> None:
    _, repository = one(template, "AWS::ECR::Repository")
    policy = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])
    marked, rest = sorted(policy["rules"], key=lambda rule: rule["rulePriority"])

    # Of lower priority, so it cannot delete what the other one matches.
    assert rest["selection"]["tagStatus"] == "any"
    assert rest["selection"]["countNumber"] == KEPT_IMAGES
    # Never applies: an image is marked for three reasons in each environment at the most.
    assert marked["selection"]["tagPrefixList"] == ["kept-"]
    assert marked["selection"]["countNumber"] >= 1000
    script = (ROOT / "scripts" / "keep-image.sh").read_text()
    assert 'mark "kept-$environment-$state"' in script


def test_accounts_that_were_named_may_pull_but_not_push(synthesised: Synthesise) -> None:
    template = synthesised(
        DeliveryConfig(github_repository="o/r", images=True, image_readers=("123456789012",))
    )
    _, repository = one(template, "AWS::ECR::Repository")
    (statement,) = repository["Properties"]["RepositoryPolicyText"]["Statement"]

    assert "123456789012" in json.dumps(statement["Principal"])
    assert "ecr:BatchGetImage" in statement["Action"]
    assert "ecr:PutImage" not in statement["Action"]


def test_images_of_the_gpu_server_have_a_repository_of_their_own(synthesised: Synthesise) -> None:
    template = synthesised(DeliveryConfig(github_repository="o/r", images=True, gpu_images=True))
    outputs = template.to_json()["Outputs"]

    template.resource_count_is("AWS::ECR::Repository", 2)
    assert outputs["ImageRepository"]["Description"] == "IMAGE_REPOSITORY of the pipelines"
    assert outputs["GpuImageRepository"]["Description"] == "GPU_IMAGE_REPOSITORY of the pipelines"
    assert outputs["ImageRepository"]["Value"] != outputs["GpuImageRepository"]["Value"]
    alone = synthesised(DeliveryConfig(github_repository="o/r", gpu_images=True)).to_json()[
        "Outputs"
    ]
    assert {"GpuImageRepository", "GitHubPublishRole"} <= set(alone)


def test_without_images_nobody_publishes(synthesised: Synthesise) -> None:
    template = synthesised(DeliveryConfig(github_repository="o/r"))

    template.resource_count_is("AWS::ECR::Repository", 0)
    assert "Publish" not in json.dumps(template.to_json()["Outputs"])


def test_a_provider_that_exists_is_used_and_not_made_again(synthesised: Synthesise) -> None:
    template = synthesised(DeliveryConfig(github_repository="o/r", providers_exist=True))
    (statement,) = role(template, "GitHubDeploy")[1]["AssumeRolePolicyDocument"]["Statement"]

    template.resource_count_is("AWS::IAM::OIDCProvider", 0)
    provider = json.dumps(statement["Principal"]["Federated"])
    assert "oidc-provider/token.actions.githubusercontent.com" in provider


def test_only_what_was_asked_for_is_trusted(synthesised: Synthesise) -> None:
    template = synthesised(DeliveryConfig(github_repository="o/r"))

    _, provider = one(template, "AWS::IAM::OIDCProvider")
    assert provider["Properties"]["Url"] == "https://token.actions.githubusercontent.com"
    assert provider["Properties"]["ClientIdList"] == ["sts.amazonaws.com"]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("github_repository", DeliveryConfig(github_repository="owner@12/words")),
        ("github_repository", DeliveryConfig(github_repository="owner/*")),
        ("image_readers", DeliveryConfig(image_readers=("123456789012",))),
        ("image_readers", DeliveryConfig(images=True, image_readers=("12",))),
    ],
)
def test_a_role_that_is_open_to_too_many_is_refused(field: str, wrong: DeliveryConfig) -> None:
    with pytest.raises(ValueError, match=f"delivery.{field}"):
        environment(delivery=wrong)
