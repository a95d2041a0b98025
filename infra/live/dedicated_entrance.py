"""The way in through a load balancer of the environment's own."""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra.aws.prefix_lists import cloudfront_origin_facing
from infra.common.buckets import make_log_bucket
from infra.common.nag import accept
from infra.config.domain import Domain
from infra.config.load_balancers import DedicatedLoadBalancer
from infra.live.entrances import API_PATHS
from infra.network.interface import EnvironmentNetwork

#: Longer than the service waits for audio, so that the service closes first.
IDLE_TIMEOUT = Duration.seconds(120)


class DedicatedEntrance(Construct):
    """An internal load balancer, which CloudFront reaches through a VPC origin.

    It has no public address. Its security group admits CloudFront's origin-facing addresses, as AWS
    requires (CloudFront Developer Guide, "Restrict access with VPC origins"). Because the load
    balancer is internal, only VPC origins of this account can use it. AWS also has a security group
    for this, `CloudFront-VPCOrigins-Service-SG`, but it exists only after the first VPC origin, and
    a rule for it would need a function that looks it up. The network's own address range is not
    admitted, because nothing in the network uses the load balancer.

    A prefix list counts as many rules as it may have entries (55 of a group's 60), so the group can
    open exactly one port. A few zones have no VPC origins; `infra.aws.zones` avoids them. VPC
    origins pass WebSockets on since May 2026.

    An environment may get its domain later, which changes the port. The new port is in a new group,
    because CloudFormation adds new rules before it removes old ones, and both exceed one group's
    limit. The load balancer's own name stays exported, because the page's stack stops using it only
    afterwards.

    The access log always has a request's whole address, and so the names of conversations and
    speakers. CloudFront's log has every request, too, and can leave them out.

    Attributes: see `Entrance`.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        load_balancer: DedicatedLoadBalancer,
        network: EnvironmentNetwork,
        domain: Domain | None,
        protected: bool,
    ) -> None:
        """Make the load balancer; with a certificate it speaks TLS.

        Raises:
            UnknownRegion: CloudFront's addresses are not known for the region.
        """
        super().__init__(scope, construct_id)
        self._certificate_arn = load_balancer.certificate_arn
        self._domain = domain
        self.security_group = self._open_to_cloudfront(network.vpc)
        self._load_balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=network.vpc,
            vpc_subnets=network.inner_subnets,
            internet_facing=False,
            security_group=self.security_group,
            idle_timeout=IDLE_TIMEOUT,
            drop_invalid_header_fields=True,
            deletion_protection=protected,
        )
        if load_balancer.access_logs:
            self._load_balancer.log_access_logs(make_log_bucket(self, "AccessLogs"))
        else:
            accept(
                self._load_balancer,
                "AwsSolutions-ELB2",
                "Every request comes through CloudFront, whose log can "
                "leave out what a load balancer's always has: the names of conversations and "
                "speakers in a request's query.",
            )
        self.load_balancer_full_name = self._load_balancer.load_balancer_full_name
        self._listener = self._listen()
        Stack.of(self).export_value(self._load_balancer.load_balancer_dns_name)

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Pass `/api/*` on; the listener answers all other requests itself."""
        self._listener.add_action(
            "Api",
            priority=1,
            conditions=[elbv2.ListenerCondition.path_patterns([API_PATHS])],
            action=elbv2.ListenerAction.forward([target_group]),
        )

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return a VPC origin, which the distribution's stack makes."""
        del scope
        return origins.VpcOrigin.with_application_load_balancer(
            self._load_balancer,
            # CloudFront compares the certificate with this name, and connects to the ARN.
            domain_name=self._domain.name if self._domain and self._encrypted else None,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY
            if self._encrypted
            else cloudfront.OriginProtocolPolicy.HTTP_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
        )

    @property
    def _encrypted(self) -> bool:
        return self._certificate_arn is not None

    def _open_to_cloudfront(self, vpc: ec2.IVpc) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            "SecurityGroupTls" if self._encrypted else "SecurityGroup",
            vpc=vpc,
            description="Load balancer: from CloudFront, to the tasks",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(
            ec2.Peer.prefix_list(cloudfront_origin_facing(Stack.of(self).region)),
            ec2.Port.HTTPS if self._encrypted else ec2.Port.HTTP,
            "CloudFront",
        )
        return group

    def _listen(self) -> elbv2.ApplicationListener:
        refused = elbv2.ListenerAction.fixed_response(404, content_type="text/plain")
        if self._certificate_arn is None:
            # CloudFront accepts only certificates that a public authority signed for a domain.
            # Without a domain the connection from its VPC origin, inside AWS's network, is HTTP.
            return self._load_balancer.add_listener(
                "Http",
                port=80,
                protocol=elbv2.ApplicationProtocol.HTTP,
                open=False,
                default_action=refused,
            )
        certificate = acm.Certificate.from_certificate_arn(
            self, "Certificate", self._certificate_arn
        )
        return self._load_balancer.add_listener(
            "Https",
            port=443,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            certificates=[certificate],
            # TLS 1.2 is still in it: CloudFront's connections to origins may use no other.
            ssl_policy=elbv2.SslPolicy.RECOMMENDED_TLS,
            open=False,
            default_action=refused,
        )
