"""Operations: who is notified of what, and where one looks.

watched     what is looked at: the capabilities of one environment
notices     the topic that people subscribe to, and the budgets
alarms      an alarm for every way to lose data or money
dashboards  a page for the business and one for the operator
"""

from __future__ import annotations

from infra.alarms import LossAlarms
from infra.dashboards import Dashboards
from infra.notices import Budgets, Notices
from infra.watched import Watched

__all__ = ["Budgets", "Dashboards", "LossAlarms", "Notices", "Watched"]
