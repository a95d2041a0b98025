"""Logical ids of what a deployment must not replace.

A resource with another logical id is another resource to CloudFormation: a table or a bucket would
be made anew and empty, and an address would change. Whoever changes an id here by intent states in
CHANGELOG.md what users have to do.
"""

from __future__ import annotations

import pytest

from tests.support.assembly import Assembly

pytestmark = pytest.mark.unit

#: By stack and type. Each environment has some of them.
STATEFUL = {
    "data": {
        "AccessTable860AC5FC": "AWS::DynamoDB::Table",
        "ConversationsStreams06B084B5": "AWS::DynamoDB::Table",
        "ConversationsTable05F75AD7": "AWS::DynamoDB::Table",
        "ConversationsUtterancesDeadLettersAB485FF1": "AWS::SQS::Queue",
        "ConversationsUtterancesQueue3400D61E": "AWS::SQS::Queue",
        "NoticesTopic898AF2CD": "AWS::SNS::Topic",
        "PeopleDomain2764DEB8": "AWS::Cognito::UserPoolDomain",
        "PeoplePoolC64A4D1E": "AWS::Cognito::UserPool",
        "RecordingsAccessLogsD420230A": "AWS::S3::Bucket",
        "RecordingsBucketB0C8199F": "AWS::S3::Bucket",
        "RecordingsJobsDeadLettersE83FAFF3": "AWS::SQS::Queue",
        "RecordingsJobsQueueF835A610": "AWS::SQS::Queue",
        "RecordingsUndelivered46B42A42": "AWS::SQS::Queue",
    },
    "delivery": {"PipelinesServiceImagesC1CCF06D": "AWS::ECR::Repository"},
    "functions": {"RecordingFlowWakes20A5CA52": "AWS::SQS::Queue"},
    "gpu": {"GpuServerSecret79EC1F03": "AWS::SecretsManager::Secret"},
    "live": {
        "CaptionServiceEntranceSecret5D8AAFFF": "AWS::SecretsManager::Secret",
        "EntranceAccessLogs41EA7DCE": "AWS::S3::Bucket",
        "EntranceLoadBalancerF84991F0": "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "EntranceSecret80EFE9EC": "AWS::SecretsManager::Secret",
        "Machine1": "AWS::EC2::Instance",
    },
    "network": {"NetworkVpc7FB7348F": "AWS::EC2::VPC"},
    "web": {
        "ApiEntranceApi02D7CBA2": "AWS::ApiGatewayV2::Api",
        "ApiEntranceSecret4862B7FA": "AWS::SecretsManager::Secret",
        "ClientsPage68A19E92": "AWS::Cognito::UserPoolClient",
        "ClientsProgram90E78C4E": "AWS::Cognito::UserPoolClient",
        "WebsiteAccessLogBucket8B665C4A": "AWS::S3::Bucket",
        "WebsiteBucket4326D7C2": "AWS::S3::Bucket",
        "WebsiteDistribution0C86AB5B": "AWS::CloudFront::Distribution",
    },
}


def test_no_stateful_resource_gets_another_logical_id(assembly: Assembly) -> None:
    kinds = {kind for resources in STATEFUL.values() for kind in resources.values()}
    found: dict[str, dict[str, str]] = {}
    for stack, template in assembly.stacks().items():
        for name, resource in template["Resources"].items():
            if resource["Type"] in kinds:
                found.setdefault(stack.rpartition("-")[2], {})[name] = resource["Type"]

    assert found == STATEFUL
