"""Alarms' recipient and budgets of an environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from infra.config.parts import ConfigPart, Problem

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class OperationsConfig(ConfigPart):
    """The recipient of alarms, and the monthly budgets."""

    #: The recipient of alarms; None leaves them in the console only.
    alarm_email: str | None = None
    #: For everything, speech included; None: no budget.
    monthly_budget_usd: int | None = None
    #: The part of it for Amazon Transcribe and Translate, if they are called; None: half.
    speech_budget_usd: int | None = None

    def problems(self) -> Iterator[Problem]:
        """Yield a malformed address, or a budget that alarms at once."""
        if self.alarm_email is not None and not _EMAIL.fullmatch(self.alarm_email):
            yield "alarm_email", f"{self.alarm_email!r} is not an e-mail address"
        if self.monthly_budget_usd is not None and self.monthly_budget_usd < 1:
            yield "monthly_budget_usd", "give at least 1 dollar, or null"
        if self.speech_budget_usd is not None and not (
            1 <= self.speech_budget_usd < (self.monthly_budget_usd or 0)
        ):
            yield (
                "speech_budget_usd",
                "give a part of monthly_budget_usd, 1 dollar at least, or null",
            )
