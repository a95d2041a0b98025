"""The constructs of an environment that alarms and dashboards observe."""

from __future__ import annotations

from dataclasses import dataclass

from infra.access.api import AccountsApi
from infra.conversations.processor import TranscriptProcessor
from infra.conversations.store import ConversationStore
from infra.gpu.server import GpuServer
from infra.live.machine_service import MachineService
from infra.live.service import CaptionService
from infra.recordings.flow import RecordingFlow
from infra.recordings.store import RecordingStore
from infra.web.website import Website


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The capabilities of one environment; None for one that it lacks."""

    conversations: ConversationStore
    recordings: RecordingStore
    processor: TranscriptProcessor
    flow: RecordingFlow
    captions: CaptionService | None
    #: The caption service on a machine; an environment has at most one of the two.
    machine: MachineService | None = None
    website: Website | None
    gpu: GpuServer | None
    api: AccountsApi | None = None
    #: Namespace of the environment's own metrics in CloudWatch.
    namespace: str
