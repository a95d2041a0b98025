"""Health for load balancers, readiness for clients, and metrics for operators.

No response here is a 5xx. Load balancers count those as errors of the service, and an alarm on them
rolls a deployment back; a client that polls a full service must not be able to cause that. The load
balancer's own path lies outside `/api/`, so that no client reaches it from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ecs_service import telemetry
from ecs_service.api.requests import HttpResponse, json_response, text_response
from ecs_service.conversations.journal import Journal
from ecs_service.limits.stream_slots import StreamSlots

#: The path of the load balancer's health check.
LOAD_BALANCER_PATH: Final = "/health"


class HealthEndpoints:
    """The endpoints that report the state of the service."""

    def __init__(self, slots: StreamSlots, journal: Journal | None) -> None:
        self._slots = slots
        self._journal = journal

    def routes(self) -> dict[str, Callable[[], HttpResponse]]:
        """Return the endpoints by path."""
        return {
            LOAD_BALANCER_PATH: self.healthcheck,
            "/api/stt/healthcheck": self.healthcheck,
            "/api/stt/ready": self.ready,
            "/metrics": self.metrics,
        }

    def healthcheck(self) -> HttpResponse:
        """Return 200 while the process lives, even while it is full or draining."""
        return text_response("Yes, I'm ok")

    def ready(self) -> HttpResponse:
        """Return 200 if another stream would be accepted, else 429 with `Retry-After`."""
        slots = self._slots
        state = "draining" if slots.is_draining else "full" if slots.is_full else "ready"
        body = {"state": state, "streams": slots.taken, "capacity": slots.capacity}
        if state == "ready":
            return json_response(body, HTTPStatus.OK, {})
        retry_after = str(max(1, round(slots.retry_after())))
        return json_response(body, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": retry_after})

    def metrics(self) -> HttpResponse:
        """Return the metrics in the text format of Prometheus."""
        if self._journal is not None:
            telemetry.outbox_waiting.set(self._journal.count_waiting())
            telemetry.outbox_age.set(self._journal.oldest_age())
            telemetry.outbox_unconfirmed.set(self._journal.count_sent())
        return HttpResponse(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
