"""The GPU server: transcribes recordings, and costs nothing while there are none.

    router --HTTP:8000--> task (one per machine) <--polls-- jobs (infra.recordings.flow)
                            '-- reads audio, writes transcripts: S3

**How many.** The service's desired count is the one switch: the batch worker turns it, and ECS
starts and stops machines after it (`infra.gpu.machines`). The template says 0. Without a number
CloudFormation would begin with one task, and a first deployment would wait for a GPU that an
account may not even have a quota for. A deployment leaves the running number alone unless it
changes the server itself (image, settings, network). Then all tasks have to be replaced, no
machine has a second GPU for a new one beside the old one, and the number goes to 0: the
deployment neither waits for Spot capacity nor fails for want of it. At its next look the batch
worker turns the number up again for whatever waits or is to be kept warm. A task with work protects
itself from both, for minutes at a time (`gpu_server.host.protection`); a job that is cut off all
the same becomes visible in the queue again.

**Who can reach it.** Tasks have no public address; their security group lets in the router's
and nobody else's. Whoever asks for something has to know a secret besides. Secrets Manager makes it
($0.40 a month), ECS gives it to the container, and CloudFormation to the router: from inside the
network Secrets Manager could be asked only through an endpoint, for $7.30 a month and zone. The
price is that whoever may read the router's configuration may read the secret. Between the two it
is HTTP inside the network, not TLS. Audio does not pass here, only the key of an object.

To change the secret, change `SECRET_FIELD` and deploy, as in `infra.live.entrances`. A router that
still sends the old one is refused, and puts its recordings on the queue until it is deployed, too.

**AWS from the inside.** Tasks on machines and functions have no public address, so S3 is reached
through the network's gateway and SQS through an endpoint of its own, $7.30 a month and zone. Its
private name holds for the whole network: the caption service sends its finals through it, too.
That is why everything in the network may use it, but for queues of this account only.
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
from infra.common.functions import Place
from infra.common.generated_secrets import generated_secret, reference
from infra.common.nag import accept
from infra.config.environment import Gpu
from infra.gpu.image import gpu_image
from infra.gpu.machines import GpuMachines
from infra.network.own import Network
from infra.recordings import access
from infra.recordings.flow import RecordingStore

PORT: Final = 8000
NAME: Final = "transcriber"
#: The smallest machines have 16 GiB, of which the system and ECS's agent keep some, MiB.
MEMORY: Final = 12_288
#: Loading a model takes minutes; ECS does not wait longer than this before it counts failures.
START: Final = Duration.minutes(5)
#: What Spot gives a machine from its notice to its end.
STOP: Final = Duration.minutes(2)

#: Which field of the secret is the value; another name makes another value.
SECRET_FIELD: Final = "value1"  # noqa: S105 - the field's name, not its value


class GpuServer(Construct):
    """See the module.

    Attributes:
        gpu: what the environment chose.
        url: where the router finds it, while there is one: `http://transcriber.NAMESPACE:8000`.
        cluster: ECS's, with nothing else in it.
        service: its desired count is the number of tasks and of machines.
        auto_scaling_group: the machines.
        security_group: the tasks'.
        router_place: where the router has to run to reach it.
        token: what callers have to know; a reference that CloudFormation resolves.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        gpu: Gpu,
        network: Network,
        store: RecordingStore,
    ) -> None:
        """Make a server for the recordings of `store`.

        Raises:
            MissingDockerfile: the image is to be built from a folder without a Dockerfile.
        """
        super().__init__(scope, construct_id)
        self.gpu = gpu
        self._network = network
        namespace = f"{Stack.of(self).stack_name}.internal".lower()
        self.url = f"http://{NAME}.{namespace}:{PORT}"
        self._secret = generated_secret(
            self,
            field=SECRET_FIELD,
            description="By which the router is known to the GPU server",
            why_not_rotated="Router and tasks get the value when they are deployed, so a "
            "rotation would only part them; a deployment changes it.",
        )
        self.token = reference(self._secret, SECRET_FIELD)
        self.cluster = self._make_cluster(namespace)
        router_group = self._security_group("RouterSecurityGroup", "Router: to the GPU server")
        self.security_group = self._security_group(
            "SecurityGroup", "GPU server: from the router only"
        )
        self.security_group.connections.allow_from(
            router_group, ec2.Port.tcp(PORT), "Router to GPU server"
        )
        self.router_place = Place(
            vpc=network.vpc, subnets=network.inner_subnets, security_groups=[router_group]
        )
        machines = GpuMachines(self, "Machines", gpu=gpu, network=network, cluster=self.cluster)
        self.auto_scaling_group = machines.auto_scaling_group
        self.service = self._make_service(self._make_task(store), machines)
        self._open_way_to_queues()

    def _make_cluster(self, namespace: str) -> ecs.Cluster:
        cluster = ecs.Cluster(self, "Cluster", vpc=self._network.vpc)
        cluster.add_default_cloud_map_namespace(
            name=namespace, type=servicediscovery.NamespaceType.DNS_PRIVATE
        )
        accept(
            cluster,
            {
                "AwsSolutions-ECS4": "Container Insights are metrics paid one by one; what is "
                "watched here are the queue, the number of tasks and that of machines."
            },
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
        assert self.gpu.image  # noqa: S101 - an environment without one is refused
        task = ecs.Ec2TaskDefinition(self, "Task", network_mode=ecs.NetworkMode.AWS_VPC)
        task.add_container(
            NAME,
            image=gpu_image(
                self,
                self.gpu.image,
                {
                    "TRANSCRIBER": self.gpu.transcriber,
                    "MODEL": self.gpu.baked_model,
                    "ALIGNMENT_LANGUAGES": " ".join(self.gpu.baked_languages),
                },
            ),
            gpu_count=1,
            memory_reservation_mib=MEMORY,
            port_mappings=[ecs.PortMapping(container_port=PORT)],
            environment={
                **self.gpu.settings,
                # A machine's metadata, where an SDK looks for it otherwise, is out of reach.
                # botocore knows it by this name only.
                "AWS_DEFAULT_REGION": Stack.of(self).region,
                # Not `auto`: CTranslate2 finds no GPU after any error of CUDA, and the machine
                # would go on as a slow and expensive CPU. This way the task ends, and an alarm
                # goes off (`infra.operations.alarms`, GpuMissing).
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
                command=["CMD", "python3", "-c", _LOOK],
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
                    retention=RETENTION[self.gpu.log_days],
                    removal_policy=RemovalPolicy.DESTROY,
                ),
            ),
        )
        self._grant(task.task_role, store)
        accept(
            task,
            {
                "AwsSolutions-ECS2": "A region, addresses, and the names of a queue and a bucket; "
                "the secret is not among them, but a reference to Secrets Manager."
            },
        )
        accept(
            task.obtain_execution_role(),
            {
                "AwsSolutions-IAM5[Resource::*]": "ecr:GetAuthorizationToken, which is about no "
                "resource: AWS knows it only for `*`."
            },
        )
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
        """While a task works, ECS is to choose others where there are to be fewer."""
        stack = Stack.of(self)
        tasks = stack.format_arn(
            service="ecs", resource="task", resource_name=f"{self.cluster.cluster_name}/*"
        )
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["ecs:UpdateTaskProtection"], resources=[tasks])
        )
        made = self.cluster.node.default_child
        assert isinstance(made, ecs.CfnCluster)  # noqa: S101 - what a Cluster is made of
        accept(
            role,
            {
                f"AwsSolutions-IAM5[Resource::arn:aws:ecs:{stack.region}:<AWS::AccountId>:"
                f"task/<{stack.resolve(made.logical_id)}>/*]": "Tasks of this cluster, which are "
                "this server's; what they are called shows when they start.",
            },
        )

    def _make_service(self, task: ecs.Ec2TaskDefinition, machines: GpuMachines) -> ecs.Ec2Service:
        service = ecs.Ec2Service(
            self,
            "Service",
            # The same cluster, which the CDK does not know to have machines.
            cluster=ecs.Cluster.from_cluster_attributes(
                self,
                "ClusterWithMachines",
                cluster_name=self.cluster.cluster_name,
                cluster_arn=self.cluster.cluster_arn,
                vpc=self._network.vpc,
                has_ec2_capacity=True,
            ),
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

    def _open_way_to_queues(self) -> None:
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
            {
                "AwsSolutions-EC23": "The rule cannot resolve the reference: it is the network's "
                "own, private address range."
            },
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
                # It limits what leaves the network; who may do what, roles say.
                resources=["*"],
                conditions={
                    "StringEquals": {
                        "aws:PrincipalAccount": Stack.of(self).account,
                        "aws:ResourceAccount": Stack.of(self).account,
                    }
                },
            )
        )


#: Whatever it answers, it lives: 503 means that the model is being loaded, which may take long.
_LOOK: Final = (
    "import http.client as http; "
    f"server = http.HTTPConnection('127.0.0.1', {PORT}, timeout=5); "
    "server.request('GET', '/health'); server.getresponse()"
)
