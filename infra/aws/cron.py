"""EventBridge's cron expressions for rules: their validation, and when they fire (UTC).

The grammar is that of the Amazon EventBridge User Guide, "Cron expressions reference". AWS
publishes no code for it, and this was not compared with AWS itself. Where the guide is silent, this
follows Quartz, which has the same wildcards: `6L` is a month's last Friday, `LW` its last working
day.

| field        | values          | wildcards     |
|--------------|-----------------|---------------|
| minutes      | 0-59            | , - * /       |
| hours        | 0-23            | , - * /       |
| day of month | 1-31            | , - * ? / L W |
| month        | 1-12 or JAN-DEC | , - * /       |
| day of week  | 1-7 or SUN-SAT  | , - * ? L #   |
| year         | 1970-2199       | , - * /       |

ValueError
└── InvalidCron    EventBridge would refuse the expression, or it never fires
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

#: Characters that EventBridge takes (PutRule, ScheduleExpression).
LONGEST: Final = 256
_MONTHS: Final = {name: n for n, name in enumerate(calendar.month_abbr[1:], 1)}
_DAYS: Final = {
    name: n for n, name in enumerate(("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"), 1)
}
#: Weekdays and leap days repeat after 28 years, between 1901 and 2099.
_CYCLE: Final = (date(2001, 1, 1), date(2028, 12, 31))
_CYCLE_DAYS: Final = (_CYCLE[1] - _CYCLE[0]).days + 1
_DAY_MINUTES: Final = 24 * 60
_WEEK: Final = 7


class InvalidCron(ValueError):
    """EventBridge would refuse the expression, or it never fires. The message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A field of an expression: its range, and the names that stand for numbers."""

    name: str
    least: int
    most: int
    names: dict[str, int]
    #: Whether the field takes steps.
    step: bool = True
    #: Whether ranges wrap around, as in `22-2` of hours.
    round: bool = True

    def number(self, text: str) -> int:
        """Return the value of a number or a name."""
        named = self.names.get(text.capitalize())
        if named is not None and text.isupper():
            return named
        if not re.fullmatch(r"[0-9]{1,4}", text):
            raise InvalidCron(f"{self.name}: {text!r} is not a value from {self._range}")
        if not self.least <= int(text) <= self.most:
            raise InvalidCron(f"{self.name}: {text} is not from {self._range}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """Return the numbers that a field of values, ranges and steps stands for."""
        return frozenset(value for item in text.split(",") for value in self._item(item))

    def _item(self, item: str) -> Iterator[int]:
        body, slash, step = item.partition("/")
        if slash and not self.step:
            raise InvalidCron(f"{self.name}: {item!r}, but there are no steps in this field")
        if slash and not (re.fullmatch(r"[0-9]{1,4}", step) and int(step)):
            raise InvalidCron(f"{self.name}: {item!r}, but a step is a number from 1")
        first, dash, last = body.partition("-")
        if body == "*":
            least, most = self.least, self.most
        elif dash:
            least, most = self.number(first), self.number(last)
            if least > most and not self.round:
                raise InvalidCron(f"{self.name}: {item!r} ends before it begins")
        else:
            least = self.number(body)
            most = self.most if slash else least
        length = self.most - self.least + 1
        end = most if least <= most else most + length
        for value in range(least, end + 1, int(step) if slash else 1):
            yield self.least + (value - self.least) % length

    @property
    def _range(self) -> str:
        names = (
            f" or {'-'.join([*self.names][:: len(self.names) - 1]).upper()}" if self.names else ""
        )
        return f"{self.least}-{self.most}{names}"


_MINUTE: Final = _Field(name="minutes", least=0, most=59, names={})
_HOUR: Final = _Field(name="hours", least=0, most=23, names={})
_DAY: Final = _Field(name="day of month", least=1, most=31, names={})
_MONTH: Final = _Field(name="month", least=1, most=12, names=_MONTHS)
_WEEKDAY: Final = _Field(name="day of week", least=1, most=7, names=_DAYS, step=False)
_YEAR: Final = _Field(name="year", least=1970, most=2199, names={}, round=False)


@dataclass(frozen=True, slots=True)
class Cron:
    """A valid expression."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day_of_month: str
    months: frozenset[int]
    day_of_week: str
    years: frozenset[int]

    def fires_on(self, day: date) -> bool:
        """Return whether it fires on a day."""
        if day.year not in self.years or day.month not in self.months:
            return False
        if self.day_of_week == "?":
            return any(_in_month(item, day) for item in self.day_of_month.split(","))
        return any(_in_week(item, day) for item in self.day_of_week.split(","))

    def longest_pause(self) -> timedelta:
        """Return the longest time between one firing and the next, over all years.

        Raises:
            InvalidCron: it does not fire in every year.
        """
        if self.years != _YEAR.values("*"):
            raise InvalidCron("year: give *, so that it never stops firing")
        times = sorted(60 * hour + minute for hour in self.hours for minute in self.minutes)
        days = [day.toordinal() for day in _days(*_CYCLE) if self.fires_on(day)]
        # The first firing of the next day, or cycle, follows the last.
        apart = max(after - before for before, after in pairwise([*days, days[0] + _CYCLE_DAYS]))
        overnight = apart * _DAY_MINUTES + times[0] - times[-1]
        within = (after - before for before, after in pairwise(times))
        return timedelta(minutes=max([overnight, *within]))


def parse(expression: str) -> Cron:
    """Read an expression such as `cron(0 8 ? * MON-FRI *)`.

    Raises:
        InvalidCron: EventBridge would refuse it, or it never fires.
    """
    if len(expression) > LONGEST:
        raise InvalidCron(f"it has more than {LONGEST} characters")
    found = re.fullmatch(r"cron\((.*)\)", expression)
    fields = found[1].split(" ") if found else []
    if len(fields) != 6:  # noqa: PLR2004 - see the module
        raise InvalidCron(f"{expression!r} is not of the form cron(0 8 ? * MON-FRI *)")
    minutes, hours, day_of_month, months, day_of_week, years = fields
    if (day_of_month == "?") == (day_of_week == "?"):
        raise InvalidCron("give ? for either the day of month or the day of week")
    _check(day_of_month, _DAY_FORMS, _DAY)
    _check(day_of_week, _WEEKDAY_FORMS, _WEEKDAY)
    if "#" in day_of_week and "," in day_of_week:
        raise InvalidCron("day of week: # allows one value only")
    cron = Cron(
        _MINUTE.values(minutes),
        _HOUR.values(hours),
        day_of_month,
        _MONTH.values(months),
        day_of_week,
        _YEAR.values(years),
    )
    whole = date(min(cron.years), 1, 1), date(max(cron.years), 12, 31)
    if not any(cron.fires_on(day) for day in _days(*whole)):
        raise InvalidCron("it never fires: there is no such day")
    return cron


#: The forms besides values, ranges and steps.
_DAY_FORMS: Final = re.compile(r"\?|L|LW|(?P<value>[0-9]{1,2})W")
_WEEKDAY_FORMS: Final = re.compile(r"\?|L|(?P<value>[0-9]|[A-Z]{3})(?:L|#[1-5])")


def _check(text: str, forms: re.Pattern[str], field: _Field) -> None:
    for item in text.split(","):
        special = forms.fullmatch(item)
        if special is None:
            field.values(item)
        elif special["value"] is not None:
            field.number(special["value"])
        elif item == "?" and text != "?":
            raise InvalidCron(f"{field.name}: ? stands alone")


#: `longest_pause` asks for the same ones on each of ten thousand days.
_days_of_month: Final = lru_cache(maxsize=64)(_DAY.values)
_days_of_week: Final = lru_cache(maxsize=64)(_WEEKDAY.values)


def _days(first: date, last: date) -> Iterator[date]:
    return map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1))


def _in_month(item: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if item == "L":
        return day.day == last
    if item.endswith("W"):
        wanted = last if item == "LW" else int(item[:-1])
        return wanted <= last and day == _working_day(day.replace(day=wanted), last)
    return day.day in _days_of_month(item)


def _working_day(day: date, last: int) -> date:
    """Return the weekday from Monday to Friday that is nearest, in the same month."""
    if day.weekday() == calendar.SATURDAY:
        return day + timedelta(days=-1 if day.day > 1 else 2)
    if day.weekday() == calendar.SUNDAY:
        return day + timedelta(days=1 if day.day < last else -2)
    return day


def _in_week(item: str, day: date) -> bool:
    number = day.isoweekday() % _WEEK + 1  # Sunday is 1
    if item == "L":
        return number == _WEEK
    if item.endswith("L"):
        left = calendar.monthrange(day.year, day.month)[1] - day.day
        return number == _WEEKDAY.number(item[:-1]) and left < _WEEK
    value, hash_, which = item.partition("#")
    if hash_:
        return number == _WEEKDAY.number(value) and (day.day - 1) // _WEEK + 1 == int(which)
    return number in _days_of_week(item)
