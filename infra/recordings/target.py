"""The server that transcribes recordings, as the flow of recordings sees it."""

from __future__ import annotations

from dataclasses import dataclass

from infra.common.functions import VpcPlacement
from infra.config.gpu import GpuConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionTarget:
    """A server for recordings. `infra.stacks` fills it in from the GPU server's construct."""

    #: The environment's settings: capacity, schedule and assumed speed.
    config: GpuConfig
    #: The URL to which the router posts, such as `http://transcriber.NAMESPACE:8000`.
    url: str
    #: The shared secret, as a reference that CloudFormation resolves.
    token: str
    #: The placement in which the router can reach `url`.
    router_placement: VpcPlacement
    #: The ECS service whose desired count the batch worker sets.
    cluster_name: str
    service_name: str
    service_arn: str
