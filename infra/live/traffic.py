"""The target group of the caption service, its security group, and the alarms on its tasks."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra.config.service import ServiceConfig
from infra.live import language_services
from infra.live.entrances import Entrance
from infra.live.task import PORT
from infra.network.interface import EnvironmentNetwork

#: The health check's path, which no entrance passes on (`ecs_service.api.health`).
HEALTH_PATH = "/health"
#: Seconds that a leaving task waits for its streams at most.
LONGEST_DEREGISTRATION = 300
#: Seconds that a stream of limited length takes besides its audio.
DEREGISTRATION_MARGIN = 15


class Traffic(Construct):
    """The way of requests from the entrance to the tasks, and the alarms on failures.

    Attributes:
        target_group: the tasks, as the load balancer sees them.
        security_group: the tasks'. It admits the load balancer, and permits HTTPS to AWS and
            Transcribe's port for WebSockets if that is the engine. (The network itself resolves
            names, which needs no rule.)
        alarms: on tasks and their answers.
        errors: the one of `alarms` that rolls a deployment back.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ServiceConfig,
        network: EnvironmentNetwork,
        entrance: Entrance,
    ) -> None:
        """Make the target group behind `entrance`."""
        super().__init__(scope, construct_id)
        self._entrance = entrance
        self.security_group = ec2.SecurityGroup(
            self,
            "Tasks",
            vpc=network.vpc,
            description="Caption service: from the load balancer, to AWS",
            allow_all_outbound=False,
        )
        self.security_group.add_ingress_rule(
            entrance.security_group, ec2.Port.tcp(PORT), "Load balancer"
        )
        language_services.allow_egress(self.security_group, service)
        self.target_group = elbv2.ApplicationTargetGroup(
            self,
            "TargetGroup",
            vpc=network.vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=PORT,
            deregistration_delay=Duration.seconds(deregistration_seconds(service)),
            load_balancing_algorithm_type=(
                elbv2.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS
            ),
            health_check=elbv2.HealthCheck(
                path=HEALTH_PATH,
                # Versions older than this path answer 404 and are healthy, too. Such tasks still
                # have streams during the first deployment of a version that has it.
                healthy_http_codes="200,404",
                interval=Duration.seconds(15),
                timeout=Duration.seconds(10),
                healthy_threshold_count=2,
                unhealthy_threshold_count=4,
            ),
        )
        entrance.serve(self.target_group)
        unhealthy = self._alarm(
            "Unhealthy",
            "UnHealthyHostCount",
            "A task of the caption service does not answer.",
            statistic="Maximum",
            threshold=1,
            minutes=3,
        )
        self.errors = self._alarm(
            "Errors",
            "HTTPCode_Target_5XX_Count",
            "The caption service answers requests with 500, which only a defect makes it do.",
            statistic="Sum",
            threshold=5,
            minutes=2,
        )
        self.alarms = (unhealthy, self.errors)

    def _alarm(
        self,
        construct_id: str,
        metric: str,
        description: str,
        *,
        statistic: str,
        threshold: int,
        minutes: int,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            construct_id,
            alarm_description=description,
            metric=cloudwatch.Metric(
                namespace="AWS/ApplicationELB",
                metric_name=metric,
                dimensions_map={
                    "LoadBalancer": self._entrance.load_balancer_full_name,
                    "TargetGroup": self.target_group.target_group_full_name,
                },
                statistic=statistic,
                period=Duration.minutes(1),
            ),
            threshold=threshold,
            evaluation_periods=minutes,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )


def deregistration_seconds(service: ServiceConfig) -> int:
    """Return how long a leaving task keeps its sockets before SIGTERM, seconds."""
    longest = service.max_stream_seconds
    wanted = LONGEST_DEREGISTRATION if longest is None else round(longest) + DEREGISTRATION_MARGIN
    return max(service.stop_seconds, min(wanted, LONGEST_DEREGISTRATION))
