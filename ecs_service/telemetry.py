"""The service's Prometheus metrics. Labels contain codes; never audio, text or people's names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_DELAYS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

open_streams = Gauge("cloudscribe_open_streams", "Audio streams under recognition")
viewers = Gauge("cloudscribe_viewers", "Viewers' connections")
audio_seconds = Counter("cloudscribe_audio_seconds", "Audio received, seconds")
refusals = Counter("cloudscribe_refusals", "Connections refused or ended by an error", ["code"])
access_refusals = Counter(
    "cloudscribe_access_refusals",
    "Requests and connections refused or ended for want of a ticket or a right",
    ["reason"],
)
ledger_calls = Counter("cloudscribe_ledger_calls", "Calls of the ledger of streams", ["call"])
streams_resumed = Counter(
    "cloudscribe_streams_resumed", "Streams that a client resumed: here, or taken over", ["how"]
)
streams_swept = Counter(
    "cloudscribe_streams_swept", "Streams without a task, by the state that followed", ["state"]
)
access_calls = Counter(
    "cloudscribe_access_calls",
    "Calls of the table `access`, by kind; one may read several items",
    ["kind"],
)
connections_dropped = Counter(
    "cloudscribe_connections_dropped", "Pending connections that were dropped for new ones"
)
rests = Counter(
    "cloudscribe_rests", "Pauses in reading from clients that sent too many small frames"
)
finals = Counter("cloudscribe_finals", "Utterances that became final")
lag = Histogram("cloudscribe_lag_seconds", "Audio that waits for the engine", buckets=_DELAYS)
first_partial_delay = Histogram(
    "cloudscribe_first_partial_seconds",
    "From the begin of a stream's first utterance to its first partial",
    buckets=_DELAYS,
)
final_delay = Histogram(
    "cloudscribe_final_delay_seconds",
    "From the end of an utterance, as spoken live, to its final",
    buckets=_DELAYS,
)
outbox_waiting = Gauge("cloudscribe_outbox_waiting", "Finals that wait for the queue")
outbox_age = Gauge("cloudscribe_outbox_age_seconds", "How long the oldest of them has waited")
outbox_unconfirmed = Gauge(
    "cloudscribe_outbox_unconfirmed",
    "Finals that the queue has, and that are not confirmed to be in the table yet",
)
finals_sent_again = Counter(
    "cloudscribe_finals_sent_again", "Finals sent again because they were not in the table"
)
finals_not_stored = Counter(
    "cloudscribe_finals_not_stored", "Finals given up because they never reached the table"
)
translation_calls = Counter(
    "cloudscribe_translation_calls", "Calls of the translator, by kind of text", ["kind"]
)
translation_characters = Counter(
    "cloudscribe_translation_characters", "Characters translated, which determine the cost"
)
translation_failures = Counter(
    "cloudscribe_translation_failures", "Calls of the translator that failed", ["error"]
)
translations_missing = Counter(
    "cloudscribe_translations_missing", "Finals without a translation for readers of a language"
)
translation_delay = Histogram(
    "cloudscribe_translation_delay_seconds",
    "From a partial or final to its translation, debouncing included",
    ["kind"],
    buckets=_DELAYS,
)
