"""The task of the caption service, on Fargate or a machine: container, image and rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aws_cdk import Duration, IgnoreMode, RemovalPolicy, Size, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.access.store import AccessStore
from infra.aws.log_retention import RETENTION
from infra.common.artifacts import ROOT
from infra.common.images import LICENCE_FILES, refer_to_image
from infra.common.nag import accept, accept_registry_login
from infra.config.service import MACHINE_MEMORY_MIB, ServiceConfig
from infra.conversations.store import ConversationStore
from infra.live import language_services
from infra.live.entrances import VIEWER_HEADER
from transcripts.streams.store import DUE_INDEX

PORT = 8080
#: The image's own user, who owns the folders below.
USER = "10001:10001"
#: The folder of the outbox, which holds finals until the table has them. Like `/tmp` it is a
#: volume that the image assigns to its user (`VOLUME`). All else in the container is read-only.
OUTBOX_FOLDER = "/var/lib/cloudscribe"
WRITABLE = {"tmp": "/tmp", "outbox": OUTBOX_FOLDER}  # noqa: S108 - of the container alone
#: Time to load the models, also on a quarter of a vCPU.
START = Duration.minutes(2)
#: The same on a machine without CPU credits; the most that ECS allows.
START_ON_MACHINE = Duration.minutes(5)
#: Memory that a machine reserves for the task, and the task's share of its two vCPUs under load.
#: The machine has some 420 MiB, of which the system takes a third.
MACHINE_RESERVATION_MIB, MACHINE_CPU = 192, 1024
#: Partitions of the table of rights (`access.store`): of public keys, and of used tickets.
PUBLIC_KEYS: Final = "ticketKeys"
USED_TICKETS: Final = "ticket#"
#: The folders that ecs_service/Dockerfile copies. The rest of the tree does not affect the image.
IMAGE_SOURCES = ("access", "ecs_service", "foundation", "speech", "transcripts", "translation")


class CaptionTask(Construct):
    """The definition of the task.

    The container's health check asks whether the process answers, not whether it has a free slot.
    A process that dies is restarted in the same task, where the outbox still is.

    Attributes:
        definition: the task definition.
        log_group: the container's log.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: ServiceConfig,
        store: ConversationStore,
        namespace: str,
        edge_secret: ecs.Secret | None = None,
        access: AccessStore | None = None,
    ) -> None:
        """Define the task; its metrics get into `namespace`.

        With `edge_secret`, which the service then requires of callers, the task is for a machine;
        without it, for Fargate. With `access` the service requires tickets, and reads rights from
        that table.
        """
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self,
            "Logs",
            retention=RETENTION[service.log_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        machine = edge_secret is not None
        self.definition = _for_machine(self) if machine else _for_fargate(self, service)
        container = self.definition.add_container(
            "Service",
            image=_image(self, service),
            port_mappings=[
                ecs.PortMapping(container_port=PORT, host_port=PORT if machine else None)
            ],
            cpu=MACHINE_CPU if machine else None,
            memory_reservation_mib=MACHINE_RESERVATION_MIB if machine else None,
            memory_limit_mib=MACHINE_MEMORY_MIB if machine else None,
            environment=self._settings(service, store, namespace, access),
            secrets={"EDGE_SECRET": edge_secret} if edge_secret else None,
            # A log that cannot keep up loses lines and does not block the event loop.
            logging=ecs.LogDrivers.aws_logs(
                log_group=self.log_group,
                stream_prefix="service",
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=Size.mebibytes(4),
            ),
            health_check=ecs.HealthCheck(
                command=["CMD", "python", "-m", "ecs_service.healthcheck"],
                interval=Duration.seconds(30),
                timeout=Duration.seconds(10),
                retries=3,
                start_period=START_ON_MACHINE if machine else START,
            ),
            user=USER,
            readonly_root_filesystem=True,
            stop_timeout=Duration.seconds(service.stop_seconds),
            # As process 1 the service would ignore SIGTERM until it serves, and would have to reap
            # the workers of a fork server that died.
            linux_parameters=ecs.LinuxParameters(self, "Linux", init_process_enabled=True),
            enable_restart_policy=True,
            restart_ignored_exit_codes=[0],
        )
        for name, path in WRITABLE.items():
            container.add_mount_points(
                ecs.MountPoint(source_volume=name, container_path=path, read_only=False)
            )
        self._allow(service, store, access)
        self._accept_findings(service)

    def _settings(
        self,
        service: ServiceConfig,
        store: ConversationStore,
        namespace: str,
        access: AccessStore | None,
    ) -> dict[str, str]:
        """Return the environment variables, which `ecs_service.settings` describes."""
        region = Stack.of(self).region
        optional = {
            "SLOTS": service.task_slots,
            "MAX_STREAM_SECONDS": service.max_stream_seconds,
            "MAX_VIEWERS_PER_CONVERSATION": service.viewers_per_conversation,
        }
        return {
            "HOST": "0.0.0.0",
            "PORT": str(PORT),
            **language_services.settings(service, region),
            "QUEUE_URL": store.queue.queue_url,
            "TABLE_NAME": store.table.table_name,
            "STREAMS_TABLE": store.streams.table_name,
            "OUTBOX_PATH": f"{OUTBOX_FOLDER}/outbox.db",
            "DRAIN_SECONDS": str(service.drain_seconds),
            "MAX_VIEWERS": str(service.task_viewers),
            "VIEWER_ADDRESS_HEADER": VIEWER_HEADER,
            "METRICS_NAMESPACE": namespace,
            **({"ACCESS_TABLE": access.table.table_name} if access else {}),
            "AWS_DEFAULT_REGION": region,
            **{name: f"{value:g}" for name, value in optional.items() if value is not None},
        }

    def _allow(
        self, service: ServiceConfig, store: ConversationStore, access: AccessStore | None
    ) -> None:
        """Let the service send finals, use the tables, and call the chosen language services.

        The CDK's grants would also let it read the queue's settings.
        """
        for actions, resource in (
            ("sqs:SendMessage", store.queue.queue_arn),
            ("dynamodb:Query", store.table.table_arn),
            ("dynamodb:BatchGetItem", store.table.table_arn),
            # Where the queue takes no finals, the service stores them itself.
            ("dynamodb:PutItem", store.table.table_arn),
            ("dynamodb:PutItem", store.streams.table_arn),
            ("dynamodb:UpdateItem", store.streams.table_arn),
            ("dynamodb:Query", f"{store.streams.table_arn}/index/{DUE_INDEX}"),
        ):
            self.definition.add_to_task_role_policy(
                iam.PolicyStatement(actions=[actions], resources=[resource])
            )
        for right in language_services.rights(service, Stack.of(self).region):
            self.definition.add_to_task_role_policy(right)
        for right in _access_rights(access) if access else ():
            self.definition.add_to_task_role_policy(right)

    def _accept_findings(self, service: ServiceConfig) -> None:
        accept(
            self.definition,
            "AwsSolutions-ECS2",
            "What is given to the container are addresses and numbers; "
            "no secret is among them, but on a machine a reference to one.",
        )
        if any(language_services.rights(service, Stack.of(self).region)):
            accept(
                self.definition.task_role,
                "AwsSolutions-IAM5[Resource::*]",
                "Streams of Transcribe and translations of "
                "Translate, and detections of Comprehend, are about no resource; the rights "
                "are for one region.",
            )
        if role := self.definition.execution_role:
            accept_registry_login(role)


def _access_rights(access: AccessStore) -> Iterator[iam.PolicyStatement]:
    """Yield the rights to read records and public keys, and to note that a ticket was used.

    The service cannot change a right, and lists nothing but public keys.
    """
    yield iam.PolicyStatement(actions=["dynamodb:BatchGetItem"], resources=[access.table.table_arn])
    for action, partitions in (
        ("dynamodb:Query", PUBLIC_KEYS),
        ("dynamodb:PutItem", f"{USED_TICKETS}*"),
    ):
        yield iam.PolicyStatement(
            actions=[action],
            resources=[access.table.table_arn],
            # `ForAllValues` alone is true where a request names no key.
            conditions={
                "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [partitions]},
                "Null": {"dynamodb:LeadingKeys": "false"},
            },
        )


def _for_fargate(scope: Construct, service: ServiceConfig) -> ecs.TaskDefinition:
    return ecs.FargateTaskDefinition(
        scope,
        "Definition",
        cpu=service.cpu,
        memory_limit_mib=service.memory_mib,
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=ecs.CpuArchitecture.ARM64,
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        ),
        volumes=[ecs.Volume(name=name) for name in WRITABLE],
    )


def _for_machine(scope: Construct) -> ecs.TaskDefinition:
    """Return a definition whose outbox is the machine's folder of the same name.

    On a bridge network, from which a machine's metadata cannot be reached; see
    `infra.live.machine`.
    """
    return ecs.Ec2TaskDefinition(
        scope,
        "Definition",
        network_mode=ecs.NetworkMode.BRIDGE,
        volumes=[
            ecs.Volume(
                name="tmp",
                docker_volume_configuration=ecs.DockerVolumeConfiguration(
                    scope=ecs.Scope.TASK, driver="local"
                ),
            ),
            ecs.Volume(name="outbox", host=ecs.Host(source_path=OUTBOX_FOLDER)),
        ],
    )


def _image(scope: Construct, service: ServiceConfig) -> ecs.ContainerImage:
    """Return the named image, or the one that a deployment builds from this tree."""
    if service.image is not None:
        return refer_to_image(scope, service.image)
    return ecs.ContainerImage.from_asset(
        str(ROOT),
        file="ecs_service/Dockerfile",
        platform=ecr_assets.Platform.LINUX_ARM64,
        ignore_mode=IgnoreMode.DOCKER,
        exclude=[
            "*",
            *(f"!{name}" for name in (*IMAGE_SOURCES, *LICENCE_FILES)),
            "**/__pycache__",
            "**/*.pyc",
        ],
        display_name="Cloudscribe's WebSocket service",
    )
