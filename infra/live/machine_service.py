"""Live captions without a load balancer: one task on one machine.

    CloudFront --VPC origin--> the machine's port 8080 --> the task

- **A deployment interrupts the service.** Only one task can have the port, so the old task stops
  before the new one starts: it drains its streams, then ECS fetches the image and starts the new
  task. The interruption takes about a minute, by estimate. Clients reconnect and send audio again
  that was not acknowledged. If the new task does not start, ECS's circuit breaker returns to the
  old one, after a second interruption.
- **Restarts.** ECS's agent restarts a process that dies, in the same task. If a process hangs, the
  container's health check fails, and ECS replaces the task. If the system hangs, an alarm on EC2's
  status check restarts the machine. If the hardware fails, EC2 recovers the machine.
- **Finals outlive the task.** The outbox is on the machine's disk, so the next task sends what the
  last one could not. Only a replacement of the machine deletes it.
- **A different machine** (`NoLoadBalancer.machine`) has a VPC origin of its own, because CloudFront
  changes none that is in use. The page's stack is updated after this one, when the old machine no
  longer exists, so CloudFront has no origin for some minutes.
"""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.access.store import AccessStore
from infra.common.ecs_agent import with_machines
from infra.common.edge_secret import SECRET_FIELD
from infra.common.nag import accept
from infra.config.load_balancers import NoLoadBalancer
from infra.config.service import ServiceConfig
from infra.conversations.store import ConversationStore
from infra.live.machine import CaptionMachine
from infra.live.machine_entrance import MachineEntrance
from infra.live.task import CaptionTask
from infra.network.interface import EnvironmentNetwork

#: Minutes of failed status checks before the machine is restarted.
HANGS_FOR = 3


class MachineService(Construct):
    """The service on its machine. See the module.

    Attributes:
        service: the ECS service.
        cluster: its cluster, for itself alone.
        entrance: the way in, for CloudFront's origin.
        log_group: the task's log.
        machine: the machine that it runs on.
        alarms: the alarm that restarts the machine.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        chosen: NoLoadBalancer,
        service: ServiceConfig,
        network: EnvironmentNetwork,
        store: ConversationStore,
        namespace: str,
        access: AccessStore | None = None,
    ) -> None:
        """Make the machine in `network` and one task on it; its metrics get into `namespace`.

        With `access` sockets need a ticket; without it nobody proves who they are.
        """
        super().__init__(scope, construct_id)
        self.entrance = MachineEntrance(self, "Entrance", service=service, network=network)
        self.cluster = ecs.Cluster(self, "Cluster", vpc=network.vpc)
        accept(
            self.cluster,
            "AwsSolutions-ECS4",
            "The service publishes metrics of its health (streams, "
            "slots, outbox, delays); Container Insights would cost more than the machine.",
        )
        task = CaptionTask(
            self,
            "Task",
            service=service,
            store=store,
            namespace=namespace,
            access=access,
            edge_secret=ecs.Secret.from_secrets_manager(self.entrance.secret, SECRET_FIELD),
        )
        self.log_group = task.log_group
        self.machine = CaptionMachine(
            self,
            "Machine",
            chosen=chosen,
            network=network,
            cluster=self.cluster,
            security_group=self.entrance.security_group,
        )
        self.entrance.set_machine(self.machine)
        self.service = ecs.Ec2Service(
            self,
            "Service",
            cluster=with_machines(self.cluster, self, "ClusterWithMachine"),
            task_definition=task.definition,
            desired_count=1,
            # The old task has to release the port first.
            min_healthy_percent=0,
            max_healthy_percent=100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        self.service.node.add_dependency(self.machine, task)
        self.alarms = (self._make_restart_alarm(),)

    def _make_restart_alarm(self) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "MachineHangs",
            alarm_description="The machine of the caption service does not answer EC2's status "
            "check, and is being restarted. First: wait five minutes; if it happens again, deploy "
            "another machine (another number in load_balancer.machine).",
            metric=self.machine.metric("StatusCheckFailed_Instance", cloudwatch.Stats.MAXIMUM),
            threshold=1,
            evaluation_periods=HANGS_FOR,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.Ec2Action(actions.Ec2InstanceAction.REBOOT))
        return alarm
