"""EC2 machines, single or of an Auto Scaling group: their possible types and hourly prices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from infra.costs import prices
from infra.costs.prices import Price
from infra.costs.templates import EnvironmentResources, Resource, resolve
from infra.wording import suggest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An EC2 instance as it is billed: its type, market, volumes and address."""

    instance_type: str
    spot: bool
    #: Size of its volumes in GB, and their MiB/s and IOPS beyond what each volume includes.
    disk_gb: Decimal
    disk_mib_s: Decimal
    disk_iops: Decimal
    public_address: bool

    @property
    def price(self) -> Price:
        """The price of the instance, without volumes and address."""
        dollars = prices.INSTANCES[self.instance_type]
        kind = "Spot" if self.spot else "on demand"
        return Price(
            what=f"EC2 {self.instance_type}, {kind}",
            dollars=dollars * prices.EC2_SPOT if self.spot else dollars,
        )


def list_choices(group: Resource, resources: EnvironmentResources) -> list[Choice]:
    """Return the instances that an Auto Scaling group may start, in its order of preference.

    Raises:
        UnpricedResource: a type is not in the table, or not known before deployment.
    """
    mixed = ("MixedInstancesPolicy", "LaunchTemplate")
    if group.value(*mixed) is None:
        path: tuple[str, ...] = ("LaunchTemplate",)
    else:
        path = (*mixed, "LaunchTemplateSpecification")
    template = resources.referred(group, *path, kind="AWS::EC2::LaunchTemplate")
    own_type = template.value("LaunchTemplateData", "InstanceType")
    types = [entry.get("InstanceType") for entry in group.items(*mixed, "Overrides")]
    for kind in types or [own_type]:
        if kind not in prices.INSTANCES:
            raise group.unpriced(_without_price(kind))
    spot = _spot(group, template)
    interfaces = template.items("LaunchTemplateData", "NetworkInterfaces")
    return [_choice(kind, template, interfaces, spot=spot) for kind in types or [own_type]]


def _without_price(kind: object) -> str:
    hint = suggest(str(kind), prices.INSTANCES)
    return f"instance type {kind!r}: {hint} If not, add its price an hour to INSTANCES"


def find_own_machine(instance: Resource, resources: EnvironmentResources) -> Choice:
    """Return a single EC2 instance, which belongs to no group.

    Raises:
        UnpricedResource: its type is not in the table, or its CPU may cost more than its price.
    """
    template = resources.referred(instance, "LaunchTemplate", kind="AWS::EC2::LaunchTemplate")
    kind = template.value("LaunchTemplateData", "InstanceType")
    if kind not in prices.INSTANCES:
        raise instance.unpriced(_without_price(kind))
    credits_ = template.value("LaunchTemplateData", "CreditSpecification", "CpuCredits")
    if kind.startswith("t") and credits_ != "standard":
        raise instance.unpriced("CPU credits that are not 'standard' may be charged without limit")
    return _choice(kind, template, instance.items("NetworkInterfaces"), spot=False)


def _choice(
    kind: str, template: Resource, interfaces: Iterable[Mapping[str, Any]], *, spot: bool
) -> Choice:
    return Choice(
        instance_type=kind,
        spot=spot,
        disk_gb=_disk(template, "VolumeSize"),
        disk_mib_s=_disk(template, "Throughput", included=prices.GP3_INCLUDED_MIB_S),
        disk_iops=_disk(template, "Iops", included=prices.GP3_INCLUDED_IOPS),
        public_address=any(each.get("AssociatePublicIpAddress") for each in interfaces),
    )


def _spot(group: Resource, template: Resource) -> bool:
    """Return whether all machines are Spot; a mixed group counts as on demand."""
    market = template.value("LaunchTemplateData", "InstanceMarketOptions", "MarketType")
    distribution = ("MixedInstancesPolicy", "InstancesDistribution")
    if group.value(*distribution) is None:
        return bool(market == "spot")
    base = group.number(*distribution, "OnDemandBaseCapacity", default=0)
    above = group.number(*distribution, "OnDemandPercentageAboveBaseCapacity", default=100)
    return not base and not above


def _disk(template: Resource, name: str, *, included: int = 0) -> Decimal:
    """Return the sum of a property of all volumes beyond what each includes."""
    total = Decimal(0)
    for mapping in template.items("LaunchTemplateData", "BlockDeviceMappings"):
        volume: Any = resolve(mapping.get("Ebs", {}), template.parameters)
        value = volume.get(name, included) if isinstance(volume, Mapping) else included
        total += max(Decimal(str(value)) - included, Decimal(0))
    return total


def machine(choice: Choice) -> Iterator[tuple[Price, Decimal]]:
    """Yield what one machine uses: itself, its volumes and its address."""
    yield choice.price, Decimal(1)
    for price, quantity in (
        (prices.GP3_GB, choice.disk_gb),
        (prices.GP3_MIB_S, choice.disk_mib_s),
        (prices.GP3_IOPS, choice.disk_iops),
    ):
        if quantity:
            yield price, quantity
    if choice.public_address:
        yield prices.PUBLIC_IPV4, Decimal(1)
