"""The interface of all entrances, which are the ways from CloudFront to the service.

`shared_entrance`, `dedicated_entrance` and `machine_entrance` implement them. They suit sockets
that stay open for hours. A viewer gets a heartbeat every ten seconds. A speaker sends audio, or
gets `idle_timeout` after fifteen seconds without any. So a working connection never reaches the
idle timeout of a load balancer (a minute unless changed) or of CloudFront (ten minutes for
WebSockets).
"""

from __future__ import annotations

from typing import Protocol

from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

#: The requests that CloudFront passes on; it answers all others from the page's bucket.
API_PATHS = "/api/*"
#: The header with the viewer's address, which CloudFront's function `api_request.js` writes. It can
#: be trusted because only CloudFront reaches the service; each entrance says why.
VIEWER_HEADER = "X-Cloudscribe-Viewer"


class Entrance(Protocol):
    """A load balancer that passes `/api/*` on, and that only CloudFront can use."""

    def origin(self, scope: Construct) -> cloudfront.IOrigin:
        """Return the origin for `/api/*`; the resources that it needs are made in `scope`."""

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The load balancer's security group, which alone the tasks admit."""

    @property
    def load_balancer_full_name(self) -> str:
        """`app/NAME/ID`, the dimension `LoadBalancer` of its metrics."""

    def serve(self, target_group: elbv2.ApplicationTargetGroup) -> None:
        """Pass requests under `/api/` on to `target_group`."""
