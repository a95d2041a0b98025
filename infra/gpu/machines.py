"""Machines with a GPU: one for each task, none without tasks.

ECS starts a machine for a task that fits on none, and stops a machine that has been empty for some
fifteen minutes (its managed scaling decides on a metric of one-minute steps). Before a machine is
stopped, also on Spot's notice, ECS sends it no new tasks and ends the running ones.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.common.ecs_agent import make_agent_role, make_root_volume
from infra.common.nag import accept_all
from infra.config.gpu import GpuConfig
from infra.network.interface import EnvironmentNetwork

#: GiB for the operating system with its drivers (30), the image (some 20 with WhisperX) and
#: temporary files.
DISK: Final = Size.gibibytes(100)
#: MiB a second. The default of gp3 is 125, and an image is written, unpacked and read again. It
#: costs half a cent more for the twenty minutes of a machine. The machines reach at most 437
#: (g4dn.xlarge, g5.xlarge) or 625 (g6.xlarge), for half an hour. gp3's default of 3,000 requests a
#: second is enough for 750.
DISK_MIB_S: Final = 400


class GpuMachines(Construct):
    """Machines for the tasks of one cluster.

    Attributes:
        auto_scaling_group: the machines.
        capacity_provider: how a service requests machines.
        association: links the capacity provider to the cluster; services depend on it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        gpu: GpuConfig,
        network: EnvironmentNetwork,
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
            # No desired capacity: it starts at the minimum, and ECS changes it from then on.
            max_capacity=gpu.maximum_instances,
            mixed_instances_policy=self._choice(gpu, self._template(network, spot=gpu.spot)),
            # Off by default; two alarms evaluate it.
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
        # Made explicitly: the CDK makes its own so late that no service can depend on it.
        self.association = ecs.CfnClusterCapacityProviderAssociations(
            self,
            "Association",
            cluster=cluster.cluster_name,
            capacity_providers=[self.capacity_provider.capacity_provider_name],
            default_capacity_provider_strategy=[],
        )
        self._accept()

    def _template(self, network: EnvironmentNetwork, *, spot: bool) -> ec2.LaunchTemplate:
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
            # The newest image at each deployment: CloudFormation looks it up, not the synth.
            machine_image=ecs.EcsOptimizedImage.amazon_linux2023(ecs.AmiHardwareType.GPU),
            role=make_agent_role(
                self, self._cluster, "ECS's agent on machines with a GPU"
            ).without_policy_updates(),
            security_group=group,
            user_data=self._agent_settings(spot=spot),
            associate_public_ip_address=network.public_addresses,
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            block_devices=[make_root_volume(DISK, mib_s=DISK_MIB_S)],
        )

    def _choice(
        self, gpu: GpuConfig, template: ec2.LaunchTemplate
    ) -> autoscaling.MixedInstancesPolicy:
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
                # The type that is interrupted least; among equals, the preferred one.
                spot_allocation_strategy=(
                    autoscaling.SpotAllocationStrategy.CAPACITY_OPTIMIZED_PRIORITIZED
                ),
            ),
        )

    def _agent_settings(self, *, spot: bool) -> ec2.UserData:
        """Return the settings of ECS's agent, as its README (aws/amazon-ecs-agent) lists them."""
        settings = {
            "ECS_CLUSTER": self._cluster.cluster_name,
            # A container has its task's rights, never the machine's.
            "ECS_AWSVPC_BLOCK_IMDS": "true",
            # The task's execution role has the right to write logs.
            "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING": "true" if spot else "false",
            # Unpacking a layer of gigabytes takes minutes without progress. By default the agent
            # would give up after one minute and start again.
            "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT": "10m",
            # Reuse a pulled image, so that a restarted task needs no registry.
            "ECS_IMAGE_PULL_BEHAVIOR": "once",
            # A first start reads gigabytes from a new disk and attaches the GPU.
            "ECS_CONTAINER_CREATE_TIMEOUT": "10m",
            "ECS_CONTAINER_START_TIMEOUT": "10m",
        }
        user_data = ec2.UserData.for_linux()
        for name, value in settings.items():
            user_data.add_commands(f"echo {name}={value} >> /etc/ecs/ecs.config")
        return user_data

    def _accept(self) -> None:
        accept_all(
            self.auto_scaling_group,
            {
                "AwsSolutions-AS3": "Machines start and stop with the work, which needs no "
                "notification; an alarm watches for machines without work.",
                "AwsSolutions-EC26": "The rule cannot look into a launch template; the only "
                "volume in ours is encrypted.",
            },
        )
