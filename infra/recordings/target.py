"""What the flow of recordings needs to know of the server that transcribes them."""

from __future__ import annotations

from dataclasses import dataclass

from infra.common.functions import VpcPlacement
from infra.config.gpu import GpuConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionTarget:
    """A server for recordings. `infra.stacks` fills it in from the GPU server's construct."""

    #: What the environment chose: capacity, schedule and assumed speed.
    config: GpuConfig
    #: Where the router posts a recording, such as `http://transcriber.NAMESPACE:8000`.
    url: str
    #: The shared secret, as a reference that CloudFormation resolves.
    token: str
    #: Where the router has to run to reach `url`.
    router_placement: VpcPlacement
    #: The ECS service whose desired count the batch worker sets.
    cluster_name: str
    service_name: str
    service_arn: str
