"""A Lambda function as all of ours are: arm64, versioned behind an alias, logged, watched.

A new version takes over as the environment says: at once, or a tenth of the calls first,
with a return to the old one when it makes errors.
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

from infra.artifacts import Artifacts
from infra.environments import Canary, Functions
from infra.log_retention import RETENTION
from infra.security import accept

#: The newest of Lambda's that developers' machines also have: what is tested is what runs, and it
#: compiles the layer. `scripts.bundle` installs the layer's packages for the same version.
RUNTIME = lambda_.Runtime.PYTHON_3_13
NOT_LATEST = (
    "Python 3.13 runs on the machines that test the functions and compile their layer; 3.14 is "
    "rarely there yet."
)

#: An alarm on errors looks at the last so many minutes: functions' own counts come by way of their
#: log and may be minutes late, when the newest minute already counts as one without errors.
ERROR_MINUTES = 3

#: How cdk-nag names the policy that the CDK gives to every deployment group.
CODEDEPLOY_POLICY = (
    "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/"
    "service-role/AWSCodeDeployRoleForLambdaLimited]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """What all functions of an environment have in common."""

    functions: Functions
    artifacts: Artifacts
    #: Namespace of custom metrics in CloudWatch.
    namespace: str
    #: The locked dependencies; None where the runtime has them.
    layer: lambda_.ILayerVersion | None


def dependencies(
    scope: Construct, functions: Functions, artifacts: Artifacts
) -> lambda_.ILayerVersion | None:
    """Return the layer with the locked dependencies, if the environment wants one."""
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
class Place:
    """Where in a network a function runs."""

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
        place: Place | None = None,
        failures: Sequence[str] = (),
    ) -> None:
        """Make the function of the folder `lambdas/NAME`.

        `failures` are metrics of its own that count what failed although the invocation did
        not, such as single messages of a batch. They, too, roll a canary back.

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
            handler=f"lambdas.{name}.handler.handler",
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=memory_mib,
            timeout=timeout,
            layers=[settings.layer] if settings.layer else None,
            environment={"POWERTOOLS_METRICS_NAMESPACE": settings.namespace, **environment},
            role=_role(self, log_group, in_network=place is not None),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            vpc=place.vpc if place else None,
            vpc_subnets=place.subnets if place else None,
            security_groups=list(place.security_groups) if place else None,
        )
        accept(
            self.function,
            {
                **dict.fromkeys(("AwsSolutions-L1", "Serverless-LambdaLatestVersion"), NOT_LATEST),
                "Serverless-LambdaTracing": (
                    "X-Ray's traces would begin anew behind each queue, and need a right on every "
                    "resource; traces that cross queues are OpenTelemetry's matter."
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
                # A metric costs as much as an alarm; without a canary others watch over these.
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
    """Return the sum of an alias's errors and of a function's own counts."""
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
        # A count that nobody sent is none.
        expression=" + ".join(f"FILL({name}, 0)" for name in ("errors", *counts)),
        using_metrics={"errors": errors, **counts},
        period=Duration.minutes(1),
        label="failures",
    )


def _role(scope: Construct, log_group: logs.LogGroup, *, in_network: bool) -> iam.Role:
    """Return a role that may write to this log and nothing else.

    AWS's ready-made policy for functions would let it write to every log of the account.
    """
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    log_group.grant_write(role)
    if in_network:
        interfaces = iam.Policy(
            role,  # so that the function, which depends on its role, waits for this as well
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
            {
                "AwsSolutions-IAM5[Resource::*]": (
                    "Lambda asks for these rights on every resource before it puts a function "
                    "into a network; the interfaces do not exist before, and the describing "
                    "actions know no resources."
                )
            },
        )
    return role


def _deploy_gradually(function: PythonFunction, canary: Canary) -> None:
    group = codedeploy.LambdaDeploymentGroup(
        function,
        "Canary",
        alias=function.alias,
        deployment_config=_canary(canary),
        alarms=[function.errors],
    )
    accept(
        group,
        {
            CODEDEPLOY_POLICY: (
                "The CDK gives it to every deployment group. It is the narrower one of AWS's two "
                "for CodeDeploy with Lambda, and only CodeDeploy can take the role."
            )
        },
    )


def _canary(canary: Canary) -> codedeploy.ILambdaDeploymentConfig:
    return {
        5: codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
        10: codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_10_MINUTES,
        15: codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_15_MINUTES,
        30: codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_30_MINUTES,
    }[canary.minutes]
