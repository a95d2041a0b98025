"""What operations look at: every capability of an environment, as it was built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # alarms and dashboards need these to be of a shape, not to be there
    from infra.conversations.store import ConversationStore, TranscriptProcessor
    from infra.gpu.server import GpuServer
    from infra.live.machine_service import MachineService
    from infra.live.service import CaptionService
    from infra.recordings.flow import RecordingFlow, RecordingStore
    from infra.web.website import Website


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The capabilities of one environment; None for those that it does not have."""

    conversations: ConversationStore
    recordings: RecordingStore
    processor: TranscriptProcessor
    flow: RecordingFlow
    captions: CaptionService | None
    #: The same on a machine, without a load balancer; an environment has at most one of the two.
    machine: MachineService | None = None
    website: Website | None
    gpu: GpuServer | None
    #: Namespace of the environment's own metrics in CloudWatch.
    namespace: str
