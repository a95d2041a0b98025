"""Live captions: the WebSocket service on Fargate behind its entrance.

Five decisions follow from sockets that stay open for hours:

- **A full task is healthy.** ECS replaces a task that the load balancer finds unhealthy, and so
  ends all its streams. The health check therefore only asks whether the process answers in time.
  Its path is outside `/api/`, so no caller reaches it. A draining task gets no new connections,
  because ECS removes it from the target group first. The load balancer sends new sockets to the
  task with the fewest, away from full ones.
- **No caller can roll a deployment back.** The alarm on answers of 5xx rolls back, so the service
  never answers 5xx on purpose: a refused caller gets 4xx, or a close code over the WebSocket. What
  remains is the 500 of a defect. The alarm on tasks that do not answer only sends a mail, because
  a flood of requests can keep any task from answering. If tasks of a deployment fail their health
  checks, ECS's circuit breaker counts them. docs/alarms.md lists every alarm.
- **Tasks leave slowly.** ECS removes a task from the target group, waits for the deregistration
  delay, and then sends SIGTERM. During the delay open streams continue and new ones go elsewhere.
  If Spot takes a machine back, SIGTERM comes at once. The delay is never shorter than the drain,
  and long enough for a stream of limited length to end by itself.
- **Deployments roll.** ECS also offers blue/green, linear and canary deployments. They shift shares
  of new *requests* to new tasks and wait in between. Here a request is a socket that stays open:
  `prod` gets a few in ten minutes and holds 24 with an account's usual quota. A share of so few
  says nothing, and a defect that answers 500 trips the same alarm in a rolling deployment. No
  socket would live longer: sockets of the old tasks stay during the shift, and end with the
  deregistration delay as they do now. Both versions would run in full for the shift and the bake
  time in place of some minutes, which doubles the cost and the slots of Transcribe's quota. It
  would also need a second target group, a role by which ECS changes listeners, and rules that
  CloudFormation no longer controls, one of them on somebody else's load balancer. The benefit would
  be a faster rollback, because the old tasks still run, and a check of new tasks before they get
  sockets. That is worth it from hundreds of new sockets a minute.
- **Scaling in is slow and protects no task.** ECS could be asked to spare busy tasks (task scale-in
  protection). That needs a right which the task otherwise does not have, and delays deployments
  while anybody speaks. Instead, capacity is reduced a quarter of an hour after it was last needed,
  and streams that are then cut are drained as in a deployment.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.access.store import AccessStore
from infra.common.nag import accept
from infra.config.service import ServiceConfig
from infra.conversations.store import ConversationStore
from infra.live.entrances import Entrance
from infra.live.task import START, CaptionTask
from infra.live.traffic import Traffic
from infra.network.interface import EnvironmentNetwork

#: The metric of the percentage of a task's slots in use: `ecs_service/embedded_metrics.py`.
SLOTS_METRIC = "SlotsInUse"
#: Tasks beyond the base: one of five on demand, four on Spot.
ON_DEMAND_WEIGHT, SPOT_WEIGHT = 1, 4
#: Average use in percent above which tasks are added. Streams arrive faster than tasks start, so
#: there has to be room.
TARGET_SLOTS, TARGET_CPU = 60, 70
GROW_AGAIN_AFTER = Duration.minutes(1)
SHRINK_AGAIN_AFTER = Duration.minutes(15)


class CaptionService(Construct):
    """The service: as many tasks as there are streams for.

    A deployment starts new tasks before it stops old ones. If they do not start, or the alarm on
    errors goes off meanwhile, ECS returns to the old tasks by itself.

    Attributes:
        service: the ECS service.
        cluster: its cluster, for itself alone.
        target_group: the tasks, as the load balancer sees them.
        entrance: the way in, for CloudFront's origin and the load balancer's metrics.
        log_group: the tasks' log.
        alarms: on tasks and their answers.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ServiceConfig,
        network: EnvironmentNetwork,
        entrance: Entrance,
        store: ConversationStore,
        namespace: str,
        access: AccessStore | None = None,
    ) -> None:
        """Make the service in `network` behind `entrance`; its metrics get into `namespace`.

        With `access` sockets need a ticket; without it nobody proves who they are.
        """
        super().__init__(scope, construct_id)
        self.entrance = entrance
        self.cluster = ecs.Cluster(self, "Cluster", vpc=network.vpc)
        # A resource of its own, so that the service is made after it and deleted before it.
        providers = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "CapacityProviders",
            cluster=self.cluster.cluster_name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            default_capacity_provider_strategy=[],
        )
        accept(
            self.cluster,
            "AwsSolutions-ECS4",
            "The service publishes metrics of its health (streams, "
            "slots, outbox, delays); Container Insights would cost more than a small task.",
        )
        task = CaptionTask(
            self, "Task", service=service, store=store, namespace=namespace, access=access
        )
        traffic = Traffic(self, "Traffic", service=service, network=network, entrance=entrance)
        self.log_group, self.target_group = task.log_group, traffic.target_group
        self.alarms = traffic.alarms
        scales = service.maximum_tasks > service.minimum_tasks
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=task.definition,
            # A deployment must not undo what autoscaling has decided.
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
            # Moving a task for balance would cut its streams.
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        # Depend on all of the task: without the rights of its execution role no image is pulled,
        # and the circuit breaker does not wait for them.
        self.service.node.add_dependency(providers, task)
        self.service.attach_to_application_target_group(traffic.target_group)
        if scales:
            self._scale(service, namespace)

    def _scale(self, service: ServiceConfig, namespace: str) -> None:
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


def _capacity(service: ServiceConfig) -> list[ecs.CapacityProviderStrategy]:
    """Return the capacity: on demand, Spot, or a base on demand and Spot above it."""
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
