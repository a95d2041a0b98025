"""Live captions: the WebSocket service on Fargate behind its entrance.

Five decisions follow from sockets that stay open for hours:

- **Full is not ill.** ECS replaces what the load balancer calls unhealthy, and with it every
  stream, so the health check asks only whether the process answers in time. Its path lies outside
  `/api/`, so no caller reaches it. A draining task gets no new connections anyway, for ECS takes
  it out of the target group first. New sockets go to the task with the fewest, which is what
  keeps them away from full ones.
- **No caller can take a deployment back.** The alarm on answers of 5xx rolls back, so the service
  gives none on purpose: who is refused gets 4xx, or a close code over the WebSocket. What is left
  is the 500 of a defect. The alarm on tasks that do not answer only sends a mail: a flood can
  keep any task from answering, and of the tasks of a deployment itself ECS's circuit breaker
  counts those that fail their health checks. docs/alarms.md has every alarm.
- **Leaving takes time.** ECS takes a task out of the target group, waits for the deregistration
  delay, in which open streams go on and new ones go elsewhere, and then sends SIGTERM; when Spot
  takes a machine back, SIGTERM comes at once. The delay is therefore never shorter than the
  drain, and long enough for a stream of limited length to end by itself.
- **Deployments roll.** ECS offers blue/green, linear and canary deployments as well, which shift
  shares of new *requests* to new tasks and wait in between. A request here is a socket that stays,
  of which `prod` gets a few in ten minutes and holds 24 with an account's usual quota: a share of
  them says nothing, and a defect that answers 500 trips the same alarm in a rolling deployment.
  No socket would live longer: those of the old tasks stay where they are during the shift, and end
  with the deregistration delay as they do now. Meanwhile both versions would run in full, for the
  shift and the bake time instead of some minutes: twice the money, and twice the slots of
  Transcribe's quota. It also takes a second target group, a role with which ECS changes listeners,
  and rules that CloudFormation no longer knows, among them one on a load balancer that is somebody
  else's. What it would give is a quicker return, for the old tasks still run, and a check of new
  tasks before they get sockets. It will be worth that with hundreds of new sockets a minute.
- **Shrinking is slow, and protects nobody.** ECS could be asked to spare tasks in use (task
  scale-in protection). That takes a right which the task otherwise does not need, and holds up
  deployments while anybody talks. Instead, capacity is reduced a quarter of an hour after it was
  last needed, and streams that are then cut go through the same drain as in a deployment.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra.common import nag
from infra.config.environment import Service
from infra.conversations.store import ConversationStore
from infra.live import language_services
from infra.live.entrances import Entrance
from infra.live.task import PORT, START, CaptionTask
from infra.network.own import Network

#: What the service answers while it lives, and no entrance passes on (`ecs_service.api.health`).
HEALTH_PATH = "/health"
#: The longest that a stream is waited for when its task leaves the target group, seconds.
LONGEST_DEREGISTRATION = 300
#: What a stream of limited length takes besides its audio, seconds.
DEREGISTRATION_MARGIN = 15
#: The share of a task's slots that is taken, percent: `ecs_service/embedded_metrics.py`.
SLOTS_METRIC = "SlotsInUse"
#: Tasks beyond the base: one of five on demand, four on Spot.
ON_DEMAND_WEIGHT, SPOT_WEIGHT = 1, 4
#: Tasks are added when more than so much is used on average, percent. Streams come faster than
#: tasks start, so there has to be room.
TARGET_SLOTS, TARGET_CPU = 60, 70
GROW_AGAIN_AFTER = Duration.minutes(1)
SHRINK_AGAIN_AFTER = Duration.minutes(15)


class Traffic(Construct):
    """How requests get from the entrance to the tasks, and who notices when they fail.

    Attributes:
        target_group: the tasks, as the load balancer sees them.
        security_group: the tasks'. It lets the load balancer in, and out HTTPS to AWS, and where
            Transcribe recognises its port for WebSockets. (Names are resolved by the network
            itself, which needs no rule.)
        alarms: on tasks and on what they answer.
        errors: the one of `alarms` that rolls a deployment back.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: Service,
        network: Network,
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
        language_services.let_out(self.security_group, service)
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
                # A version from before this path answers 404, and lives as well: while the first
                # deployment with it goes on, such tasks have streams.
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


class CaptionService(Construct):
    """The service: as many tasks as there are streams for.

    A deployment starts new tasks before it stops old ones. When they do not come up, or the alarm
    on errors goes off meanwhile, ECS returns to the old ones by itself.

    Attributes:
        service: the ECS service.
        cluster: its cluster, for itself alone.
        target_group: the tasks, as the load balancer sees them.
        entrance: the way in, for CloudFront's origin and the load balancer's metrics.
        log_group: what the tasks write.
        alarms: on tasks and on what they answer.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: Service,
        network: Network,
        entrance: Entrance,
        store: ConversationStore,
        namespace: str,
    ) -> None:
        """Make the service in `network` behind `entrance`; its metrics get into `namespace`."""
        super().__init__(scope, construct_id)
        self.entrance = entrance
        self.cluster = ecs.Cluster(self, "Cluster", vpc=network.vpc)
        # Not by the cluster's own switch: the service has to come after this, and go before it.
        providers = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "CapacityProviders",
            cluster=self.cluster.cluster_name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategy=[],
        )
        nag.accept(
            self.cluster,
            {
                "AwsSolutions-ECS4": "The service publishes metrics of its health (streams, "
                "slots, outbox, delays); Container Insights would cost more than a small task."
            },
        )
        task = CaptionTask(self, "Task", service=service, store=store, namespace=namespace)
        traffic = Traffic(self, "Traffic", service=service, network=network, entrance=entrance)
        self.log_group, self.target_group = task.log_group, traffic.target_group
        self.alarms = traffic.alarms
        scales = service.maximum_tasks > service.minimum_tasks
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=task.definition,
            # What autoscaling has decided must not be undone by the next deployment.
            desired_count=None if scales else service.minimum_tasks,
            capacity_provider_strategies=_capacity(service),
            vpc_subnets=network.task_subnets,
            assign_public_ip=network.public_addresses,
            security_groups=[traffic.security_group],
            min_healthy_percent=100,
            max_healthy_percent=200,
            health_check_grace_period=START,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=[traffic.errors.alarm_name],
                behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM,
            ),
            # To move a task for the sake of balance would cut its streams.
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        # All of the task: without the rights of its execution role no image is pulled, and the
        # circuit breaker does not wait for them.
        self.service.node.add_dependency(providers, task)
        self.service.attach_to_application_target_group(traffic.target_group)
        if scales:
            self._scale(service, namespace)

    def _scale(self, service: Service, namespace: str) -> None:
        scaling = self.service.auto_scale_task_count(
            min_capacity=service.minimum_tasks, max_capacity=service.maximum_tasks
        )
        scaling.scale_to_track_custom_metric(
            "Streams",
            metric=cloudwatch.Metric(
                namespace=namespace,
                metric_name=SLOTS_METRIC,
                statistic="Average",
                period=Duration.minutes(1),
            ),
            target_value=TARGET_SLOTS,
            scale_out_cooldown=GROW_AGAIN_AFTER,
            scale_in_cooldown=SHRINK_AGAIN_AFTER,
        )
        scaling.scale_on_cpu_utilization(
            "Cpu",
            target_utilization_percent=TARGET_CPU,
            scale_out_cooldown=GROW_AGAIN_AFTER,
            scale_in_cooldown=SHRINK_AGAIN_AFTER,
        )


def deregistration_seconds(service: Service) -> int:
    """Return how long a leaving task keeps its sockets before it is asked to stop, seconds."""
    longest = service.max_stream_seconds
    wanted = LONGEST_DEREGISTRATION if longest is None else round(longest) + DEREGISTRATION_MARGIN
    return max(service.stop_seconds, min(wanted, LONGEST_DEREGISTRATION))


def _capacity(service: Service) -> list[ecs.CapacityProviderStrategy]:
    """Return who provides the machines: on demand, Spot, or a base of one and the other above."""
    base = service.on_demand_base
    if base is None:
        return [ecs.CapacityProviderStrategy(capacity_provider="FARGATE", weight=1)]
    if base == 0:
        return [ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT", weight=1)]
    return [
        ecs.CapacityProviderStrategy(
            capacity_provider="FARGATE", base=base, weight=ON_DEMAND_WEIGHT
        ),
        ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT", weight=SPOT_WEIGHT),
    ]
