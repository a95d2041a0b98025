"""The estimate of an environment: lines that add up to its total, and rates; as text or JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from infra.costs.accounts import (
    OWN_INSTEAD_OF_SHARED,
    Accounts,
    price_accounts,
    shares_load_balancer,
)
from infra.costs.always_on import Use, list_uses
from infra.costs.prices import HOURS_PER_MONTH, PRICED_ON, REGION, Price
from infra.costs.strangers import explain_open_access
from infra.costs.templates import EnvironmentResources, Stack
from infra.costs.usage import UsageRate, list_rates, list_unused_rates

_CENT: Final = Decimal("0.01")
#: Of the text, characters.
_WIDTH: Final = 94


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """The always-on resources of one price."""

    price: Price
    quantity: Decimal
    causes: tuple[str, ...]

    @property
    def month(self) -> Decimal:
        """The price a month, US dollars, to the cent."""
        return self.price.month(self.quantity).quantize(_CENT, ROUND_HALF_UP)

    @property
    def month_without_free(self) -> Decimal:
        """The price a month in an account whose free tier is used up."""
        return (self.quantity * self.price.monthly).quantize(_CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The costs of an environment by its templates."""

    environment: str
    lines: tuple[CostLine, ...]
    #: The totals in accounts with other resources than the templates assume.
    accounts: Accounts
    rates: tuple[UsageRate, ...]
    #: Rates of services that this environment does not call.
    not_chosen: tuple[UsageRate, ...]
    notes: tuple[str, ...]

    @property
    def total(self) -> Decimal:
        """The sum of the lines, US dollars."""
        return sum((line.month for line in self.lines), Decimal("0.00"))


def estimate(environment: str, stacks: Sequence[Stack]) -> Estimate:
    """Return the costs of an environment's stacks.

    Raises:
        UnpricedResource: no price is known for something in them.
    """
    resources = EnvironmentResources(stacks)
    always_on = sorted(
        add_up(list_uses(resources)), key=lambda line: (-line.month, line.price.what)
    )
    total = sum((line.month for line in always_on), Decimal("0.00"))
    return Estimate(
        environment=environment,
        lines=tuple(always_on),
        accounts=price_accounts(environment, total, resources),
        rates=tuple(list_rates(resources)),
        not_chosen=tuple(list_unused_rates(resources)),
        notes=(*_of_the_table(stacks), *_of_what_is_there(resources, always_on)),
    )


def add_up(used: Sequence[Use]) -> Iterator[CostLine]:
    """Add up uses of the same price, so that free tiers count once."""
    by_price: dict[Price, list[Use]] = {}
    for use in used:
        by_price.setdefault(use.price, []).append(use)
    for price, group in by_price.items():
        quantity = sum((use.quantity for use in group), Decimal(0))
        causes = tuple(dict.fromkeys(use.cause for use in group))
        yield CostLine(price=price, quantity=quantity, causes=causes)


def _of_the_table(stacks: Sequence[Stack]) -> Iterator[str]:
    yield (
        f"List prices of {REGION} as of {PRICED_ON}, re-stated and not AWS's word: check again "
        f"before quoting. A month has {HOURS_PER_MONTH} hours."
    )
    regions = sorted({stack.region or REGION for stack in stacks} - {REGION})
    if regions:
        yield f"Some stacks stand in {', '.join(regions)}, where prices differ."


def _of_what_is_there(
    resources: EnvironmentResources, always_on: Sequence[CostLine]
) -> Iterator[str]:
    yield from explain_open_access(resources)
    whole = sum((line.month_without_free for line in always_on), Decimal("0.00"))
    yield (
        "Only free tiers that never end count. They are the account's: where something else has "
        f"used them up, the total is ${whole:.2f}."
    )
    if shares_load_balancer(resources):
        yield (
            "The load balancer is shared and belongs to somebody else's stack, so it is not in "
            f"the total. One of your own is ${OWN_INSTEAD_OF_SHARED} a month more."
        )
    if any(line.price.what.endswith("Spot") for line in always_on):
        yield "Prices on Spot move, and a task on Spot may be taken away with two minutes' warning."
    if resources.of("AWS::AutoScaling::AutoScalingGroup"):
        yield (
            "Machines that a schedule or work starts are not in the total: an hour of audio has "
            "its rate, and an hour kept warm costs as much as an hour of the machine."
        )


# --- as text ------------------------------------------------------------------------------------


def render(figures: Estimate) -> str:
    """Return the estimate for people; the last line is the total."""
    return "\n".join(
        [
            *figures.accounts.lines(),
            "",
            "All amounts are US dollars.",
            "Usage, on top of the total and without free tiers:",
            *(text for rate in figures.rates for text in _rate(rate)),
            "",
            *_not_chosen(figures.not_chosen),
            *(text for note in figures.notes for text in _note(note)),
            "",
            _row("Always on", "how many", "unit price", "a month"),
            *(_line(line) for line in figures.lines),
            f"Total: ${figures.total:.2f} a month",
        ]
    )


def _row(what: str, quantity: str, unit: str, month: str) -> str:
    return f"{what:<46}{quantity:>16}{unit:>20}{month:>12}"


def _line(line: CostLine) -> str:
    price = line.price
    quantity = format_amount(line.quantity)
    if price.free:
        quantity += f", {format_amount(price.free)} free"
    unit = f"{format_dollars(price.dollars)} {'an hour' if price.hourly else 'a month'}"
    return _row(f"  {price.what}", quantity, unit, f"${line.month:.2f}")


def _not_chosen(rates_: Sequence[UsageRate]) -> Iterator[str]:
    if rates_:
        yield "Not called by this environment:"
        for rate in rates_:
            yield from _rate(rate)
        yield ""


def _rate(rate: UsageRate) -> Iterator[str]:
    yield f"  {rate.per:<72}{format_dollars(rate.dollars):>20}"
    if len(rate.parts) > 1:
        for part in rate.parts:
            yield f"    {part.what:<58}{format_dollars(part.dollars):>20}"
    if rate.assumed:
        yield from textwrap.wrap(
            f"({rate.assumed})", _WIDTH, initial_indent="    ", subsequent_indent="    "
        )


def _note(note: str) -> list[str]:
    return textwrap.wrap(f"Note: {note}", _WIDTH, subsequent_indent="  ")


def format_amount(value: Decimal) -> str:
    """Return a number with four significant digits, without trailing zeros."""
    if not value:
        return "0"
    places = max(0, 3 - value.adjusted())
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_dollars(value: Decimal) -> str:
    """Return dollars to the cent, or with four significant digits if that is more precise."""
    text = format_amount(value)
    cents = f"{value:.2f}"
    return f"${text if len(text) > len(cents) else cents}"


# --- as JSON --------------------------------------------------------------------------------------


def to_json(figures: Estimate) -> Mapping[str, Any]:
    """Return the estimate for programs; amounts are US dollars."""
    return {
        "environment": figures.environment,
        "region": REGION,
        "pricedOn": PRICED_ON,
        "hoursPerMonth": HOURS_PER_MONTH,
        "lines": [
            {
                "what": line.price.what,
                "quantity": float(line.quantity),
                "free": float(line.price.free),
                "unitPrice": float(line.price.dollars),
                "per": "hour" if line.price.hourly else "month",
                "month": float(line.month),
                "causes": list(line.causes),
            }
            for line in figures.lines
        ],
        "rates": [_rate_as_json(rate) for rate in figures.rates],
        "notChosen": [_rate_as_json(rate) for rate in figures.not_chosen],
        "notes": list(figures.notes),
        "emptyAccount": float(figures.accounts.empty),
        "sharedLoadBalancer": None
        if figures.accounts.sharing is None
        else float(figures.accounts.sharing),
        "total": float(figures.total),
    }


def _rate_as_json(rate: UsageRate) -> Mapping[str, Any]:
    return {
        "per": rate.per,
        "dollars": float(rate.dollars),
        "parts": [{"what": part.what, "dollars": float(part.dollars)} for part in rate.parts],
        "assumed": rate.assumed,
    }
