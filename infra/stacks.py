"""Which capability stands in which stack.

    data  <- network <- live <- web
      ^         ^--- gpu <-.
      '--- functions ------'         operations looks at all of them, delivery at data and gpu

What holds data stands apart from what can be made again. `data` and `functions` are all that
the embedded emulator gets, unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk

from infra.common.artifacts import Artifacts
from infra.common.functions import FunctionSettings, dependencies
from infra.common.queues import publish
from infra.config.environment import (
    Environment,
    Live,
    NoLoadBalancer,
    SharedLoadBalancer,
    speech_services,
)
from infra.conversations.store import ConversationStore, TranscriptProcessor
from infra.delivery.roles import PipelineRoles
from infra.gpu.server import GpuServer
from infra.live.entrances import DedicatedEntrance, Entrance, SharedEntrance
from infra.live.machine_service import MachineService
from infra.live.service import CaptionService
from infra.network.own import Network, OwnNetwork, SharedNetwork
from infra.operations.alarms import LossAlarms
from infra.operations.dashboards import Dashboards
from infra.operations.notices import Budgets, Notices
from infra.operations.watched import Watched
from infra.recordings.flow import RecordingFlow, RecordingStore
from infra.web.website import Website

PROJECT = "cloudscribe"
#: The account of AWS's own examples.
EXAMPLE_ACCOUNT = "111111111111"


class EnvironmentStack(cdk.Stack):
    """A stack of an environment: named, tagged and protected alike."""

    def __init__(self, app: cdk.App, environment: Environment, part: str, purpose: str) -> None:
        """Make the stack `cloudscribe-ENVIRONMENT-PART`."""
        self._zones = [f"{environment.region}{letter}" for letter in "abc"]
        if environment.live and environment.live.load_balancer.kind == "shared":
            self._zones = list(environment.live.load_balancer.availability_zones)
        super().__init__(
            app,
            f"{PROJECT}-{environment.name}-{part}",
            description=f"Cloudscribe {environment.name}: {purpose}",
            env=cdk.Environment(region=environment.region),
            termination_protection=environment.termination_protection,
            tags={"application": PROJECT, "environment": environment.name, **environment.tags},
        )

    @property
    def availability_zones(self) -> list[str]:
        """The zones by name: asking AWS for them would take credentials at synth."""
        return self._zones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    """One environment's stacks, in the order in which they depend on each other."""

    app: cdk.App
    environment: Environment
    artifacts: Artifacts

    @property
    def namespace(self) -> str:
        """The namespace of the environment's own metrics."""
        return f"Cloudscribe/{self.environment.name}"

    def stack(self, part: str, purpose: str) -> EnvironmentStack:
        return EnvironmentStack(self.app, self.environment, part, purpose)

    def everything(self) -> None:
        environment = self.environment
        data = self.stack("data", "what is kept")
        conversations = ConversationStore(data, "Conversations", data=environment.data)
        recordings = RecordingStore(data, "Recordings", data=environment.data)
        publish(data, DataProtected=str(environment.data.protected).lower())
        network = self.network(environment.live, data) if environment.live else None
        gpu = None
        if environment.gpu and network:
            stack = self.stack("gpu", "transcription on GPUs")
            gpu = GpuServer(
                stack, "GpuServer", gpu=environment.gpu, network=network, store=recordings
            )
            publish(stack, GpuCluster=gpu.cluster.cluster_name, GpuService=gpu.service.service_name)
        processor, flow = self.functions(conversations, recordings, gpu)
        captions = website = None
        if environment.live and network:
            captions = self.live(environment.live, network, conversations)
            website = self.website(environment.live, captions)
        if environment.operations:
            notices = Notices(data, "Notices", email=environment.operations.alarm_email)
            watched = Watched(
                conversations=conversations,
                recordings=recordings,
                processor=processor,
                flow=flow,
                captions=captions if isinstance(captions, CaptionService) else None,
                machine=captions if isinstance(captions, MachineService) else None,
                website=website,
                gpu=gpu,
                namespace=self.namespace,
            )
            operations = self.stack("operations", "alarms, dashboards, budget")
            _refer_weakly(operations)
            LossAlarms(operations, "Alarms", watched=watched, notices=notices)
            Dashboards(operations, "Dashboards", watched=watched)
            Budgets(
                operations,
                "Budget",
                operations=environment.operations,
                services=speech_services(environment.live.service) if environment.live else (),
                notices=notices,
                environment_name=environment.name,
            )
        if environment.delivery:
            delivery = self.stack("delivery", "roles of the pipelines")
            _refer_weakly(delivery)
            PipelineRoles(
                delivery,
                "Pipelines",
                delivery=environment.delivery,
                environment_name=environment.name,
                store=recordings,
                gpu=gpu,
            )

    def functions(
        self, conversations: ConversationStore, recordings: RecordingStore, gpu: GpuServer | None
    ) -> tuple[TranscriptProcessor, RecordingFlow]:
        chosen = self.environment.functions
        stack = self.stack("functions", "what happens to messages and recordings")
        settings = FunctionSettings(
            functions=chosen,
            artifacts=self.artifacts,
            namespace=self.namespace,
            layer=dependencies(stack, chosen, self.artifacts),
        )
        processor = TranscriptProcessor(
            stack,
            "TranscriptProcessor",
            settings=settings,
            store=conversations,
            utterance_days=self.environment.data.utterance_days,
        )
        flow = RecordingFlow(stack, "RecordingFlow", settings=settings, store=recordings, gpu=gpu)
        return processor, flow

    def network(self, live: Live, data: EnvironmentStack) -> Network:
        if isinstance(live.load_balancer, SharedLoadBalancer):
            # A reference only: the stack in which it is made gets nothing from it.
            return SharedNetwork(data, "SharedNetwork", load_balancer=live.load_balancer)
        stack = self.stack("network", "the network of its own")
        return OwnNetwork(stack, "Network", network=live.load_balancer.network)

    def live(
        self, live: Live, network: Network, conversations: ConversationStore
    ) -> CaptionService | MachineService:
        stack = self.stack("live", "live captions")
        if isinstance(live.load_balancer, NoLoadBalancer):
            return MachineService(
                stack,
                "CaptionService",
                chosen=live.load_balancer,
                service=live.service,
                network=network,
                store=conversations,
                namespace=self.namespace,
            )
        entrance: Entrance
        if isinstance(live.load_balancer, SharedLoadBalancer):
            if live.load_balancer.account == EXAMPLE_ACCOUNT:
                cdk.Annotations.of(stack).add_warning_v2(
                    "cloudscribe:example-load-balancer",
                    f"{self.environment.name}: the load balancer of app.py stands for one of yours "
                    "and cannot be deployed to. Name yours in cdk.context.json, or choose a "
                    "dedicated one; docs/deploy.md says how. In an empty account deploy solo.",
                )
            entrance = SharedEntrance(stack, "Entrance", load_balancer=live.load_balancer)
        else:
            entrance = DedicatedEntrance(
                stack,
                "Entrance",
                load_balancer=live.load_balancer,
                network=network,
                domain=live.domain,
                # Not with the data: what may be deleted must not refuse to be half way.
                protected=self.environment.termination_protection,
            )
        return CaptionService(
            stack,
            "CaptionService",
            service=live.service,
            network=network,
            entrance=entrance,
            store=conversations,
            namespace=self.namespace,
        )

    def website(self, live: Live, captions: CaptionService | MachineService) -> Website:
        return Website(
            self.stack("web", "the page"),
            "Website",
            page=self.artifacts.website(),
            entrance=captions.entrance,
            domain=live.domain,
            access_logs=live.access_logs,
            protected=self.environment.data.protected,
        )


def _refer_weakly(stack: cdk.Stack) -> None:
    """Have a stack that only looks at others keep none of them from being replaced.

    A strong reference would forbid it as long as an alarm or a policy names the thing as it was.
    """
    stack.node.set_context("@aws-cdk/core:defaultCrossStackReferences", "weak")


def provision(app: cdk.App, environment: Environment, artifacts: Artifacts | None = None) -> None:
    """Add an environment's stacks to the app.

    Raises:
        MissingArtifact: something was not built.
    """
    _Builder(app=app, environment=environment, artifacts=artifacts or Artifacts()).everything()
