"""The server's metrics for Prometheus.

Labels carry codes and routes; never audio, text, keys or names.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_WAITS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_WORK = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0)


class Metrics:
    """The metrics of one server; each has a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "cloudscribe_transcriber_requests",
            "HTTP requests by route and status",
            ["route", "status"],
            registry=registry,
        )
        self.waiting = Gauge(
            "cloudscribe_transcriber_waiting",
            "Requests that wait for a transcriber",
            registry=registry,
        )
        self.running = Gauge(
            "cloudscribe_transcriber_running",
            "Recordings that are being transcribed",
            registry=registry,
        )
        self.ready = Gauge(
            "cloudscribe_transcriber_ready", "1 while a transcriber is loaded", registry=registry
        )
        self.idle = Gauge(
            "cloudscribe_transcriber_idle_seconds",
            "Time since there was any work",
            registry=registry,
        )
        self.wait = Histogram(
            "cloudscribe_transcriber_wait_seconds",
            "From a recording's arrival to its turn",
            buckets=_WAITS,
            registry=registry,
        )
        self.work = Histogram(
            "cloudscribe_transcriber_work_seconds",
            "Time that a transcriber takes for a recording",
            buckets=_WORK,
            registry=registry,
        )
        self.audio = Counter(
            "cloudscribe_transcriber_audio_seconds", "Audio that was transcribed", registry=registry
        )
        self.outcomes = Counter(
            "cloudscribe_transcriber_outcomes",
            "Recordings by how they ended",
            ["code"],
            registry=registry,
        )
        self.restarts = Counter(
            "cloudscribe_transcriber_restarts",
            "Transcribers that had to be replaced",
            registry=registry,
        )
        self.jobs = Counter(
            "cloudscribe_transcriber_jobs",
            "Jobs of the queue by how they ended",
            ["end"],
            registry=registry,
        )
