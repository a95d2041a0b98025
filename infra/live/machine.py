"""One EC2 machine that runs the service's task where there is no load balancer.

A t4g.nano from Amazon Linux's own image: that of ECS needs a disk of 30 GiB, which costs as much as
half the machine. What ECS needs is installed at the first start, after a swap file, for 512 MiB are
too few for it.

**What replaces it.** Only another number in the environment's `machine`. It is part of the logical
ids, and the machine keeps to the first version of its launch template, in which EC2 itself resolves
the image when it starts the machine. So neither a newer image nor a change of the script below
touches a machine that runs. AWS's hardware failing does not replace it either: EC2 recovers it with
its id, its disk and its addresses.

**CPU.** Credits are `standard`: the machine never costs more than its price. It sustains a tenth of
a vCPU, some ten times what four streams to Transcribe take, and saves up what it does not use. A
new machine has saved nothing (T4g gets no credits at launch), so its first start takes a quarter of
an hour, by estimate.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import CfnCreationPolicy, CfnResourceSignal, ReferenceStrength, Size, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra.common.ecs_agent import agent_role, root_volume
from infra.common.nag import accept
from infra.config.environment import NoLoadBalancer
from infra.live.task import OUTBOX_FOLDER, USER
from infra.network.own import Network

INSTANCE_TYPE: Final = "t4g.nano"
IMAGE: Final = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
#: The system (2), Docker and the agent (0.6), the swap file (1), the old and the new image, GiB.
DISK: Final = Size.gibibytes(8)
SWAP_MIB: Final = 1024
#: The first start runs on a tenth of a vCPU. What is not up by then fails the deployment.
FIRST_START: Final = "PT45M"


class Machine(Construct):
    """The machine; its agent joins `cluster`. See the module.

    Attributes:
        resource: the EC2 instance.
        number: which machine it is, by the environment.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        chosen: NoLoadBalancer,
        network: Network,
        cluster: ecs.Cluster,
        security_group: ec2.ISecurityGroup,
    ) -> None:
        """Start the machine in the first subnet from which it can reach AWS."""
        super().__init__(scope, construct_id)
        self.number = chosen.machine
        name = f"Machine{self.number}"
        role = agent_role(self, cluster, "ECS's agent on the machine of the caption service")
        template = ec2.LaunchTemplate(
            self,
            f"Template{self.number}",
            machine_image=ec2.MachineImage.resolve_ssm_parameter_at_launch(IMAGE),
            instance_type=ec2.InstanceType(INSTANCE_TYPE),
            cpu_credits=ec2.CpuCredits.STANDARD,
            role=role.without_policy_updates(),
            user_data=self._script(cluster, name),
            require_imdsv2=True,
            # Containers are one hop further away, and so never get the machine's own rights.
            http_put_response_hop_limit=1,
            block_devices=[root_volume(DISK)],
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
        # The volume gets these only from the machine itself, and the budget knows things by them.
        for tag, value in Stack.of(self).tags.tag_values().items():
            Tags.of(self.resource).add(tag, value)
        self.resource.override_logical_id(name)
        # A strong one would keep the page's stack from letting another machine take its place.
        self.resource.apply_cross_stack_reference_strength(ReferenceStrength.WEAK)
        self.resource.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=1, timeout=FIRST_START)
        )
        self.resource.node.add_dependency(role)
        accept(
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

    def _script(self, cluster: ecs.Cluster, name: str) -> ec2.UserData:
        """Return what the machine runs at its first start, as root."""
        stack = Stack.of(self)
        script = ec2.UserData.for_linux()
        settings = {
            "ECS_CLUSTER": cluster.cluster_name,
            # Logs are written with the rights of the task's execution role.
            "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
            # So that the disk holds two images, not those of all deployments of three hours.
            "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "10m",
        }
        script.add_commands(
            "set -euo pipefail",
            # CloudFormation waits for it, and goes back at once where something failed.
            "trap '/opt/aws/bin/cfn-signal --exit-code $?"
            f" --stack {stack.stack_name} --resource {name} --region {stack.region}' EXIT",
            f"dd if=/dev/zero of=/swapfile bs=1M count={SWAP_MIB} status=none",
            "chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile",
            "echo '/swapfile none swap defaults 0 0' >> /etc/fstab",
            # What a stopped task has not sent yet, the next one sends.
            f"install -d -m 700 -o {USER.split(':')[0]} -g {USER.split(':')[1]} {OUTBOX_FOLDER}",
            # Its role lets it do nothing, and memory is scarce.
            "systemctl disable --now amazon-ssm-agent || true",
            "dnf install -y --setopt=install_weak_deps=False docker ecs-init",
            "mkdir -p /etc/ecs /etc/docker",
            *(f"echo {key}={value} >> /etc/ecs/ecs.config" for key, value in settings.items()),
            # A process less for the port that is passed on.
            """echo '{"userland-proxy": false}' > /etc/docker/daemon.json""",
            # It starts once this script has ended, so nobody may wait for it here.
            "systemctl enable --now --no-block ecs.service",
        )
        return script
