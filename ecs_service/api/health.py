"""Health for load balancers, readiness for callers, and metrics for operators.

No answer here is a 5xx. A load balancer counts those as errors of the service and an alarm on them
takes a deployment back, so a caller who asks a full service again and again must not get one. What
the load balancer asks lies outside `/api/`, which is all that any entrance passes on.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ecs_service import telemetry
from ecs_service.api.requests import Answer, as_json, text
from ecs_service.conversations.outbox import Outbox
from ecs_service.limits.stream_slots import StreamSlots

#: What the load balancer's health check asks.
LOAD_BALANCER_PATH: Final = "/health"


class Health:
    """Answers about the state of the service."""

    def __init__(self, slots: StreamSlots, outbox: Outbox | None) -> None:
        self._slots = slots
        self._outbox = outbox

    def pages(self) -> dict[str, Callable[[], Answer]]:
        """Return the answers by path."""
        return {
            LOAD_BALANCER_PATH: self.healthcheck,
            "/api/stt/healthcheck": self.healthcheck,
            "/api/stt/ready": self.ready,
            "/metrics": self.metrics,
        }

    def healthcheck(self) -> Answer:
        """Answer 200 while the process lives, also while it is full or draining."""
        return text("Yes, I'm ok")

    def ready(self) -> Answer:
        """Answer 200 if another stream would be taken, else 429 with the time to come back."""
        slots = self._slots
        state = "draining" if slots.is_draining else "full" if slots.is_full else "ready"
        body = {"state": state, "streams": slots.taken, "capacity": slots.capacity}
        if state == "ready":
            return as_json(body, HTTPStatus.OK, {})
        retry_after = str(max(1, round(slots.retry_after())))
        return as_json(body, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": retry_after})

    def metrics(self) -> Answer:
        """Return the metrics in the text format of Prometheus."""
        if self._outbox is not None:
            telemetry.outbox_waiting.set(self._outbox.count_waiting())
            telemetry.outbox_age.set(self._outbox.oldest_age())
            telemetry.outbox_unconfirmed.set(self._outbox.count_unconfirmed())
        return Answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
