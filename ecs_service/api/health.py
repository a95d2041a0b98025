"""For load balancers and operators: alive, ready for more, and the metrics."""

from __future__ import annotations

from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ecs_service import telemetry
from ecs_service.api.requests import Answer, as_json, text
from ecs_service.conversations.outbox import Outbox
from ecs_service.sessions.admission import Admission


class Health:
    """Answers about the state of the service."""

    def __init__(self, admission: Admission, outbox: Outbox | None) -> None:
        self._admission = admission
        self._outbox = outbox

    def healthcheck(self) -> Answer:
        """Say that the process lives; true also while every slot is busy."""
        return text("Yes, I'm ok")

    def ready(self) -> Answer:
        """Say whether another stream would be taken: 200, or 503 with the time to come back."""
        admission = self._admission
        state = "draining" if admission.draining else "full" if admission.full else "ready"
        body = {"state": state, "streams": admission.taken, "capacity": admission.capacity}
        if state == "ready":
            return as_json(body, HTTPStatus.OK, {})
        retry_after = str(max(1, round(admission.retry_after())))
        return as_json(body, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": retry_after})

    def metrics(self) -> Answer:
        """Return the metrics in the text format of Prometheus."""
        if self._outbox is not None:
            telemetry.outbox_waiting.set(self._outbox.waiting())
            telemetry.outbox_age.set(self._outbox.oldest_age())
            telemetry.outbox_unconfirmed.set(self._outbox.unconfirmed())
        return Answer(HTTPStatus.OK, generate_latest(), CONTENT_TYPE_LATEST)
