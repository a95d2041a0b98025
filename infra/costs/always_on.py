"""Resources that cost money while they merely exist: a small function for each type.

A function yields quantities of the table's prices. Sums and free tiers come later, because a free
tier belongs to the whole account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from infra.costs import prices
from infra.costs.errors import UnpricedResource
from infra.costs.machines import find_own_machine, list_choices, machine
from infra.costs.prices import Price
from infra.costs.tasks import count_tasks, find_setting, find_task, on_fargate, split, task_hour
from infra.costs.templates import EnvironmentResources, Resource, mentions


@dataclass(frozen=True, slots=True)
class Use:
    """A quantity of one price for a whole month, and the resource that causes it."""

    price: Price
    quantity: Decimal
    cause: str


#: Prices and quantities of them.
Quantities = Iterator[tuple[Price, Decimal | int]]
Pricer = Callable[[Resource, EnvironmentResources], Quantities]


def list_uses(resources: EnvironmentResources) -> list[Use]:
    """Return all uses of an environment's resources that cost money by existing.

    Raises:
        UnpricedResource: for some resources no price is known; names all of them.
    """
    found: list[Use] = []
    problems: list[str] = []
    for resource in resources:
        try:
            for price, quantity in _pricer(resource)(resource, resources):
                if quantity:
                    found.append(Use(price, Decimal(quantity), str(resource)))
        except UnpricedResource as unpriced:
            problems.extend(unpriced.problems)
    if problems:
        raise UnpricedResource(problems)
    stores = resources.of(*STORES)
    if stores:
        found.append(Use(prices.ALLOWANCE, Decimal(1), f"{len(stores)} things that store"))
    return found


def _pricer(resource: Resource) -> Pricer:
    if resource.type in PRICERS:
        return PRICERS[resource.type]
    free = resource.type in prices.FREE or resource.type in prices.USAGE
    if free or resource.type.startswith(prices.CUSTOM_RESOURCE):
        return _nothing
    raise resource.unpriced("the table does not know this type")


def _nothing(_resource: Resource, _resources: EnvironmentResources) -> Quantities:
    yield from ()


def _each(price: Price) -> Pricer:
    """Return a pricer for resources whose price does not depend on properties."""

    def pricer(_resource: Resource, _resources: EnvironmentResources) -> Quantities:
        yield price, 1

    return pricer


def _only_without(why: str, *path: str) -> Pricer:
    """Return a pricer for resources that are free unless a property is set."""

    def pricer(resource: Resource, _resources: EnvironmentResources) -> Quantities:
        if resource.value(*path) is not None:
            raise resource.unpriced(why)
        yield from ()

    return pricer


# --- computing --------------------------------------------------------------------------------


def _ecs_service(service: Resource, resources: EnvironmentResources) -> Quantities:
    count = count_tasks(service, resources)
    if on_fargate(service):
        tasks = split(service, count)
        for placed, spot in ((tasks.on_demand, False), (tasks.spot, True)):
            for price, quantity in task_hour(service, resources, spot=spot) if placed else ():
                yield price, quantity * placed
    elif count and not _on_own_machines(service, resources):
        raise service.unpriced(f"{count} tasks always keep machines, whose number is unknown")
    if count and find_setting(find_task(service, resources), prices.METRICS_SETTING):
        yield prices.CUSTOM_METRIC, prices.METRICS_PER_SERVICE
    if count and find_setting(find_task(service, resources), prices.LEDGER_SETTING):
        yield prices.SWEEP, count


def _on_own_machines(service: Resource, resources: EnvironmentResources) -> bool:
    """Return whether tasks run on machines of the same stack, which have their own price."""
    return not service.items("CapacityProviderStrategy") and any(
        instance.stack == service.stack for instance in resources.of("AWS::EC2::Instance")
    )


def _instance(instance: Resource, resources: EnvironmentResources) -> Quantities:
    yield from machine(find_own_machine(instance, resources))


def _capacity_provider(provider: Resource, _resources: EnvironmentResources) -> Quantities:
    """Count the alarms by which ECS starts and stops machines."""
    if provider.value("AutoScalingGroupProvider", "ManagedScaling", "Status") == "ENABLED":
        yield prices.ALARM_METRIC, prices.ALARMS_PER_TARGET_TRACKING


def _ecs_cluster(cluster: Resource, resources: EnvironmentResources) -> Quantities:
    for switch in cluster.items("ClusterSettings"):
        if switch.get("Name") != "containerInsights" or switch.get("Value") == "disabled":
            continue
        if switch.get("Value") != "enabled":
            raise cluster.unpriced(f"Container Insights {switch.get('Value')!r} has no price")
        yield prices.CUSTOM_METRIC, prices.INSIGHTS_METRICS_PER_CLUSTER
        for service in resources.of("AWS::ECS::Service"):
            if service.stack == cluster.stack and mentions(
                service.value("Cluster"), cluster.logical_id
            ):
                yield prices.CUSTOM_METRIC, prices.INSIGHTS_METRICS_PER_SERVICE


def _auto_scaling_group(group: Resource, resources: EnvironmentResources) -> Quantities:
    count = max(
        group.number("DesiredCapacity", default=0),
        group.number("MinSize", default=0),
    )
    choices = list_choices(group, resources)
    if not count:
        return
    dearest = max(choices, key=lambda choice: choice.price.dollars)
    for price, quantity in machine(dearest):
        yield price, quantity * count


# --- network ----------------------------------------------------------------------------------


def _load_balancer(balancer: Resource, _resources: EnvironmentResources) -> Quantities:
    if balancer.value("Type", default="application") == "gateway":
        raise balancer.unpriced("a gateway load balancer has no price")
    yield prices.LOAD_BALANCER, 1
    internal = balancer.value("Scheme", default="internet-facing") == "internal"
    if not internal and balancer.value("IpAddressType") != "dualstack-without-public-ipv4":
        yield prices.PUBLIC_IPV4, len(balancer.items("Subnets") or balancer.items("SubnetMappings"))


def _vpc_endpoint(endpoint: Resource, _resources: EnvironmentResources) -> Quantities:
    kind = endpoint.value("VpcEndpointType", default="Gateway")
    if kind == "Interface":
        yield prices.INTERFACE_ENDPOINT, len(endpoint.items("SubnetIds")) or 1
    elif kind != "Gateway":
        raise endpoint.unpriced(f"an endpoint of type {kind!r} has no price")


def _web_acl(acl: Resource, _resources: EnvironmentResources) -> Quantities:
    yield prices.WEB_ACL, 1
    yield prices.WEB_ACL_RULE, len(acl.items("Rules"))


# --- data and functions -------------------------------------------------------------------------


def _table(table: Resource, _resources: EnvironmentResources) -> Quantities:
    if table.value("BillingMode", default="PROVISIONED") != "PAY_PER_REQUEST":
        raise table.unpriced("provisioned capacity has no price; tables are to be on demand")
    yield from ()


def _function(function: Resource, _resources: EnvironmentResources) -> Quantities:
    if function.value("SnapStart", "ApplyOn", default="None") != "None":
        raise function.unpriced("SnapStart has no price")
    for variable in prices.METRICS_OF_SCHEDULED.get(str(function.value("Handler")), ()):
        if function.value("Environment", "Variables", variable) is not None:
            yield prices.CUSTOM_METRIC, 1


def _event_source(mapping: Resource, resources: EnvironmentResources) -> Quantities:
    if mapping.value("ProvisionedPollerConfig") is not None:
        raise mapping.unpriced("provisioned pollers have no price")
    if mapping.value("StartingPosition") is not None:
        return  # a stream, which Lambda reads for nothing
    seconds = prices.HOURS_PER_MONTH * 3600
    polls = prices.QUEUE_POLLERS * seconds / Decimal(prices.QUEUE_POLL_SECONDS)
    ordered = any(
        queue.stack == mapping.stack
        and queue.value("FifoQueue")
        and mentions(mapping.value("EventSourceArn"), queue.logical_id)
        for queue in resources.of("AWS::SQS::Queue")
    )
    factor = prices.FIFO_FACTOR if ordered else Decimal(1)
    yield prices.POLLED_REQUESTS, factor * polls / 1_000_000


def _user_pool(pool: Resource, _resources: EnvironmentResources) -> Quantities:
    """Check the plan. A pool costs nothing by itself; `infra.costs.usage` has a person's rate."""
    tier = pool.value("UserPoolTier", default=prices.COGNITO_TIER)
    if tier != prices.COGNITO_TIER:
        raise pool.unpriced(f"people of the plan {tier} have no price")
    yield from ()


def _parameter(parameter: Resource, _resources: EnvironmentResources) -> Quantities:
    if parameter.value("Tier", default="Standard") != "Standard":
        raise parameter.unpriced("only standard parameters are free")
    yield from ()


# --- alarms and dashboards ------------------------------------------------------------------------

#: Shorter periods are charged as high resolution, seconds.
_MINUTE: Final = 60


def _alarm(alarm: Resource, _resources: EnvironmentResources) -> Quantities:
    """Count the metrics of an alarm: arithmetic on three of them costs three."""
    metrics = [each["MetricStat"] for each in alarm.items("Metrics") if "MetricStat" in each]
    periods = [alarm.number("Period", default=_MINUTE)]
    periods.extend(Decimal(str(metric.get("Period", _MINUTE))) for metric in metrics)
    count = max(1, len(metrics))
    if alarm.value("ThresholdMetricId") is not None:
        count *= 3  # the metric and the two edges of its band
    fast = min(periods) < _MINUTE
    yield (prices.FAST_ALARM_METRIC if fast else prices.ALARM_METRIC), count


def _scaling_policy(policy: Resource, _resources: EnvironmentResources) -> Quantities:
    """Count the alarms that target tracking creates automatically."""
    if policy.value("PolicyType") != "TargetTrackingScaling":
        return
    metrics = 1
    for kind in ("TargetTrackingScalingPolicyConfiguration", "TargetTrackingConfiguration"):
        several = policy.items(kind, "CustomizedMetricSpecification", "Metrics")
        metrics = max(metrics, sum("MetricStat" in each for each in several))
    yield prices.ALARM_METRIC, metrics * prices.ALARMS_PER_TARGET_TRACKING


def _metric_filter(made: Resource, _resources: EnvironmentResources) -> Quantities:
    yield prices.CUSTOM_METRIC, len(made.items("MetricTransformations"))


# --- which function prices what -------------------------------------------------------------------

_NO_PROVISIONED: Final = _only_without(
    "provisioned concurrency has no price", "ProvisionedConcurrencyConfig"
)

PRICERS: Final[Mapping[str, Pricer]] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::AutoScaling::AutoScalingGroup": _auto_scaling_group,
    "AWS::AutoScaling::ScalingPolicy": _scaling_policy,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _each(prices.COMPOSITE_ALARM),
    "AWS::CloudWatch::Dashboard": _each(prices.DASHBOARD),
    "AWS::Cognito::UserPool": _user_pool,
    "AWS::DynamoDB::GlobalTable": _table,
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::EIP": _each(prices.PUBLIC_IPV4),
    "AWS::EC2::Instance": _instance,
    "AWS::EC2::NatGateway": _each(prices.NAT_GATEWAY),
    "AWS::EC2::VPCEndpoint": _vpc_endpoint,
    "AWS::ECS::CapacityProvider": _capacity_provider,
    "AWS::ECS::Cluster": _ecs_cluster,
    "AWS::ECS::Service": _ecs_service,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::KMS::Key": _each(prices.KMS_KEY),
    "AWS::Lambda::Alias": _NO_PROVISIONED,
    "AWS::Lambda::EventSourceMapping": _event_source,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Version": _NO_PROVISIONED,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::Route53::HostedZone": _each(prices.HOSTED_ZONE),
    "AWS::SSM::Parameter": _parameter,
    "AWS::SecretsManager::Secret": _each(prices.SECRET),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _each(prices.HOSTED_ZONE),
    "AWS::WAFv2::WebACL": _web_acl,
}

#: Resources that the allowance covers.
STORES: Final = (
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::ECR::Repository",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
)
