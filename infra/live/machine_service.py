"""Live captions without a load balancer: one task on one machine.

    CloudFront --VPC origin--> the machine's port 8080 --> the task

- **A deployment has a gap.** The port is there once, so the old task stops before the new one
  starts: it ends its streams as in every drain, then ECS fetches the image and starts the new one.
  Nobody is served for about a minute, by estimate. Clients reconnect and send again what was not
  acknowledged. A task that does not come up is taken back by
  ECS's circuit breaker, with a second gap.
- **Who restarts what.** A process that dies: ECS's agent, in the same task. One that hangs: the
  container's health check, after which ECS replaces the task. A system that hangs: an alarm on
  EC2's status check, which restarts the machine. Hardware: EC2's own recovery.
- **Finals outlive the task.** The outbox is on the machine's disk: whatever a task could not send,
  the next one sends. It goes only with the machine.
- **Another machine** (`NoLoadBalancer.machine`) comes with a VPC origin of its own, because
  CloudFront changes none that is in use. The page's stack changes over after this one has been
  updated, and by then the old machine is gone: a gap of some minutes, of CloudFront's.
"""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.aws.prefix_lists import cloudfront_origin_facing
from infra.common import nag
from infra.config.environment import NoLoadBalancer, Service
from infra.conversations.store import ConversationStore
from infra.live import language_services
from infra.live.entrances import SECRET_FIELD, SECRET_HEADER, edge_secret, secret_value
from infra.live.machine import Machine
from infra.live.task import PORT, CaptionTask
from infra.network.own import Network
from infra.operations import metrics

#: A status check of the system fails for so long before the machine is restarted, minutes.
HANGS_FOR = 3


class MachineEntrance(Construct):
    """The way from CloudFront to the machine.

    The security group lets in CloudFront's origin-facing addresses, on one port. The machine has a
    public address, by which it reaches AWS, so whoever finds that could send requests through a
    distribution of their own. The service therefore asks for a secret which only our distribution
    sends, like the rule of `infra.live.entrances.SharedEntrance`; to change it, see there.

    Inside AWS's network the way is HTTP, as there is no certificate for a machine's own name.

    Attributes:
        security_group: the machine's.
        secret: what CloudFront sends, and the service asks for.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, service: Service, network: Network
    ) -> None:
        """Make security group and secret.

        Raises:
            UnknownRegion: CloudFront's addresses are not known for the region.
        """
        super().__init__(scope, construct_id)
        self.secret = edge_secret(self)
        self.security_group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=network.vpc,
            description="Machine: from CloudFront, to AWS",
            allow_all_outbound=False,
        )
        self.security_group.add_ingress_rule(
            ec2.Peer.prefix_list(cloudfront_origin_facing(Stack.of(self).region)),
            ec2.Port.tcp(PORT),
            "CloudFront",
        )
        language_services.let_out(self.security_group, service)
        self._machine: Machine | None = None

    def lead_to(self, machine: Machine) -> None:
        """Have the origin be `machine`."""
        self._machine = machine

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return a VPC origin of this machine alone: its successor gets another one."""
        machine = self._machine
        assert machine is not None  # noqa: S101 - the service makes it with the entrance
        name = f"VpcOrigin{machine.number}"
        made = cloudfront.CfnVpcOrigin(
            scope,
            name,
            vpc_origin_endpoint_config=cloudfront.CfnVpcOrigin.VpcOriginEndpointConfigProperty(
                arn=machine.arn,
                name=f"{Stack.of(scope).stack_name}-{machine.number}",
                http_port=PORT,
                origin_protocol_policy="http-only",
            ),
        )
        return origins.VpcOrigin.with_vpc_origin(
            cloudfront.VpcOrigin.from_vpc_origin_attributes(
                scope,
                f"{name}Reference",
                vpc_origin_id=made.attr_id,
                domain_name=machine.resource.attr_private_dns_name,
            ),
            custom_headers={SECRET_HEADER: secret_value(self.secret)},
        )


class MachineService(Construct):
    """The service on its machine. See the module.

    Attributes:
        service: the ECS service.
        cluster: its cluster, for itself alone.
        entrance: the way in, for CloudFront's origin.
        log_group: what the task writes.
        machine: what it runs on.
        alarms: what restarts the machine.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        chosen: NoLoadBalancer,
        service: Service,
        network: Network,
        store: ConversationStore,
        namespace: str,
    ) -> None:
        """Make the machine in `network` and one task on it; its metrics get into `namespace`."""
        super().__init__(scope, construct_id)
        self.entrance = MachineEntrance(self, "Entrance", service=service, network=network)
        self.cluster = ecs.Cluster(self, "Cluster", vpc=network.vpc)
        nag.accept(
            self.cluster,
            {
                "AwsSolutions-ECS4": "The service publishes metrics of its health (streams, "
                "slots, outbox, delays); Container Insights would cost more than the machine."
            },
        )
        task = CaptionTask(
            self,
            "Task",
            service=service,
            store=store,
            namespace=namespace,
            edge_secret=ecs.Secret.from_secrets_manager(self.entrance.secret, SECRET_FIELD),
        )
        self.log_group = task.log_group
        self.machine = Machine(
            self,
            "Machine",
            chosen=chosen,
            network=network,
            cluster=self.cluster,
            security_group=self.entrance.security_group,
        )
        self.entrance.lead_to(self.machine)
        self.service = ecs.Ec2Service(
            self,
            "Service",
            # The same cluster, which the CDK does not know to have a machine.
            cluster=ecs.Cluster.from_cluster_attributes(
                self,
                "ClusterWithMachine",
                cluster_name=self.cluster.cluster_name,
                cluster_arn=self.cluster.cluster_arn,
                vpc=network.vpc,
                has_ec2_capacity=True,
            ),
            task_definition=task.definition,
            desired_count=1,
            # The old task first gives up the port.
            min_healthy_percent=0,
            max_healthy_percent=100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        self.service.node.add_dependency(self.machine, task)
        self.alarms = (self._restart_what_hangs(),)

    def _restart_what_hangs(self) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            "MachineHangs",
            alarm_description="The machine of the caption service does not answer EC2's status "
            "check, and is being restarted. First: wait five minutes; if it happens again, deploy "
            "another machine (another number in load_balancer.machine).",
            metric=metrics.of_machine(
                self.machine, "StatusCheckFailed_Instance", cloudwatch.Stats.MAXIMUM
            ),
            threshold=1,
            evaluation_periods=HANGS_FOR,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.Ec2Action(actions.Ec2InstanceAction.REBOOT))
        return alarm
