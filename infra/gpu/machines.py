"""Machines with a GPU: as many as there are tasks, none when there are none.

ECS starts a machine for a task that finds no place and stops one that has been empty for some
fifteen minutes (its managed scaling decides on a metric of one-minute steps). A machine that is
to be taken away, also one that Spot wants back, first gets no new tasks and ends those it has.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.common.ecs_agent import agent_role, root_volume
from infra.common.nag import accept
from infra.config.environment import Gpu
from infra.network.own import Network

#: Holds the operating system with its drivers (30), the image (some 20 with WhisperX) and room to
#: work, GiB.
DISK: Final = Size.gibibytes(100)
#: MiB a second; gp3 has 125 unless more is asked for, and an image is written, unpacked and read
#: again. Half a cent more for the twenty minutes of a machine. The machines themselves do at most
#: 437 (g4dn.xlarge, g5.xlarge) or 625 (g6.xlarge), and that for half an hour. The 3,000 requests a
#: second that gp3 has anyway are enough for 750.
DISK_MIB_S: Final = 400


class GpuMachines(Construct):
    """Machines for the tasks of one cluster.

    Attributes:
        auto_scaling_group: the machines.
        capacity_provider: by which a service asks for them.
        association: the cluster knows the capacity provider; services wait for it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        gpu: Gpu,
        network: Network,
        cluster: ecs.Cluster,
    ) -> None:
        """Give `cluster` up to `gpu.maximum_instances` machines."""
        super().__init__(scope, construct_id)
        self._cluster = cluster
        self.auto_scaling_group = autoscaling.AutoScalingGroup(
            self,
            "Group",
            vpc=network.vpc,
            vpc_subnets=network.task_subnets,
            min_capacity=0,
            # No desired capacity: it starts with the least, and from then on it is ECS's matter.
            max_capacity=gpu.maximum_instances,
            mixed_instances_policy=self._choice(gpu, self._template(network, spot=gpu.spot)),
            # Not sent unless asked for, and two alarms look at it.
            group_metrics=[autoscaling.GroupMetrics(autoscaling.GroupMetric.IN_SERVICE_INSTANCES)],
        )
        self.capacity_provider = ecs.AsgCapacityProvider(
            self,
            "Capacity",
            auto_scaling_group=self.auto_scaling_group,
            enable_managed_scaling=True,
            enable_managed_termination_protection=True,
            enable_managed_draining=True,
            target_capacity_percent=100,
            maximum_scaling_step_size=gpu.maximum_instances,
        )
        # By hand, for the CDK's own is made so late that no service can wait for it.
        self.association = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "Association",
            cluster=cluster.cluster_name,
            capacity_providers=[self.capacity_provider.capacity_provider_name],
            default_capacity_provider_strategy=[],
        )
        self._accept()

    def _template(self, network: Network, *, spot: bool) -> ec2.LaunchTemplate:
        group = ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=network.vpc,
            description="Machines with a GPU: nobody in, TLS out",
            allow_all_outbound=False,
        )
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "ECS, the image, logs")
        return ec2.LaunchTemplate(
            self,
            "Template",
            # The newest at each deployment: CloudFormation asks for it, a synth does not.
            machine_image=ecs.EcsOptimizedImage.amazon_linux2023(ecs.AmiHardwareType.GPU),
            role=agent_role(
                self, self._cluster, "ECS's agent on machines with a GPU"
            ).without_policy_updates(),
            security_group=group,
            user_data=self._agent_settings(spot=spot),
            associate_public_ip_address=network.public_addresses,
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            block_devices=[root_volume(DISK, mib_s=DISK_MIB_S)],
        )

    def _choice(self, gpu: Gpu, template: ec2.LaunchTemplate) -> autoscaling.MixedInstancesPolicy:
        return autoscaling.MixedInstancesPolicy(
            launch_template=template,
            launch_template_overrides=[
                autoscaling.LaunchTemplateOverrides(instance_type=ec2.InstanceType(kind))
                for kind in gpu.instance_types
            ],
            instances_distribution=autoscaling.InstancesDistribution(
                on_demand_base_capacity=0,
                on_demand_percentage_above_base_capacity=0 if gpu.spot else 100,
                on_demand_allocation_strategy=autoscaling.OnDemandAllocationStrategy.PRIORITIZED,
                # Which is interrupted least, and of equals the one that is preferred.
                spot_allocation_strategy=(
                    autoscaling.SpotAllocationStrategy.CAPACITY_OPTIMIZED_PRIORITIZED
                ),
            ),
        )

    def _agent_settings(self, *, spot: bool) -> ec2.UserData:
        """Return the settings of ECS's agent, as its README (aws/amazon-ecs-agent) lists them."""
        settings = {
            "ECS_CLUSTER": self._cluster.cluster_name,
            # A container gets its task's rights, never the machine's.
            "ECS_AWSVPC_BLOCK_IMDS": "true",
            # Logs are written with the rights of the task's execution role.
            "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true" if spot else "false",
            # A layer of gigabytes is unpacked for minutes, in which nothing arrives; the agent
            # would give up after one, and begin anew.
            "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT": "10m",
            # What this machine has pulled it has: a task that is started again needs no registry.
            "ECS_IMAGE_PULL_BEHAVIOR": "once",
            # A first start reads gigabytes from a new disk, and hands over the GPU.
            "ECS_CONTAINER_CREATE_TIMEOUT": "10m",
            "ECS_CONTAINER_START_TIMEOUT": "10m",
        }
        user_data = ec2.UserData.for_linux()
        for name, value in settings.items():
            user_data.add_commands(f"echo {name}={value} >> /etc/ecs/ecs.config")
        return user_data

    def _accept(self) -> None:
        accept(
            self.auto_scaling_group,
            {
                "AwsSolutions-AS3": "Machines come and go with the work, which nobody needs to be "
                "notified of; one that stays without work has its alarm.",
                "AwsSolutions-EC26": "The rule cannot look into a launch template; the only "
                "volume in ours is encrypted.",
            },
        )
