"""Alarms' recipient and budgets of an environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from infra.config.formats import Email
from infra.config.parts import ConfigPart, Problem, at_least


class OperationsConfig(ConfigPart):
    """The recipient of alarms, and the monthly budgets."""

    #: The recipient of alarms; None leaves them in the console only.
    alarm_email: Email = None
    #: For everything, speech included; None: no budget.
    monthly_budget_usd: Annotated[int | None, at_least(1, " dollar, or null")] = None
    #: The part of it for Amazon Transcribe and Translate, if they are called; None: half.
    speech_budget_usd: int | None = None

    def problems(self) -> Iterator[Problem]:
        """Report a malformed address, or a budget that alarms at once."""
        yield from super().problems()
        if self.speech_budget_usd is not None and not (
            1 <= self.speech_budget_usd < (self.monthly_budget_usd or 0)
        ):
            yield (
                "speech_budget_usd",
                "give a part of monthly_budget_usd, 1 dollar at least, or null",
            )
