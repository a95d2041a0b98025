"""The way from CloudFront to the machine."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.aws.prefix_lists import cloudfront_origin_facing
from infra.common.edge_secret import SECRET_HEADER, make_edge_secret, refer_to_value
from infra.config.service import ServiceConfig
from infra.live import language_services
from infra.live.machine import CaptionMachine
from infra.live.task import PORT
from infra.network.interface import EnvironmentNetwork


class MachineEntrance(Construct):
    """The way from CloudFront to the machine.

    The security group admits CloudFront's origin-facing addresses on one port. All distributions
    share these addresses, and the machine has a public address by which it reaches AWS, so a
    stranger could send requests through a distribution of their own. The service therefore requires
    a secret that only our distribution sends. `SharedEntrance` describes how to change it.

    The connection is HTTP inside AWS's network, as there is no certificate for a machine's name.

    Attributes:
        security_group: the machine's.
        secret: the secret that CloudFront sends and the service requires.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ServiceConfig,
        network: EnvironmentNetwork,
    ) -> None:
        """Make security group and secret.

        Raises:
            UnknownRegion: CloudFront's addresses are not known for the region.
        """
        super().__init__(scope, construct_id)
        self.secret = make_edge_secret(self)
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
        language_services.allow_egress(self.security_group, service)
        self._machine: CaptionMachine | None = None

    def set_machine(self, machine: CaptionMachine) -> None:
        """Make `machine` the origin."""
        self._machine = machine

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return a VPC origin of this machine alone; its successor gets another one."""
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
            custom_headers={SECRET_HEADER: refer_to_value(self.secret)},
        )
