"""Tasks of ECS services: how many always run, on which capacity, and what each uses an hour."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from infra.costs import prices
from infra.costs.prices import Price
from infra.costs.templates import EnvironmentResources, Resource, mentions

#: The capacity providers of Fargate.
FARGATE: Final = ("FARGATE", "FARGATE_SPOT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """The number of tasks of a service that always run, by capacity."""

    on_demand: Decimal
    spot: Decimal


def count_tasks(service: Resource, resources: EnvironmentResources) -> Decimal:
    """Return the number of tasks of an idle service."""
    for target in resources.of("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target.stack == service.stack and mentions(
            target.value("ResourceId"), service.logical_id
        ):
            return target.number("MinCapacity")
    return service.number("DesiredCount", default=1)


def count_most_tasks(service: Resource, resources: EnvironmentResources) -> Decimal:
    """Return the number of tasks of a service under load."""
    for target in resources.of("AWS::ApplicationAutoScaling::ScalableTarget"):
        if target.stack == service.stack and mentions(
            target.value("ResourceId"), service.logical_id
        ):
            return target.number("MaxCapacity")
    return service.number("DesiredCount", default=1)


def split(service: Resource, count: Decimal) -> Tasks:
    """Split tasks as a capacity provider strategy does: a base, then by weight.

    If weights do not divide the rest evenly, the share on demand is rounded up.
    """
    base: dict[str, Decimal] = {}
    weight: dict[str, Decimal] = {}
    for entry in service.items("CapacityProviderStrategy"):
        provider = entry["CapacityProvider"]
        base[provider] = Decimal(entry.get("Base", 0))
        weight[provider] = Decimal(entry.get("Weight", 0))
    if not base:
        return Tasks(on_demand=count, spot=Decimal(0))
    sure = min(base.get("FARGATE", Decimal(0)), count)
    sure_spot = min(base.get("FARGATE_SPOT", Decimal(0)), count - sure)
    rest = count - sure - sure_spot
    weights = sum(weight.values(), Decimal(0))
    on_demand = weight.get("FARGATE", Decimal(0)) / weights if weights else Decimal(1)
    share = math.ceil(rest * on_demand)
    return Tasks(on_demand=sure + share, spot=sure_spot + rest - share)


def task_hour(
    service: Resource, resources: EnvironmentResources, *, spot: bool
) -> Iterator[tuple[Price, Decimal]]:
    """Yield what one task of a service uses: vCPU, memory, storage and an address."""
    task = find_task(service, resources)
    arm = task.value("RuntimePlatform", "CpuArchitecture", default="X86_64") == "ARM64"
    vcpu, gigabyte = {
        (True, False): (prices.ARM_VCPU, prices.ARM_GB),
        (True, True): (prices.ARM_VCPU_SPOT, prices.ARM_GB_SPOT),
        (False, False): (prices.X86_VCPU, prices.X86_GB),
        (False, True): (prices.X86_VCPU_SPOT, prices.X86_GB_SPOT),
    }[arm, spot]
    yield vcpu, task.number("Cpu") / 1024
    yield gigabyte, task.number("Memory") / 1024
    disk = task.number("EphemeralStorage", "SizeInGiB", default=prices.EPHEMERAL_INCLUDED_GB)
    if disk > prices.EPHEMERAL_INCLUDED_GB:
        yield prices.EPHEMERAL_GB, disk - prices.EPHEMERAL_INCLUDED_GB
    address = service.value(
        "NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp", default="DISABLED"
    )
    if address == "ENABLED":
        yield prices.PUBLIC_IPV4, Decimal(1)


def on_fargate(service: Resource) -> bool:
    """Return whether a service's tasks are charged, not the machines that they run on.

    Raises:
        UnpricedResource: it leaves the choice to its cluster.
    """
    strategy = service.items("CapacityProviderStrategy")
    if strategy:
        return all(entry.get("CapacityProvider") in FARGATE for entry in strategy)
    launch = service.value("LaunchType")
    if launch is None:
        raise service.unpriced("says neither LaunchType nor CapacityProviderStrategy")
    return bool(launch == "FARGATE")


def find_task(service: Resource, resources: EnvironmentResources) -> Resource:
    """Return the definition of a service's tasks.

    Raises:
        UnpricedResource: it is not in the same template.
    """
    return resources.referred(service, "TaskDefinition", kind="AWS::ECS::TaskDefinition")


def find_setting(task: Resource, name: str) -> str | None:
    """Return the value of a setting of a task's containers; None if none has it."""
    for container in task.items("ContainerDefinitions"):
        for variable in container.get("Environment", []):
            if variable.get("Name") == name:
                return str(variable.get("Value"))
    return None
