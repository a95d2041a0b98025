"""The stacks of an environment, and the capabilities in each.

    data  <- network <- live <- web
      ^         ^--- gpu <-.
      '--- functions ------'         operations refers to all of them, delivery to data and gpu

With accounts, `data` also has the people and their rights, and `web` their API: CloudFront needs
the API, the clients of the sign-in need CloudFront's address, and the API's function the clients.

Stacks with data are apart from stacks that can be made again. The embedded emulator gets `data` and
`functions` only, unchanged. This module alone composes capabilities; they do not know each other's
stacks.

The capabilities that the emulator lacks are imported where they are made: with them, the first
`make demo` compiles twice as much of the CDK, which takes two seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aws_cdk as cdk

from infra.common.artifacts import Artifacts
from infra.common.functions import FunctionSettings, make_layer
from infra.common.outputs import add_output, add_outputs
from infra.config.access import OidcConfig, OpenConfig, origin_of
from infra.config.deployable import explain_administrator, explain_load_balancer
from infra.config.environment import Environment
from infra.config.live import LiveConfig
from infra.config.load_balancers import NoLoadBalancer, SharedLoadBalancer
from infra.config.service import list_speech_services
from infra.conversations.processor import TranscriptProcessor
from infra.conversations.store import ConversationStore
from infra.recordings.access import allow_people
from infra.recordings.flow import RecordingFlow
from infra.recordings.store import RecordingStore
from infra.recordings.target import TranscriptionTarget

if TYPE_CHECKING:
    from infra.access.api import AccountsApi
    from infra.access.people import People
    from infra.access.store import AccessStore
    from infra.gpu.server import GpuServer
    from infra.live.entrances import Entrance
    from infra.live.machine_service import MachineService
    from infra.live.service import CaptionService
    from infra.network.interface import EnvironmentNetwork
    from infra.web.website import Website

PROJECT = "cloudscribe"


class EnvironmentStack(cdk.Stack):
    """A stack of an environment, with its name, tags and protection."""

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
        """The zones by name; a lookup from AWS would need credentials at synth."""
        return self._zones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accounts:
    """What an environment has of accounts before it has a page.

    Attributes:
        store: the table of rights.
        source: the pool where people sign in, or the issuer of yours.
        concurrency: the most invocations of the API's function at once.
    """

    store: AccessStore
    source: People | OidcConfig
    concurrency: int | None

    @property
    def token_origin(self) -> str:
        """Where the page gets access tokens: the only address of the issuer that it calls."""
        if isinstance(self.source, OidcConfig):
            return origin_of(self.source.token_endpoint)
        return self.source.domain.base_url()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    """Makes one environment's stacks, in the order of their dependencies."""

    app: cdk.App
    environment: Environment
    artifacts: Artifacts

    @property
    def namespace(self) -> str:
        """The namespace of the environment's own metrics."""
        return f"Cloudscribe/{self.environment.name}"

    def make_stack(self, part: str, purpose: str) -> EnvironmentStack:
        return EnvironmentStack(self.app, self.environment, part, purpose)

    def make_all(self) -> None:
        environment = self.environment
        data = self.make_stack("data", "what is kept")
        conversations = ConversationStore(data, "Conversations", data=environment.data)
        recordings = RecordingStore(
            data,
            "Recordings",
            data=environment.data,
            page_origins=_find_page_origins(environment),
        )
        add_output(data, "DataProtected", str(environment.data.protected).lower())
        accounts = self.make_accounts(data)
        network = self.make_network(environment.live, data) if environment.live else None
        gpu = None
        if environment.gpu and network:
            from infra.gpu.server import GpuServer

            stack = self.make_stack("gpu", "transcription on GPUs")
            gpu = GpuServer(
                stack, "GpuServer", gpu=environment.gpu, network=network, store=recordings
            )
            add_outputs(
                stack,
                GpuCluster=gpu.cluster.cluster_name,
                GpuService=gpu.service.service_name,
            )
        processor, flow = self.make_functions(conversations, recordings, _to_target(gpu))
        captions = website = api = None
        if environment.live and network:
            captions = self.make_live(environment.live, network, conversations, accounts)
            website, api = self.make_website(environment.live, captions, accounts, recordings)
        if environment.operations:
            from infra.live.machine_service import MachineService
            from infra.live.service import CaptionService
            from infra.operations.alarms import LossAlarms
            from infra.operations.budgets import Budgets
            from infra.operations.dashboards import Dashboards
            from infra.operations.notices import Notices
            from infra.operations.watched import Watched

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
                api=api,
                namespace=self.namespace,
            )
            operations = self.make_stack("operations", "alarms, dashboards, budget")
            _refer_weakly(operations)
            LossAlarms(operations, "Alarms", watched=watched, notices=notices)
            Dashboards(operations, "Dashboards", watched=watched)
            Budgets(
                operations,
                "Budget",
                operations=environment.operations,
                services=list_speech_services(environment.live.service) if environment.live else (),
                notices=notices,
                environment_name=environment.name,
            )
        if environment.delivery:
            from infra.delivery.roles import PipelineRoles

            delivery = self.make_stack("delivery", "roles of the pipelines")
            _refer_weakly(delivery)
            PipelineRoles(
                delivery,
                "Pipelines",
                delivery=environment.delivery,
                environment_name=environment.name,
                store=recordings,
                smoke_key=accounts.store.smoke_key if accounts else None,
                gpu_service_arn=gpu.service.service_arn if gpu else None,
            )

    def make_accounts(self, data: EnvironmentStack) -> _Accounts | None:
        """Make the table of rights and the user pool; None where nobody signs in."""
        environment = self.environment
        chosen = environment.access
        if isinstance(chosen, OpenConfig):
            if environment.live:
                cdk.Annotations.of(data).add_info_v2(
                    "cloudscribe:open",
                    f"{environment.name}: EVERYBODY who knows the address of the page can listen, "
                    "speak and spend (access.everyone_may_spend). `make cost` says how much at "
                    "most; docs/access.md how to give people accounts.",
                )
            return None
        from infra.access.people import People
        from infra.access.store import AccessStore

        store = AccessStore(
            data,
            "Access",
            data=environment.data,
            parameters=f"/{PROJECT}/{environment.name}",
        )
        source: People | OidcConfig
        if isinstance(chosen, OidcConfig):
            source = chosen
        else:
            if missing := explain_administrator(environment):
                cdk.Annotations.of(data).add_warning_v2("cloudscribe:no-administrator", missing)
            domain = environment.live.domain if environment.live else None
            source = People(
                data,
                "People",
                access=chosen,
                data=environment.data,
                page=f"https://{domain.name}" if domain else None,
            )
        return _Accounts(store=store, source=source, concurrency=chosen.api_concurrency)

    def make_functions(
        self,
        conversations: ConversationStore,
        recordings: RecordingStore,
        target: TranscriptionTarget | None,
    ) -> tuple[TranscriptProcessor, RecordingFlow]:
        stack = self.make_stack("functions", "what happens to messages and recordings")
        settings = self.make_function_settings(stack)
        processor = TranscriptProcessor(
            stack,
            "TranscriptProcessor",
            settings=settings,
            store=conversations,
            utterance_days=self.environment.data.utterance_days,
        )
        flow = RecordingFlow(
            stack, "RecordingFlow", settings=settings, store=recordings, target=target
        )
        return processor, flow

    def make_function_settings(self, stack: EnvironmentStack) -> FunctionSettings:
        """Return the settings of a stack's functions, with a layer of the stack's own.

        A layer of another stack could not be updated: its version would be in use there.
        """
        chosen = self.environment.functions
        return FunctionSettings(
            functions=chosen,
            artifacts=self.artifacts,
            namespace=self.namespace,
            layer=make_layer(stack, chosen, self.artifacts),
        )

    def make_network(self, live: LiveConfig, data: EnvironmentStack) -> EnvironmentNetwork:
        from infra.network.own import OwnNetwork
        from infra.network.shared import SharedNetwork

        if isinstance(live.load_balancer, SharedLoadBalancer):
            # A reference only: it adds no resource to the stack.
            return SharedNetwork(data, "SharedNetwork", load_balancer=live.load_balancer)
        stack = self.make_stack("network", "the network of its own")
        return OwnNetwork(stack, "Network", network=live.load_balancer.network)

    def make_live(
        self,
        live: LiveConfig,
        network: EnvironmentNetwork,
        conversations: ConversationStore,
        accounts: _Accounts | None,
    ) -> CaptionService | MachineService:
        from infra.live.dedicated_entrance import DedicatedEntrance
        from infra.live.machine_service import MachineService
        from infra.live.service import CaptionService
        from infra.live.shared_entrance import SharedEntrance

        stack = self.make_stack("live", "live captions")
        access = accounts.store if accounts else None
        if isinstance(live.load_balancer, NoLoadBalancer):
            return MachineService(
                stack,
                "CaptionService",
                chosen=live.load_balancer,
                service=live.service,
                network=network,
                store=conversations,
                namespace=self.namespace,
                access=access,
            )
        entrance: Entrance
        if isinstance(live.load_balancer, SharedLoadBalancer):
            if missing := explain_load_balancer(self.environment):
                cdk.Annotations.of(stack).add_warning_v2(
                    "cloudscribe:example-load-balancer", missing
                )
            entrance = SharedEntrance(stack, "Entrance", load_balancer=live.load_balancer)
        else:
            entrance = DedicatedEntrance(
                stack,
                "Entrance",
                load_balancer=live.load_balancer,
                network=network,
                domain=live.domain,
                # Not with the data's protection: a deletion must not fail half way.
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
            access=access,
        )

    def make_website(
        self,
        live: LiveConfig,
        captions: CaptionService | MachineService,
        accounts: _Accounts | None,
        recordings: RecordingStore,
    ) -> tuple[Website, AccountsApi | None]:
        from infra.web.website import AccountsOrigin, Website

        stack = self.make_stack("web", "the page")

        def make_page(origin: AccountsOrigin | None) -> Website:
            return Website(
                stack,
                "Website",
                page=self.artifacts.website(),
                entrance=captions.entrance,
                domain=live.domain,
                access_logs=live.access_logs,
                protected=self.environment.data.protected,
                accounts=origin,
            )

        if accounts is None:
            return make_page(None), None
        from infra.access.api import AccountsApi
        from infra.access.clients import Clients
        from infra.access.entrance import ApiEntrance
        from infra.access.sign_in import at_issuer, at_user_pool

        entrance = ApiEntrance(stack, "ApiEntrance", log_days=self.environment.functions.log_days)
        website = make_page(AccountsOrigin(entrance, accounts.token_origin))
        if isinstance(accounts.source, OidcConfig):
            sign_in, pool = at_issuer(accounts.source), None
        else:
            pool = accounts.source
            sign_in = at_user_pool(
                pool, Clients(stack, "Clients", pool=pool.pool, page=website.url)
            )
        website.describe_access(
            sign_in.access.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        api = AccountsApi(
            stack,
            "AccountsApi",
            settings=self.make_function_settings(stack),
            entrance=entrance,
            store=accounts.store,
            recordings_bucket=recordings.bucket.bucket_name,
            recording_days=recordings.days,
            sign_in=sign_in,
            people=pool,
            concurrency=accounts.concurrency,
        )
        allow_people(api.role, recordings)
        return website, api


def _find_page_origins(environment: Environment) -> list[str]:
    """Return where people upload from: the page's address, in an environment with accounts.

    Without a domain the address is one of CloudFront's, which is known only when the bucket exists.
    """
    live = environment.live
    if live is None or isinstance(environment.access, OpenConfig):
        return []
    return [f"https://{live.domain.name}" if live.domain else "https://*.cloudfront.net"]


def _to_target(gpu: GpuServer | None) -> TranscriptionTarget | None:
    """Return what the flow of recordings needs to know of the GPU server."""
    if gpu is None:
        return None
    return TranscriptionTarget(
        config=gpu.config,
        url=gpu.url,
        token=gpu.token,
        router_placement=gpu.router_placement,
        cluster_name=gpu.cluster.cluster_name,
        service_name=gpu.service.service_name,
        service_arn=gpu.service.service_arn,
    )


def _refer_weakly(stack: cdk.Stack) -> None:
    """Make a stack that only observes others refer to them weakly.

    A strong reference from an alarm or a policy would prevent the replacement of a resource.
    """
    stack.node.set_context("@aws-cdk/core:defaultCrossStackReferences", "weak")


def provision(app: cdk.App, environment: Environment, artifacts: Artifacts | None = None) -> None:
    """Add an environment's stacks to the app.

    Raises:
        MissingArtifact: something was not built.
    """
    _Builder(app=app, environment=environment, artifacts=artifacts or Artifacts()).make_all()
