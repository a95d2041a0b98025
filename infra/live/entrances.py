"""The way from CloudFront to the service: a shared load balancer, or a dedicated one.

Without any, `infra.live.machine_service` has the way.

Both suit sockets that stay open for hours. A viewer gets a heartbeat every ten seconds and a
speaker sends audio, or gets `idle_timeout` after fifteen seconds without any, so that neither
a load balancer's idle timeout (a minute unless changed) nor CloudFront's (ten minutes for
WebSockets) is ever reached by a connection that works.
"""

from __future__ import annotations

from typing import Protocol

from aws_cdk import Duration, Stack
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.aws.prefix_lists import cloudfront_origin_facing
from infra.common import nag
from infra.common.buckets import log_bucket
from infra.common.generated_secrets import generated_secret, reference
from infra.config.environment import DedicatedLoadBalancer, Domain, SharedLoadBalancer
from infra.network.own import Network

#: What is passed on; everything else is the page's and never gets here.
API_PATHS = "/api/*"
#: The header by which a shared load balancer knows our CloudFront distribution.
SECRET_HEADER = "X-Cloudscribe-Edge"  # noqa: S105 - the header's name, not its value
#: The header that has the viewer's address; CloudFront's function `api_request.js` writes it. Only
#: CloudFront reaches the service: see below why for each kind of load balancer.
VIEWER_HEADER = "X-Cloudscribe-Viewer"
#: Which field of the secret is the value; another name makes another value.
SECRET_FIELD = "value1"  # noqa: S105 - the field's name, not its value
#: Longer than the service waits for audio, so that its own answer comes first.
IDLE_TIMEOUT = Duration.seconds(120)


class Origin(Protocol):
    """Where CloudFront passes `/api/*` on to."""

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the origin for CloudFront's behaviour `/api/*`; makes what it needs in `scope`."""


class Entrance(Origin, Protocol):
    """A load balancer that passes `/api/*` on, and that only CloudFront can use."""

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The load balancer's; tasks let it in and nobody else."""

    @property
    def load_balancer_full_name(self) -> str:
        """`app/NAME/ID`, the dimension `LoadBalancer` of its metrics."""

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Pass requests under `/api/` on to `target_group`."""


def edge_secret(scope: Construct) -> secretsmanager.Secret:
    """Return a new secret, by which CloudFront is known; see `SharedEntrance`."""
    return generated_secret(
        scope,
        field=SECRET_FIELD,
        description=f"The header {SECRET_HEADER}, by which CloudFront is known",
        why_not_rotated="The value has to change in CloudFront and where it is asked for at once, "
        "which a rotation cannot do; a deployment does it.",
    )


def secret_value(secret: secretsmanager.ISecret) -> str:
    """Return a reference to the value, for CloudFormation to resolve."""
    return reference(secret, SECRET_FIELD)


class SharedEntrance(Construct):
    """A rule on the HTTPS listener of a load balancer that is there already.

    The load balancer is open to the internet, so the rule asks for a header with a secret that
    only CloudFront adds; whoever comes without it gets what the listener answers by default. The
    secret is made by Secrets Manager ($0.40 a month) and both sides refer to it, so that it is in
    no template and in no output. Cheaper values (a stack's id, a parameter) could be read by
    everybody who may describe stacks.

    To change it, change `SECRET_FIELD` and deploy: Secrets Manager makes a new value, and as both
    references name the field, CloudFormation resolves both again, which it does for no other
    reason. New sockets fail between the two stacks' updates, a few minutes.

    Nothing of the load balancer is changed. Its owner sees to two things: its security group lets
    connections out to the tasks' port in its network, as a group does by default; and its idle
    timeout stays above fifteen seconds, as the default of sixty does.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, load_balancer: SharedLoadBalancer
    ) -> None:
        """Refer to the load balancer, and make the secret."""
        super().__init__(scope, construct_id)
        self._chosen = load_balancer
        self._security_group = ec2.SecurityGroup.from_security_group_id(
            self, "SecurityGroup", load_balancer.security_group_id, mutable=False
        )
        self._secret = edge_secret(self)

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The load balancer's; it is not changed."""
        return self._security_group

    @property
    def load_balancer_full_name(self) -> str:
        """As the listener's ARN has it: `...:listener/app/NAME/ID/LISTENER`."""
        return "/".join(self._chosen.listener_arn.split("/")[1:4])

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Add the rule."""
        listener = elbv2.ApplicationListener.from_application_listener_attributes(
            self,
            "Listener",
            listener_arn=self._chosen.listener_arn,
            security_group=self._security_group,
        )
        elbv2.ApplicationListenerRule(
            self,
            "Rule",
            listener=listener,
            priority=self._chosen.rule_priority,
            conditions=[
                elbv2.ListenerCondition.path_patterns([API_PATHS]),
                elbv2.ListenerCondition.http_header(SECRET_HEADER, [secret_value(self._secret)]),
            ],
            target_groups=[target_group],
        )

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the load balancer, spoken to over TLS and with the secret."""
        del scope
        return origins.HttpOrigin(
            self._chosen.domain_name,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            custom_headers={SECRET_HEADER: secret_value(self._secret)},
        )


class DedicatedEntrance(Construct):
    """An internal load balancer, which CloudFront reaches through a VPC origin.

    It has no public address. Its security group lets in CloudFront's origin-facing addresses:
    that is what AWS asks for (CloudFront Developer Guide, "Restrict access with VPC origins"),
    and as the load balancer is internal, only VPC origins of this account can use it. AWS also
    offers a group of its own, `CloudFront-VPCOrigins-Service-SG`, which exists only after the
    first VPC origin; a rule for it would take a function that looks it up. The network's own
    address range is not let in: nothing in the network has business here.

    A prefix list counts as many rules as it may have entries (55 of a group's 60), so exactly
    one port is open. In a few zones AWS has no VPC origins; `infra.aws.zones` keeps out of them.
    VPC origins pass WebSockets on since May 2026.

    An environment may get its domain later: the group with the other port is then another group,
    for CloudFormation adds new rules before it takes old ones away, and both are too many for one.
    The load balancer's own name stays exported, for the page's stack lets go of it only afterwards.

    The access log, where it is wanted, always has the whole address of a request, and with it the
    names of conversations and speakers. CloudFront's can be kept without, and has every request.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        load_balancer: DedicatedLoadBalancer,
        network: Network,
        domain: Domain | None,
        protected: bool,
    ) -> None:
        """Make the load balancer; with a certificate and a domain it speaks TLS.

        Raises:
            UnknownRegion: CloudFront's addresses are not known for the region.
        """
        super().__init__(scope, construct_id)
        self._certificate_arn = load_balancer.certificate_arn
        self._domain = domain
        self._security_group = self._open_to_cloudfront(network.vpc)
        self._load_balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=network.vpc,
            vpc_subnets=network.inner_subnets,
            internet_facing=False,
            security_group=self._security_group,
            idle_timeout=IDLE_TIMEOUT,
            drop_invalid_header_fields=True,
            deletion_protection=protected,
        )
        if load_balancer.access_logs:
            self._load_balancer.log_access_logs(log_bucket(self, "AccessLogs"))
        else:
            nag.accept(
                self._load_balancer,
                {
                    "AwsSolutions-ELB2": "Every request comes through CloudFront, whose log can "
                    "leave out what a load balancer's always has: the names of conversations and "
                    "speakers in a request's query."
                },
            )
        self._listener = self._listen()
        Stack.of(self).export_value(self._load_balancer.load_balancer_dns_name)

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The load balancer's."""
        return self._security_group

    @property
    def load_balancer_full_name(self) -> str:
        """`app/NAME/ID`."""
        return self._load_balancer.load_balancer_full_name

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Pass `/api/*` on; the listener answers everything else itself."""
        self._listener.add_action(
            "Api",
            priority=1,
            conditions=[elbv2.ListenerCondition.path_patterns([API_PATHS])],
            action=elbv2.ListenerAction.forward([target_group]),
        )

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return a VPC origin, which is made beside the distribution that uses it."""
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
            # Without a domain the way from its VPC origin, inside AWS's network, is plain.
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
