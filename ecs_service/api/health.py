"""For load balancers and operators: alive, ready for more, and the metrics."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ecs_service import telemetry
from ecs_service.conversations.outbox import Outbox
from ecs_service.sessions.admission import Admission

ADMISSION = web.AppKey("admission", Admission)
#: Absent where nothing is stored.
OUTBOX = web.AppKey("outbox", Outbox)

routes = web.RouteTableDef()


@routes.get("/api/stt/healthcheck")
async def healthcheck(_: web.Request) -> web.Response:
    """Say that the process lives; true also while every slot is busy."""
    return web.Response(text="Yes, I'm ok")


@routes.get("/api/stt/ready")
async def ready(request: web.Request) -> web.Response:
    """Say whether another stream would be taken: 200, or 503 with the time to come back."""
    admission = request.app[ADMISSION]
    state = "draining" if admission.draining else "full" if admission.full else "ready"
    body = {"state": state, "streams": admission.taken, "capacity": admission.capacity}
    if state == "ready":
        return web.json_response(body)
    retry_after = str(max(1, round(admission.retry_after())))
    return web.json_response(body, status=503, headers={"Retry-After": retry_after})


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Return the metrics in the text format of Prometheus."""
    outbox = request.app.get(OUTBOX)
    if outbox is not None:
        telemetry.outbox_waiting.set(outbox.waiting())
        telemetry.outbox_age.set(outbox.oldest_age())
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
