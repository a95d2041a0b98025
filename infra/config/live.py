"""Live captions in an environment: the page and the service behind one address."""

from __future__ import annotations

from infra.config.domain import Domain
from infra.config.load_balancers import LoadBalancer
from infra.config.parts import ConfigPart
from infra.config.service import ServiceConfig


class LiveConfig(ConfigPart):
    """Live captions: the page and the service behind one address."""

    load_balancer: LoadBalancer
    service: ServiceConfig
    domain: Domain | None = None
    #: Keep CloudFront's access log in a bucket.
    access_logs: bool = False
