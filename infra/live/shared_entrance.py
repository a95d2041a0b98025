"""The way in through a shared load balancer."""

from __future__ import annotations

from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra.common.edge_secret import SECRET_HEADER, make_edge_secret, refer_to_value
from infra.config.load_balancers import SharedLoadBalancer
from infra.live.entrances import API_PATHS


class SharedEntrance(Construct):
    """A rule on the HTTPS listener of an existing load balancer.

    The load balancer is open to the internet, so the rule requires a header with a secret that only
    CloudFront adds. Requests without it get the listener's default answer. Secrets Manager
    generates the secret ($0.40 a month) and both sides refer to it, so it is in no template and in
    no output. Cheaper values (a stack's id, a parameter) are readable for everybody who may
    describe stacks.

    To change the secret, change `SECRET_FIELD` and deploy. Secrets Manager generates a new value.
    Both references name the field, so CloudFormation resolves both again, which it does for no
    other reason. New sockets fail for a few minutes, between the two stacks' updates.

    The load balancer itself is not changed. Its owner ensures two things, which are the defaults:
    its security group permits connections to the tasks' port in its network, and its idle timeout
    (60 seconds by default) stays above fifteen seconds.

    Attributes: see `Entrance`.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, load_balancer: SharedLoadBalancer
    ) -> None:
        """Refer to the load balancer, and make the secret."""
        super().__init__(scope, construct_id)
        self._chosen = load_balancer
        self.security_group = ec2.SecurityGroup.from_security_group_id(
            self, "SecurityGroup", load_balancer.security_group_id, mutable=False
        )
        # The listener's ARN ends in `listener/app/NAME/ID/LISTENER`.
        self.load_balancer_full_name = "/".join(load_balancer.listener_arn.split("/")[1:4])
        self._secret = make_edge_secret(self)

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Add the rule that forwards `/api/*` to the service."""
        listener = elbv2.ApplicationListener.from_application_listener_attributes(
            self,
            "Listener",
            listener_arn=self._chosen.listener_arn,
            security_group=self.security_group,
        )
        elbv2.ApplicationListenerRule(
            self,
            "Rule",
            listener=listener,
            priority=self._chosen.rule_priority,
            conditions=[
                elbv2.ListenerCondition.path_patterns([API_PATHS]),
                elbv2.ListenerCondition.http_header(SECRET_HEADER, [refer_to_value(self._secret)]),
            ],
            target_groups=[target_group],
        )

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the load balancer as an origin, over TLS and with the secret."""
        del scope
        return origins.HttpOrigin(
            self._chosen.domain_name,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            custom_headers={SECRET_HEADER: refer_to_value(self._secret)},
        )
