"""The GPU server: it transcribes recordings, and costs nothing while there are none.

    router --HTTP:8000--> task (one per machine) <--polls-- jobs (infra.recordings)
                            '-- reads audio, writes transcripts: S3

**Number of tasks.** The service's desired count controls everything: the batch worker sets it, and
ECS starts and stops machines to match (`infra.gpu.machines`). The template sets it to 0. Without a
number CloudFormation would start one task, and a first deployment would wait for a GPU that the
account may not even have a quota for. A deployment keeps the running number unless it changes the
server itself (image, settings, network). In that case all tasks have to be replaced. No machine has
a second GPU for a new task beside the old one, so the number goes to 0, and the deployment neither
waits for Spot capacity nor fails without it. At its next check the batch worker raises the number
for waiting jobs or a scheduled warm machine. A busy task protects itself from being stopped, for
minutes at a time (`gpu_server.host.protection`). A job that is interrupted all the same becomes
visible in the queue again.

**Access.** Tasks have no public address, and their security group admits the router's group only.
Callers also need a secret. Secrets Manager generates it ($0.40 a month), ECS passes it to the
container, and CloudFormation to the router, because from inside the network Secrets Manager is only
reachable through an endpoint, for $7.30 a month and zone. In return, whoever may read the router's
configuration may read the secret. Router and server speak HTTP inside the network, not TLS.
Requests carry the key of an object, no audio.

To change the secret, change `SECRET_FIELD` and deploy, as in `infra.live.shared_entrance`. The
server refuses a router that still sends the old secret; that router queues its recordings until it
is deployed, too.

**AWS from inside the network.** Tasks on machines, and functions, have no public address. They
reach S3 through the network's gateway, and SQS through an endpoint for $7.30 a month and zone. The
endpoint's private name applies to the whole network, so the caption service sends its finals
through it, too. The endpoint therefore admits everything in the network, but only for queues of
this account.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_servicediscovery as servicediscovery
from constructs import Construct

from infra.aws.log_retention import RETENTION
from infra.common.ecs_agent import with_machines
from infra.common.functions import VpcPlacement
from infra.common.generated_secrets import make_secret, refer_to_field
from infra.common.nag import accept, accept_registry_login, shown_id
from infra.config.gpu import GpuConfig
from infra.gpu.image import choose_image
from infra.gpu.machines import GpuMachines
from infra.network.interface import EnvironmentNetwork
from infra.recordings import access
from infra.recordings.store import RecordingStore

PORT: Final = 8000
NAME: Final = "transcriber"
#: MiB. The smallest machines have 16 GiB, of which the system and ECS's agent need some.
MEMORY: Final = 12_288
#: Loading a model takes minutes. After this long ECS counts failed health checks.
START: Final = Duration.minutes(5)
#: Time from Spot's notice to the end of the machine.
STOP: Final = Duration.minutes(2)

#: The field of the secret that holds the value. Another name makes another value.
SECRET_FIELD: Final = "value1"  # noqa: S105 - the field's name, not its value


class GpuServer(Construct):
    """The GPU server. See the module.

    Attributes:
        config: what the environment chose.
        url: where the router reaches a running task: `http://transcriber.NAMESPACE:8000`.
        cluster: the ECS cluster, with nothing else in it.
        service: the ECS service; its desired count is the number of tasks and of machines.
        auto_scaling_group: the machines.
        security_group: the tasks'.
        router_placement: where the router has to run to reach it.
        token: the secret that callers send, as a reference that CloudFormation resolves.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        gpu: GpuConfig,
        network: EnvironmentNetwork,
        store: RecordingStore,
    ) -> None:
        """Make a server for the recordings of `store`.

        Raises:
            MissingDockerfile: the image is to be built from a folder without a Dockerfile.
        """
        super().__init__(scope, construct_id)
        self.config = gpu
        self._network = network
        namespace = f"{Stack.of(self).stack_name}.internal".lower()
        self.url = f"http://{NAME}.{namespace}:{PORT}"
        self._secret = make_secret(
            self,
            field=SECRET_FIELD,
            description="By which the router is known to the GPU server",
            why_not_rotated="Router and tasks get the value when they are deployed, so a "
            "rotation would only part them; a deployment changes it.",
        )
        self.token = refer_to_field(self._secret, SECRET_FIELD)
        self.cluster = self._make_cluster(namespace)
        router_group = self._security_group("RouterSecurityGroup", "Router: to the GPU server")
        self.security_group = self._security_group(
            "SecurityGroup", "GPU server: from the router only"
        )
        self.security_group.connections.allow_from(
            router_group, ec2.Port.tcp(PORT), "Router to GPU server"
        )
        self.router_placement = VpcPlacement(
            vpc=network.vpc, subnets=network.inner_subnets, security_groups=[router_group]
        )
        machines = GpuMachines(self, "Machines", gpu=gpu, network=network, cluster=self.cluster)
        self.auto_scaling_group = machines.auto_scaling_group
        self.service = self._make_service(self._make_task(store), machines)
        self._make_queue_endpoint()

    def _make_cluster(self, namespace: str) -> ecs.Cluster:
        cluster = ecs.Cluster(self, "Cluster", vpc=self._network.vpc)
        cluster.add_default_cloud_map_namespace(
            name=namespace, type=servicediscovery.NamespaceType.DNS_PRIVATE
        )
        accept(
            cluster,
            "AwsSolutions-ECS4",
            "Container Insights is charged by the metric; alarms watch "
            "the queue and the numbers of tasks and machines.",
        )
        return cluster

    def _security_group(self, name: str, description: str) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self,
            name,
            vpc=self._network.vpc,
            description=description,
            allow_all_outbound=False,
        )
        group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.HTTPS, "S3 and SQS")
        return group

    def _make_task(self, store: RecordingStore) -> ecs.Ec2TaskDefinition:
        assert self.config.image  # noqa: S101 - an environment without one is refused
        task = ecs.Ec2TaskDefinition(self, "Task", network_mode=ecs.NetworkMode.AWS_VPC)
        task.add_container(
            NAME,
            image=choose_image(
                self,
                self.config.image,
                {
                    "TRANSCRIBER": self.config.transcriber,
                    "MODEL": self.config.baked_model,
                    "ALIGNMENT_LANGUAGES": " ".join(self.config.baked_languages),
                },
            ),
            gpu_count=1,
            memory_reservation_mib=MEMORY,
            port_mappings=[ecs.PortMapping(container_port=PORT)],
            environment={
                **self.config.settings,
                # SDKs otherwise ask the machine's metadata, which containers cannot reach.
                # botocore reads this name only.
                "AWS_DEFAULT_REGION": Stack.of(self).region,
                # Not `auto`: after any error of CUDA, CTranslate2 finds no GPU, and the machine
                # would continue as a slow and expensive CPU. With `cuda` the task ends, and an
                # alarm goes off (`infra.operations.alarms`, GpuMissing).
                "DEVICE": "cuda",
                "HOST": "0.0.0.0",
                "PORT": str(PORT),
                "QUEUE_URL": store.jobs.queue_url,
                "RECORDINGS_BUCKET": store.bucket.bucket_name,
            },
            secrets={
                "AUTH_TOKEN": ecs.Secret.from_secrets_manager(self._secret, SECRET_FIELD),
            },
            health_check=ecs.HealthCheck(
                command=["CMD", "python3", "-c", _HEALTH_CHECK],
                interval=Duration.seconds(15),
                timeout=Duration.seconds(10),
                retries=3,
                start_period=START,
            ),
            stop_timeout=STOP,
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=NAME,
                log_group=logs.LogGroup(
                    self,
                    "Logs",
                    retention=RETENTION[self.config.log_days],
                    removal_policy=RemovalPolicy.DESTROY,
                ),
            ),
        )
        self._grant(task.task_role, store)
        accept(
            task,
            "AwsSolutions-ECS2",
            "A region, addresses, and the names of a queue and a bucket; "
            "the secret is not among them, but a reference to Secrets Manager.",
        )
        accept_registry_login(task.obtain_execution_role())
        return task

    def _grant(self, role: iam.IRole, store: RecordingStore) -> None:
        access.allow(
            role,
            store,
            read=(*access.AUDIO, *access.OUTCOMES),
            write=access.OUTCOMES,
        )
        store.jobs.grant_consume_messages(role)
        self._let_protect_itself(role)

    def _let_protect_itself(self, role: iam.IRole) -> None:
        """Let a busy task make ECS stop other tasks before it."""
        stack = Stack.of(self)
        tasks = stack.format_arn(
            service="ecs", resource="task", resource_name=f"{self.cluster.cluster_name}/*"
        )
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["ecs:UpdateTaskProtection"], resources=[tasks])
        )
        accept(
            role,
            f"AwsSolutions-IAM5[Resource::arn:aws:ecs:{stack.region}:<AWS::AccountId>:"
            f"task/<{shown_id(self.cluster)}>/*]",
            "Tasks of this server's cluster, whose names are unknown until they start.",
        )

    def _make_service(self, task: ecs.Ec2TaskDefinition, machines: GpuMachines) -> ecs.Ec2Service:
        service = ecs.Ec2Service(
            self,
            "Service",
            cluster=with_machines(self.cluster, self, "ClusterWithMachines"),
            task_definition=task,
            desired_count=0,  # see the module
            # There is no second GPU for a new task beside the old one.
            min_healthy_percent=0,
            max_healthy_percent=100,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            capacity_provider_strategies=[
                ecs.CapacityProviderStrategy(
                    capacity_provider=machines.capacity_provider.capacity_provider_name, weight=1
                )
            ],
            vpc_subnets=self._network.task_subnets,
            security_groups=[self.security_group],
            cloud_map_options=ecs.CloudMapOptions(
                name=NAME,
                cloud_map_namespace=self.cluster.default_cloud_map_namespace,
                dns_record_type=servicediscovery.DnsRecordType.A,
                dns_ttl=Duration.seconds(10),
            ),
        )
        service.node.add_dependency(machines.association)
        return service

    def _make_queue_endpoint(self) -> None:
        vpc = self._network.vpc
        group = ec2.SecurityGroup(
            self,
            "EndpointSecurityGroup",
            vpc=vpc,
            description="SQS endpoint: from this network",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(
            ec2.Peer.ipv4(vpc.vpc_cidr_block), ec2.Port.HTTPS, "Whoever uses SQS in this network"
        )
        accept(
            group,
            "AwsSolutions-EC23",
            "The rule cannot resolve the reference: it is the network's "
            "own, private address range.",
        )
        endpoint = ec2.InterfaceVpcEndpoint(
            self,
            "QueueEndpoint",
            vpc=vpc,
            service=ec2.InterfaceVpcEndpointAwsService.SQS,
            subnets=self._network.inner_subnets,
            security_groups=[group],
            private_dns_enabled=True,
            open=False,
        )
        endpoint.add_to_policy(
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=[
                    "sqs:ChangeMessageVisibility",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:GetQueueUrl",
                    "sqs:ReceiveMessage",
                    "sqs:SendMessage",
                ],
                # This limits what leaves the network; roles limit who may do what.
                resources=["*"],
                conditions={
                    "StringEquals": {
                        "aws:PrincipalAccount": Stack.of(self).account,
                        "aws:ResourceAccount": Stack.of(self).account,
                    }
                },
            )
        )


#: Any answer means that the server is alive: 503 says that it still loads the model.
_HEALTH_CHECK: Final = (
    "import http.client as http; "
    f"server = http.HTTPConnection('127.0.0.1', {PORT}, timeout=5); "
    "server.request('GET', '/health'); server.getresponse()"
)
