"""One EC2 machine that runs the service's task without a load balancer.

It is a t4g.nano with Amazon Linux's own image. ECS's image needs a disk of 30 GiB, which costs as
much as half the machine. The first start installs what ECS needs, after it has made a swap file:
512 MiB are too few for the installation.

**Replacement.** Only a different number in the environment's `machine` replaces the machine. The
number is part of the logical ids, and the machine uses the first version of its launch template, in
which EC2 itself resolves the image when it starts the machine. So neither a newer image nor a
change of the script below affects a running machine. A failure of AWS's hardware does not replace
it either: EC2 recovers it with its id, its disk and its addresses.

**CPU.** Credits are `standard`: the machine never costs more than its price. It sustains a tenth of
a vCPU, some ten times what four streams to Transcribe take, and accumulates credits for the rest. A
new machine has no credits (T4g gets none at launch), so its first start takes a quarter of an hour,
by estimate.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import (
    CfnCreationPolicy,
    CfnResourceSignal,
    Duration,
    ReferenceStrength,
    Size,
    Stack,
    Tags,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.common.ecs_agent import make_agent_role, make_root_volume
from infra.common.nag import accept_all
from infra.config.load_balancers import NoLoadBalancer
from infra.live.task import OUTBOX_FOLDER, USER
from infra.network.interface import EnvironmentNetwork

INSTANCE_TYPE: Final = "t4g.nano"
IMAGE: Final = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
#: GiB for the system (2), Docker and the agent (0.6), the swap file (1), and two images.
DISK: Final = Size.gibibytes(8)
SWAP_MIB: Final = 1024
#: The first start runs on a tenth of a vCPU. A machine that takes longer fails the deployment.
FIRST_START: Final = "PT45M"


class CaptionMachine(Construct):
    """The machine, whose agent joins an ECS cluster. See the module.

    Attributes:
        resource: the EC2 instance.
        number: the machine's number in the environment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        chosen: NoLoadBalancer,
        network: EnvironmentNetwork,
        cluster: ecs.Cluster,
        security_group: ec2.ISecurityGroup,
    ) -> None:
        """Start the machine in the first subnet that can reach AWS; it joins `cluster`."""
        super().__init__(scope, construct_id)
        self.number = chosen.machine
        name = f"Machine{self.number}"
        role = make_agent_role(self, cluster, "ECS's agent on the machine of the caption service")
        template = ec2.LaunchTemplate(
            self,
            f"Template{self.number}",
            machine_image=ec2.MachineImage.resolve_ssm_parameter_at_launch(IMAGE),
            instance_type=ec2.InstanceType(INSTANCE_TYPE),
            cpu_credits=ec2.CpuCredits.STANDARD,
            role=role.without_policy_updates(),
            user_data=self._script(cluster, name),
            require_imdsv2=True,
            # Containers are one hop further away, so they never get the machine's own rights.
            http_put_response_hop_limit=1,
            block_devices=[make_root_volume(DISK)],
        )
        self.resource = ec2.CfnInstance(
            self,
            name,
            launch_template=ec2.CfnInstance.LaunchTemplateSpecificationProperty(
                launch_template_id=template.launch_template_id, version="1"
            ),
            network_interfaces=[
                ec2.CfnInstance.NetworkInterfaceProperty(
                    device_index="0",
                    subnet_id=network.vpc.select_subnets(
                        subnet_type=network.task_subnets.subnet_type
                    ).subnet_ids[0],
                    group_set=[security_group.security_group_id],
                    associate_public_ip_address=network.public_addresses,
                    delete_on_termination=True,
                )
            ],
            propagate_tags_to_volume_on_creation=True,
        )
        # The volume inherits tags from the machine only, and the budget filters by them.
        for tag, value in Stack.of(self).tags.tag_values().items():
            Tags.of(self.resource).add(tag, value)
        self.resource.override_logical_id(name)
        # A strong reference from the page's stack would prevent the machine's replacement.
        self.resource.apply_cross_stack_reference_strength(ReferenceStrength.WEAK)
        self.resource.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=1, timeout=FIRST_START)
        )
        self.resource.node.add_dependency(role)
        accept_all(
            self.resource,
            {
                "AwsSolutions-EC28": "Status checks, which restart it, come every minute anyway; "
                "detailed monitoring would add figures that nobody watches.",
                "AwsSolutions-EC29": "It holds nothing but finals that have not left it yet, and "
                "another number in the environment has to be able to replace it.",
            },
        )

    @property
    def arn(self) -> str:
        """The machine's ARN."""
        return Stack.of(self).format_arn(
            service="ec2", resource="instance", resource_name=self.resource.ref
        )

    def metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        """Return a metric of EC2 about the machine; these are free."""
        minutes = 1 if name.startswith("StatusCheck") else 5
        return cloudwatch.Metric(
            namespace="AWS/EC2",
            metric_name=name,
            dimensions_map={"InstanceId": self.resource.ref},
            period=Duration.minutes(minutes),
            statistic=statistic,
        )

    def _script(self, cluster: ecs.Cluster, name: str) -> ec2.UserData:
        """Return the script that the machine runs at its first start, as root."""
        stack = Stack.of(self)
        script = ec2.UserData.for_linux()
        settings = {
            "ECS_CLUSTER": cluster.cluster_name,
            # The task's execution role has the right to write logs.
            "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
            # The disk holds two images; by default those of the last three hours would pile up.
            "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "10m",
        }
        script.add_commands(
            "set -euo pipefail",
            # CloudFormation waits for this signal, and rolls back at once on a failure.
            "trap '/opt/aws/bin/cfn-signal --exit-code $?"
            f" --stack {stack.stack_name} --resource {name} --region {stack.region}' EXIT",
            f"dd if=/dev/zero of=/swapfile bs=1M count={SWAP_MIB} status=none",
            "chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
            "echo '/swapfile none swap defaults 0 0' >> /etc/fstab",
            # The next task sends the finals that a stopped one left here.
            f"install -d -m 700 -o {USER.split(':')[0]} -g {USER.split(':')[1]} {OUTBOX_FOLDER}",
            # The role permits it nothing, and memory is scarce.
            "systemctl disable --now amazon-ssm-agent || true",
            "dnf install -y --setopt=install_weak_deps=False docker ecs-init",
            "mkdir -p /etc/ecs /etc/docker",
            *(f"echo {key}={value} >> /etc/ecs/ecs.config" for key, value in settings.items()),
            # One process less for the published port.
            """echo '{"userland-proxy": false}' > /etc/docker/daemon.json""",
            # It starts after this script has ended, so the script must not wait for it.
            "systemctl enable --now --no-block ecs.service",
        )
        return script
