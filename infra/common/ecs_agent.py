"""The role and the disk of EC2 machines that run tasks of ECS."""

from __future__ import annotations

from aws_cdk import Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.common.nag import accept_all, shown_id


def make_agent_role(scope: Construct, cluster: ecs.Cluster, description: str) -> iam.Role:
    """Return a role for the calls of ECS's agent, for this cluster only.

    The task's execution role has the rights for images and logs. A machine offers no shell, neither
    by SSH nor by Systems Manager.
    """
    role = iam.Role(
        scope,
        "Role",
        assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
        description=description,
    )
    stack = Stack.of(scope)
    here = stack.format_arn(
        service="ecs",
        resource="container-instance",
        resource_name=f"{cluster.cluster_name}/*",
    )
    for actions, resource in (
        (
            [
                "ecs:DeregisterContainerInstance",
                "ecs:RegisterContainerInstance",
                "ecs:SubmitAttachmentStateChanges",
                "ecs:SubmitContainerStateChange",
                "ecs:SubmitTaskStateChange",
            ],
            cluster.cluster_arn,
        ),
        (["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"], here),
        (["ecs:DiscoverPollEndpoint"], "*"),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
    accept_all(
        role,
        {
            f"AwsSolutions-IAM5[Resource::arn:aws:ecs:{stack.region}:<AWS::AccountId>:"
            f"container-instance/<{shown_id(cluster)}>/*]": "Machines of this cluster, whose "
            "names are unknown until they start.",
            "AwsSolutions-IAM5[Resource::*]": "ecs:DiscoverPollEndpoint, which is about no "
            "resource: AWS knows it only for `*`.",
        },
    )
    return role


def with_machines(cluster: ecs.Cluster, scope: Construct, construct_id: str) -> ecs.ICluster:
    """Return the cluster marked as having EC2 capacity, which the CDK does not detect."""
    return ecs.Cluster.from_cluster_attributes(
        scope,
        construct_id,
        cluster_name=cluster.cluster_name,
        cluster_arn=cluster.cluster_arn,
        vpc=cluster.vpc,
        has_ec2_capacity=True,
    )


def make_root_volume(size: Size, *, mib_s: int | None = None) -> ec2.BlockDevice:
    """Return a machine's encrypted disk; `mib_s` is its throughput, None for gp3's 125 MiB/s."""
    return ec2.BlockDevice(
        device_name="/dev/xvda",
        volume=ec2.BlockDeviceVolume.ebs(
            int(size.to_gibibytes()),
            volume_type=ec2.EbsDeviceVolumeType.GP3,
            throughput=mib_s,
            encrypted=True,
            delete_on_termination=True,
        ),
    )
