"""Lambda functions: arm64, versioned behind an alias, with a log and an alarm on errors.

The environment chooses how a new version takes over: at once, or first for a tenth of the calls.
In the second case errors return all calls to the old version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.aws.log_retention import RETENTION
from infra.common.artifacts import Artifacts
from infra.common.nag import accept, accept_all
from infra.config.functions import Canary, FunctionsConfig
from transcripts.functions import handler_path

#: The newest runtime of Lambda that developers' machines also have: the functions are tested on it,
#: and it compiles the layer. `scripts.bundle` installs the layer's packages for the same version.
RUNTIME = lambda_.Runtime.PYTHON_3_13
NOT_LATEST = (
    "Python 3.13 runs on the machines that test the functions and compile their layer; 3.14 is "
    "rarely there yet."
)

#: Minutes that the alarm on errors evaluates. Functions' own counts come by way of their log and
#: may be minutes late, while CloudWatch already counts the newest minute as one without errors.
ERROR_MINUTES = 3

#: cdk-nag's name for the policy that the CDK attaches to every deployment group.
CODEDEPLOY_POLICY = (
    "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/"
    "service-role/AWSCodeDeployRoleForLambdaLimited]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """Settings that all functions of an environment share."""

    functions: FunctionsConfig
    artifacts: Artifacts
    #: Namespace of custom metrics in CloudWatch.
    namespace: str
    #: The locked dependencies; None where the runtime has them.
    layer: lambda_.ILayerVersion | None


def make_layer(
    scope: Construct, functions: FunctionsConfig, artifacts: Artifacts
) -> lambda_.ILayerVersion | None:
    """Return the layer with the locked dependencies, or None if the environment has none."""
    if not functions.with_dependencies:
        return None
    return lambda_.LayerVersion(
        scope,
        "Dependencies",
        code=lambda_.Code.from_asset(artifacts.layer()),
        compatible_architectures=[lambda_.Architecture.ARM_64],
        compatible_runtimes=[RUNTIME],
        description="lambdas/requirements.txt",
        removal_policy=RemovalPolicy.RETAIN,  # an older version of a function still needs it
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcPlacement:
    """Where in a VPC a function runs."""

    vpc: ec2.IVpc
    subnets: ec2.SubnetSelection
    security_groups: Sequence[ec2.ISecurityGroup]


class PythonFunction(Construct):
    """One function from `lambdas/`.

    Attributes:
        function: the function itself; grant to it.
        alias: `live`, which events invoke.
        errors: alarm on errors of the alias; it also rolls a canary back.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: FunctionSettings,
        name: str,
        environment: Mapping[str, str],
        timeout: Duration,
        memory_mib: int = 256,
        placement: VpcPlacement | None = None,
        failures: Sequence[str] = (),
        concurrency: int | None = None,
    ) -> None:
        """Make the function of the folder `lambdas/NAME`.

        `failures` names the function's own metrics of failures within successful invocations, such
        as single messages of a batch. They, too, roll a canary back. `concurrency` is the
        most invocations at once, taken from the account's; None reserves none.

        Raises:
            MissingArtifact: its code or the layer was not built.
        """
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            retention=RETENTION[settings.functions.log_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.function = lambda_.Function(
            self,
            "Function",
            code=lambda_.Code.from_asset(settings.artifacts.function(name)),
            handler=handler_path(name),
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mib,
            timeout=timeout,
            reserved_concurrent_executions=concurrency,
            layers=[settings.layer] if settings.layer else None,
            environment={"POWERTOOLS_METRICS_NAMESPACE": settings.namespace, **environment},
            role=_role(self, log_group, in_vpc=placement is not None),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            vpc=placement.vpc if placement else None,
            vpc_subnets=placement.subnets if placement else None,
            security_groups=list(placement.security_groups) if placement else None,
        )
        accept_all(
            self.function,
            {
                **dict.fromkeys(("AwsSolutions-L1", "Serverless-LambdaLatestVersion"), NOT_LATEST),
                "Serverless-LambdaTracing": (
                    "X-Ray starts a new trace behind each queue, and needs a right on every "
                    "resource; OpenTelemetry can trace across queues."
                ),
            },
        )
        self.alias = lambda_.Alias(
            self, "Live", alias_name="live", version=self.function.current_version
        )
        self.errors = cloudwatch.Alarm(
            self,
            "Errors",
            alarm_description=f"The function {name} fails.",
            metric=_failures(
                self.alias.metric_errors(period=Duration.minutes(1), statistic="Sum"),
                # A metric costs as much as an alarm; without a canary other alarms cover these.
                failures if settings.functions.canary else (),
                {"namespace": settings.namespace, "service": name},
            ),
            threshold=1,
            evaluation_periods=ERROR_MINUTES,
            datapoints_to_alarm=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if settings.functions.canary:
            _deploy_gradually(self, settings.functions.canary)


def _failures(
    errors: cloudwatch.Metric, names: Sequence[str], of: Mapping[str, str]
) -> cloudwatch.IMetric:
    """Return the sum of an alias's errors and a function's own counts of failures."""
    if not names:
        return errors
    counts = {
        f"m{number}": cloudwatch.Metric(
            namespace=of["namespace"],
            metric_name=name,
            dimensions_map={"service": of["service"]},
            period=Duration.minutes(1),
            statistic="Sum",
        )
        for number, name in enumerate(names)
    }
    return cloudwatch.MathExpression(
        # A missing count is 0.
        expression=" + ".join(f"FILL({name}, 0)" for name in ("errors", *counts)),
        using_metrics={"errors": errors, **counts},
        period=Duration.minutes(1),
        label="failures",
    )


def _role(scope: Construct, log_group: logs.LogGroup, *, in_vpc: bool) -> iam.Role:
    """Return a role that may write to this log only.

    AWS's managed policy for functions allows writing to every log of the account.
    """
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log_group.grant_write(role)
    if in_vpc:
        interfaces = iam.Policy(
            role,  # so that the function, which depends on its role, also waits for this
            "NetworkInterfaces",
            roles=[role],
            statements=[
                iam.PolicyStatement(
                    actions=[
                        "ec2:AssignPrivateIpAddresses",
                        "ec2:CreateNetworkInterface",
                        "ec2:DeleteNetworkInterface",
                        "ec2:DescribeNetworkInterfaces",
                        "ec2:DescribeSubnets",
                        "ec2:UnassignPrivateIpAddresses",
                    ],
                    resources=["*"],
                )
            ],
        )
        accept(
            interfaces,
            "AwsSolutions-IAM5[Resource::*]",
            "Lambda asks for these rights on every resource before it puts a function "
            "into a network; the interfaces do not exist before, and the describing "
            "actions know no resources.",
        )
    return role


def _deploy_gradually(function: PythonFunction, canary: Canary) -> None:
    group = codedeploy.LambdaDeploymentGroup(
        function,
        "Canary",
        alias=function.alias,
        deployment_config=getattr(
            codedeploy.LambdaDeploymentConfig, f"CANARY_10_PERCENT_{canary.minutes}_MINUTES"
        ),
        alarms=[function.errors],
    )
    accept(
        group,
        CODEDEPLOY_POLICY,
        "The CDK gives it to every deployment group. It is the narrower one of AWS's two "
        "for CodeDeploy with Lambda, and only CodeDeploy can take the role.",
    )
