"""The dated table of prices, and how each type of resource is charged.

Every type of resource in a template is in exactly one of three places. `infra.costs.always_on`
prices types that cost money while they exist, `FREE` lists types that never cost anything by
themselves, and `USAGE` lists types that are charged by use. Any other type stops the estimate.

These are AWS's list prices for us-east-1, most of them taken from pages of others who quote AWS.
Check them (https://aws.amazon.com/pricing/) before you quote them. Only free tiers that never end
are counted; they are per account, not per environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from transcripts.functions import BATCH_WORKER, handler_path

#: When the table was last checked.
PRICED_ON: Final = "2026-11"
REGION: Final = "us-east-1"
#: AWS's own month: a year's hours divided by twelve.
HOURS_PER_MONTH: Final = 730

#: Spot prices as a share of the prices on demand. They change daily, without a guarantee.
FARGATE_SPOT: Final = Decimal("0.32")
EC2_SPOT: Final = Decimal("0.40")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one unit while it exists."""

    what: str
    #: US dollars for one unit, per hour or per month.
    dollars: Decimal
    hourly: bool = True
    #: The number of units that are always free in every account.
    free: Decimal = Decimal(0)

    @property
    def monthly(self) -> Decimal:
        """The price of one unit a month, US dollars."""
        return self.dollars * HOURS_PER_MONTH if self.hourly else self.dollars

    def month(self, quantity: Decimal) -> Decimal:
        """Return the price of a quantity a month beyond the free units, US dollars."""
        return max(quantity - self.free, Decimal(0)) * self.monthly


# --- always on: computing ---------------------------------------------------------------------

ARM_VCPU: Final = Price(what="Fargate vCPU, ARM, on demand", dollars=Decimal("0.03238"))
ARM_GB: Final = Price(what="Fargate GB, ARM, on demand", dollars=Decimal("0.00356"))
X86_VCPU: Final = Price(what="Fargate vCPU, x86, on demand", dollars=Decimal("0.04048"))
X86_GB: Final = Price(what="Fargate GB, x86, on demand", dollars=Decimal("0.004445"))
ARM_VCPU_SPOT: Final = Price(
    what="Fargate vCPU, ARM, Spot", dollars=ARM_VCPU.dollars * FARGATE_SPOT
)
ARM_GB_SPOT: Final = Price(what="Fargate GB, ARM, Spot", dollars=ARM_GB.dollars * FARGATE_SPOT)
X86_VCPU_SPOT: Final = Price(
    what="Fargate vCPU, x86, Spot", dollars=X86_VCPU.dollars * FARGATE_SPOT
)
X86_GB_SPOT: Final = Price(what="Fargate GB, x86, Spot", dollars=X86_GB.dollars * FARGATE_SPOT)
#: Beyond the 20 GiB that every task has.
EPHEMERAL_GB: Final = Price(what="Fargate ephemeral storage, GB", dollars=Decimal("0.000111"))
EPHEMERAL_INCLUDED_GB: Final = 20

#: On demand. Spot is about `EC2_SPOT` of it.
INSTANCES: Final[Mapping[str, Decimal]] = {
    "g4dn.xlarge": Decimal("0.526"),
    "g6.xlarge": Decimal("0.8048"),
    "g5.xlarge": Decimal("1.006"),
    "t4g.nano": Decimal("0.0042"),
}
#: Beyond what every volume has.
GP3_MIB_S: Final = Price(what="EBS gp3, MiB/s of throughput", dollars=Decimal("0.04"), hourly=False)
GP3_IOPS: Final = Price(what="EBS gp3, IOPS", dollars=Decimal("0.005"), hourly=False)
GP3_INCLUDED_MIB_S: Final = 125
GP3_INCLUDED_IOPS: Final = 3000
GP3_GB: Final = Price(what="EBS gp3, GB", dollars=Decimal("0.08"), hourly=False)

# --- always on: network -----------------------------------------------------------------------

LOAD_BALANCER: Final = Price(what="load balancer", dollars=Decimal("0.0225"))
PUBLIC_IPV4: Final = Price(what="public IPv4 address", dollars=Decimal("0.005"))
NAT_GATEWAY: Final = Price(what="NAT gateway", dollars=Decimal("0.045"))
INTERFACE_ENDPOINT: Final = Price(what="VPC interface endpoint and zone", dollars=Decimal("0.010"))
HOSTED_ZONE: Final = Price(what="hosted zone", dollars=Decimal("0.50"), hourly=False)
WEB_ACL: Final = Price(what="WAF web ACL", dollars=Decimal(5), hourly=False)
WEB_ACL_RULE: Final = Price(what="WAF rule", dollars=Decimal(1), hourly=False)

# --- always on: keys, and looking after it ------------------------------------------------------

KMS_KEY: Final = Price(what="KMS key", dollars=Decimal(1), hourly=False)
SECRET: Final = Price(what="secret", dollars=Decimal("0.40"), hourly=False)
ALARM_METRIC: Final = Price(
    what="metric watched by alarms", dollars=Decimal("0.10"), hourly=False, free=Decimal(10)
)
#: Alarms with a period of less than a minute.
FAST_ALARM_METRIC: Final = Price(
    what="metric watched by high-resolution alarms", dollars=Decimal("0.30"), hourly=False
)
COMPOSITE_ALARM: Final = Price(what="composite alarm", dollars=Decimal("0.50"), hourly=False)
DASHBOARD: Final = Price(what="dashboard", dollars=Decimal(3), hourly=False, free=Decimal(3))
#: An hour in which a metric has no data costs nothing; those of functions are therefore usage.
CUSTOM_METRIC: Final = Price(
    what="custom metric", dollars=Decimal("0.30"), hourly=False, free=Decimal(10)
)
#: A task with this setting sends so many metrics every minute: ecs_service/embedded_metrics.py.
METRICS_SETTING: Final = "METRICS_NAMESPACE"
METRICS_PER_SERVICE: Final = 8
#: A task with this setting reads the ledger's index every four seconds, half a unit each time:
#: ecs_service/sessions/sweep.py.
LEDGER_SETTING: Final = "STREAMS_TABLE"
SWEEP: Final = Price(
    what="reads of the ledger by a task",
    dollars=Decimal(3600) / 4 / 2 * Decimal("0.125") / 1_000_000,
)
#: Metrics of functions that a schedule calls at least every hour: by handler, the environment
#: variables each of which brings one. The batch worker counts machines where it has some.
METRICS_OF_SCHEDULED: Final[Mapping[str, tuple[str, ...]]] = {
    handler_path(BATCH_WORKER): ("SERVICE",)
}
#: Metrics that Container Insights makes: an estimate from the list in CloudWatch's user guide,
#: of the metrics with the dimensions of a cluster, and of a service and its task family.
INSIGHTS_METRICS_PER_CLUSTER: Final = 13
INSIGHTS_METRICS_PER_SERVICE: Final = 25
#: Alarms that target tracking creates automatically: one upwards, one downwards.
ALARMS_PER_TARGET_TRACKING: Final = 2

# --- always on: small things ------------------------------------------------------------------

#: Lambda polls each queue all the time: five pollers, each of which waits 20 s at most.
QUEUE_POLLERS: Final = 5
QUEUE_POLL_SECONDS: Final = 20
#: A request to a queue that keeps the order (FIFO) costs $0.50 a million.
FIFO_FACTOR: Final = Decimal("1.25")
POLLED_REQUESTS: Final = Price(
    what="million SQS requests by idle pollers",
    dollars=Decimal("0.40"),
    hourly=False,
    free=Decimal(1),
)
ALLOWANCE: Final = Price(
    what="allowance for storage, logs and images", dollars=Decimal("0.50"), hourly=False
)

# --- usage --------------------------------------------------------------------------------------

LCU_HOUR: Final = Decimal("0.008")
CLOUDFRONT_TO_ORIGIN_GB: Final = Decimal("0.020")
SQS_REQUEST: Final = Decimal("0.40") / 1_000_000
LAMBDA_REQUEST: Final = Decimal("0.20") / 1_000_000
LAMBDA_ARM_GB_SECOND: Final = Decimal("0.0000133334")
DYNAMODB_WRITE: Final = Decimal("0.625") / 1_000_000
DYNAMODB_READ: Final = Decimal("0.125") / 1_000_000
DYNAMODB_GB: Final = Decimal("0.25")
DYNAMODB_PITR_GB: Final = Decimal("0.20")
S3_GB: Final = Decimal("0.023")
S3_PUT: Final = Decimal("0.005") / 1000
S3_GET: Final = Decimal("0.0004") / 1000
ECR_GB: Final = Decimal("0.10")
LOGS_GB: Final = Decimal("0.50")
LOGS_KEPT_GB: Final = Decimal("0.03")
NAT_GB: Final = Decimal("0.045")
ENDPOINT_GB: Final = Decimal("0.01")
#: Requests to an HTTP API, up to 300 million a month and 512 KB each. Requests that the gateway
#: throttles are free (API Gateway Developer Guide, "Pricing"). One free million ends after a year.
HTTP_API_REQUEST: Final = Decimal("1.00") / 1_000_000
#: Requests beyond ten million a month, over TLS.
CLOUDFRONT_REQUEST: Final = Decimal("1.00") / 1_000_000
#: A person of a user pool of the plan Essentials who signs in or renews a token in a month, beyond
#: ten thousand of the account (Cognito's pricing page, as others quote it).
COGNITO_PERSON: Final = Decimal("0.015")
#: The only plan of user pools with a price here.
COGNITO_TIER: Final = "ESSENTIALS"
#: Streaming, at the price for low volumes; charged by the second.
TRANSCRIBE_MINUTE: Final = Decimal("0.024")
#: Transcribe Medical, streaming; one price however much is used. Source: the examples of AWS's
#: pricing page of Transcribe, $1.125 for 15 minutes to $6.75 for 90.
TRANSCRIBE_MEDICAL_MINUTE: Final = Decimal("0.075")
TRANSLATE_MILLION_CHARACTERS: Final = Decimal(15)
#: Detection of a text's language: units of 100 characters, three at least for a request.
COMPREHEND_UNIT: Final = Decimal("0.0001")
COMPREHEND_UNIT_CHARACTERS: Final = 100
COMPREHEND_LEAST_UNITS: Final = 3
#: Settings by which a task calls these services, and the value that does.
TRANSCRIBE_SETTING: Final = ("ENGINE", "transcribe")
#: Settings, as JSON, that say whether streams are medical: always, or as their speakers choose.
TRANSCRIBE_OPTIONS_SETTING: Final = "TRANSCRIBE_OPTIONS"
TRANSCRIBE_ALLOWED_SETTING: Final = "TRANSCRIBE_ALLOWED"
TRANSLATE_SETTING: Final = ("TRANSLATOR", "amazon")
DETECT_SETTING: Final = ("TRANSLATE_SOURCE", "auto")


class Usage(StrEnum):
    """The kinds of usage; `infra.costs.usage` has their rates."""

    STREAM = "an hour of a live stream"
    SPEECH = "speech, by services that are chosen"
    RECORDING = "a recording of an hour"
    GPU = "an hour of audio on a GPU"
    TASK = "an hour of one more task"
    ACCOUNTS = "people with accounts, and the API that they call"
    GIGABYTE = "a GB"
    #: Too little to have a rate.
    TRIFLE = "within free tiers, or too little to count"


USAGE: Final[Mapping[str, Usage]] = {
    "AWS::ApiGatewayV2::Api": Usage.ACCOUNTS,
    "AWS::ApplicationAutoScaling::ScalableTarget": Usage.TASK,
    "AWS::CloudFront::Distribution": Usage.STREAM,
    "AWS::CloudFront::Function": Usage.TRIFLE,  # 2 million calls are free
    "AWS::EC2::FlowLog": Usage.GIGABYTE,
    "AWS::EC2::LaunchTemplate": Usage.GPU,
    "AWS::ECR::Repository": Usage.GIGABYTE,
    "AWS::ElasticLoadBalancingV2::ListenerRule": Usage.STREAM,
    "AWS::Events::Archive": Usage.GIGABYTE,
    "AWS::Logs::Delivery": Usage.GIGABYTE,
    "AWS::Logs::DeliveryDestination": Usage.GIGABYTE,
    "AWS::Logs::DeliverySource": Usage.GIGABYTE,
    "AWS::Logs::LogGroup": Usage.GIGABYTE,
    "AWS::Route53::RecordSet": Usage.TRIFLE,  # questions for aliases of CloudFront are free
    "AWS::S3::Bucket": Usage.RECORDING,
    "AWS::SNS::Subscription": Usage.TRIFLE,  # 1000 e-mails are free
    "AWS::SNS::Topic": Usage.TRIFLE,  # a million messages are free
    "AWS::SQS::Queue": Usage.STREAM,
    "AWS::Scheduler::Schedule": Usage.TRIFLE,  # 14 million calls are free
    "AWS::ServiceDiscovery::Service": Usage.TRIFLE,  # $0.10 a month for each machine, pro rata
}

_PART_OF_ITS_SERVICE: Final = "configuration of something that is charged elsewhere"
_ACCESS: Final = "access control is free"
_PLUMBING: Final = "a VPC's own parts are free; traffic and addresses are not"
_AT_DEPLOYMENT: Final = "only runs while a stack is deployed"

FREE: Final[Mapping[str, str]] = {
    "AWS::ApiGatewayV2::Integration": _PART_OF_ITS_SERVICE,
    "AWS::ApiGatewayV2::Route": _PART_OF_ITS_SERVICE,
    "AWS::ApiGatewayV2::Stage": _PART_OF_ITS_SERVICE,
    "AWS::ApplicationAutoScaling::ScheduledAction": _PART_OF_ITS_SERVICE,
    "AWS::AutoScaling::LifecycleHook": _PART_OF_ITS_SERVICE,
    "AWS::AutoScaling::ScheduledAction": "the machines that it starts are charged, see the notes",
    "AWS::Budgets::Budget": "budgets without actions are free",
    "AWS::CDK::Metadata": "says which constructs were used",
    "AWS::CertificateManager::Certificate": "public certificates are free",
    "AWS::CloudFormation::CustomResource": _AT_DEPLOYMENT,
    "AWS::CloudFormation::WaitConditionHandle": _AT_DEPLOYMENT,
    "AWS::CloudFront::CachePolicy": _PART_OF_ITS_SERVICE,
    "AWS::CloudFront::OriginAccessControl": _ACCESS,
    "AWS::CloudFront::OriginRequestPolicy": _PART_OF_ITS_SERVICE,
    "AWS::CloudFront::ResponseHeadersPolicy": _PART_OF_ITS_SERVICE,
    "AWS::CloudFront::VpcOrigin": "no charge of its own",
    "AWS::CodeDeploy::Application": "free for Lambda and ECS",
    "AWS::CodeDeploy::DeploymentConfig": "free for Lambda and ECS",
    "AWS::CodeDeploy::DeploymentGroup": "free for Lambda and ECS",
    "AWS::Cognito::ManagedLoginBranding": _PART_OF_ITS_SERVICE,
    "AWS::Cognito::UserPoolClient": "people are charged, however many clients they use",
    "AWS::Cognito::UserPoolDomain": _PART_OF_ITS_SERVICE,
    "AWS::Cognito::UserPoolGroup": _ACCESS,
    "AWS::Cognito::UserPoolUser": "charged in a month in which the person signs in",
    "AWS::Cognito::UserPoolUserToGroupAttachment": _ACCESS,
    "AWS::EC2::EIPAssociation": _PLUMBING,
    "AWS::EC2::InternetGateway": _PLUMBING,
    "AWS::EC2::NetworkAcl": _PLUMBING,
    "AWS::EC2::NetworkAclEntry": _PLUMBING,
    "AWS::EC2::Route": _PLUMBING,
    "AWS::EC2::RouteTable": _PLUMBING,
    "AWS::EC2::SecurityGroup": _PLUMBING,
    "AWS::EC2::SecurityGroupEgress": _PLUMBING,
    "AWS::EC2::SecurityGroupIngress": _PLUMBING,
    "AWS::EC2::Subnet": _PLUMBING,
    "AWS::EC2::SubnetNetworkAclAssociation": _PLUMBING,
    "AWS::EC2::SubnetRouteTableAssociation": _PLUMBING,
    "AWS::EC2::VPC": _PLUMBING,
    "AWS::EC2::VPCGatewayAttachment": _PLUMBING,
    "AWS::ECS::ClusterCapacityProviderAssociations": _PART_OF_ITS_SERVICE,
    "AWS::ECS::TaskDefinition": "the tasks of it are charged",
    "AWS::ElasticLoadBalancingV2::Listener": _PART_OF_ITS_SERVICE,
    "AWS::ElasticLoadBalancingV2::TargetGroup": _PART_OF_ITS_SERVICE,
    "AWS::Events::EventBus": "events of AWS's own services are free",
    "AWS::Events::EventBusPolicy": _ACCESS,
    "AWS::Events::Rule": "events of AWS's own services are free",
    "AWS::IAM::InstanceProfile": _ACCESS,
    "AWS::IAM::ManagedPolicy": _ACCESS,
    "AWS::IAM::OIDCProvider": _ACCESS,
    "AWS::IAM::Policy": _ACCESS,
    "AWS::IAM::Role": _ACCESS,
    "AWS::IAM::RolePolicy": _ACCESS,
    "AWS::IAM::ServiceLinkedRole": _ACCESS,
    "AWS::KMS::Alias": _PART_OF_ITS_SERVICE,
    "AWS::Lambda::EventInvokeConfig": _PART_OF_ITS_SERVICE,
    "AWS::Lambda::LayerVersion": "75 GB of code are free",
    "AWS::Lambda::Permission": _ACCESS,
    "AWS::Logs::LogStream": _PART_OF_ITS_SERVICE,
    "AWS::Logs::QueryDefinition": "a saved question; asking costs by the GB that is read",
    "AWS::Logs::ResourcePolicy": _ACCESS,
    "AWS::S3::BucketPolicy": _ACCESS,
    "AWS::SNS::TopicPolicy": _ACCESS,
    "AWS::SQS::QueueInlinePolicy": _ACCESS,
    "AWS::SQS::QueuePolicy": _ACCESS,
    "AWS::Scheduler::ScheduleGroup": _PART_OF_ITS_SERVICE,
    "AWS::SecretsManager::ResourcePolicy": _ACCESS,
    "AWS::ServiceDiscovery::Instance": "$0.10 a month for each that is registered, pro rata",
    "AWS::WAFv2::WebACLAssociation": _PART_OF_ITS_SERVICE,
}

#: Custom resources are code that runs while a stack is deployed.
CUSTOM_RESOURCE: Final = "Custom::"
