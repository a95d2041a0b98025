"""Renders the live protocol: one JSON Schema for programs, one page for people.

    python -m transcripts.render schema     JSON Schema, draft 2020-12, to stdout
    python -m transcripts.render markdown   docs/protocol.md, to stdout

Both come from the models of `transcripts.protocol`, so they cannot say anything else than
the service does. `make protocol` writes them to their places.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from transcripts import protocol
from transcripts.models import Model, Word
from transcripts.protocol import ErrorCode

CLIENT_MESSAGES: tuple[type[Model], ...] = (protocol.Start, protocol.Stop)
SERVER_MESSAGES: tuple[type[Model], ...] = (
    protocol.Ready,
    protocol.Partial,
    protocol.Final,
    protocol.Ack,
    protocol.Error,
    protocol.Closed,
    protocol.Snapshot,
    protocol.Heartbeat,
    protocol.Translation,
    protocol.TranslationStatus,
)
PARAMETERS: tuple[type[Model], ...] = (protocol.TranscribeParameters, protocol.ConnectParameters)

Schema = dict[str, Any]


# --- the schema -----------------------------------------------------------------------------


class _WireSchema(GenerateJsonSchema):
    """A schema of what is on the wire, which is more exact than the models' own.

    Servers leave out what is `None` and always send the rest.
    """

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,  # noqa: FBT001 - pydantic's signature
    ) -> bool:
        if self.mode == "serialization":
            return not _is_nullable(field["schema"])
        return super().field_is_required(field, total)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Schema:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().nullable_schema(schema)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Schema:
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        # A title that repeats the name would become a type of its own in generated code.
        del schema
        return False


def _is_nullable(schema: Any) -> bool:
    inner = schema["schema"] if schema["type"] == "default" else schema
    return bool(inner["type"] == "nullable")


def schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of every message and parameter.

    Everything is found under `$defs`; `ClientMessage` and `ServerMessage` are the unions.
    """
    inputs: list[tuple[type[Model], JsonSchemaMode]] = [
        *((model, "validation") for model in (*CLIENT_MESSAGES, *PARAMETERS)),
        *((model, "serialization") for model in SERVER_MESSAGES),
    ]
    _, definitions = models_json_schema(inputs, schema_generator=_WireSchema)
    defs: Schema = definitions["$defs"]
    for model in (*CLIENT_MESSAGES, *SERVER_MESSAGES):
        _tag_first(defs[model.__name__], _tag(model))
    defs["ClientMessage"] = _union(CLIENT_MESSAGES, "What a speaker sends as a text frame.")
    defs["ServerMessage"] = _union(SERVER_MESSAGES, "What a server sends, one per text frame.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudscribe live protocol, version 1",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": dict(sorted(defs.items())),
    }


def _tag_first(definition: Schema, tag: str) -> None:
    """Let a message begin with its tag, which is required although the class has a default."""
    properties = definition["properties"]
    del properties["type"]
    definition["properties"] = {"type": {"const": tag, "type": "string"}, **properties}
    required = [name for name in definition.get("required", []) if name != "type"]
    definition["required"] = ["type", *required]


def _union(models: Iterable[type[Model]], description: str) -> Schema:
    refs = {_tag(model): f"#/$defs/{model.__name__}" for model in models}
    return {
        "description": description,
        "oneOf": [{"$ref": ref} for ref in refs.values()],
        "discriminator": {"propertyName": "type", "mapping": refs},
    }


def _tag(model: type[Model]) -> str:
    return str(model.model_fields["type"].default)


# --- the page: words that the models do not have ----------------------------------------------

#: What a field means wherever it occurs, unless the model describes it.
_MEANINGS = {
    "type": "the kind of message",
    "utteranceId": "the same in every partial of an utterance, its final and its stored form",
    "streamId": "names this stream in the service's logs",
    "engine": "the recognition engine",
    "sampleRate": "samples per second and channel, Hz",
    "channels": "interleaved channels",
    "startTime": "begin, in seconds from the start of the stream",
    "endTime": "end, in seconds from the start of the stream",
    "text": "the words as one line",
    "word": "the word as written",
    "words": "the words with their times; empty when the engine gives none",
    "confidence": "0 (a guess) to 1 (certain)",
    "timestamp": "wall-clock begin: ISO 8601, UTC, milliseconds",
    "code": "one of the errors below",
    "retryable": "whether the same request can succeed later",
    "reason": "why the stream ended",
    "utterances": "stored utterances",
    "seq": "grows by one per conversation and server",
    "sourceLanguage": "the language that was spoken",
    "format": "the audio that follows; overrides the query",
    "encoding": "signed 16 bit, little endian",
    "traceparent": "W3C trace context, continued by the service",
}

#: What a client does about each error.
_ADVICE = {
    ErrorCode.INVALID_PARAMETER: "Correct the parameter that the message names.",
    ErrorCode.UNSUPPORTED_LANGUAGE: "Ask for one of those in `GET /api/stt/languages`.",
    ErrorCode.INVALID_OPTION: "Leave out the option that the message names.",
    ErrorCode.INVALID_AUDIO: "Send whole samples: 2 bytes times the number of channels.",
    ErrorCode.FRAME_TOO_LARGE: "Send shorter frames; 100 ms is a good length.",
    ErrorCode.INVALID_MESSAGE: "Send only the control messages below.",
    ErrorCode.UNEXPECTED_MESSAGE: "Send `start` at most once and first, and nothing after `stop`.",
    ErrorCode.IDLE_TIMEOUT: "Connect again when there is audio; send zeros to keep a stream open.",
    ErrorCode.SLOW_CONSUMER: "Connect again and read faster; a viewer gets a fresh snapshot.",
    ErrorCode.AT_CAPACITY: "Connect again after `retryAfter` seconds.",
    ErrorCode.TOO_MANY_VIEWERS: "Connect again after `retryAfter` seconds.",
    ErrorCode.RATE_LIMITED: "Connect again after `retryAfter` seconds.",
    ErrorCode.DRAINING: "Connect again at once, or after `retryAfter` when it is given.",
    ErrorCode.ENGINE_FAILED: "Connect again with backoff.",
    ErrorCode.ENGINE_REFUSED: "Change what you ask for, or ask whoever runs the service.",
    ErrorCode.INTERNAL: "Connect again with backoff; report it when it stays.",
}

_HEAD = """\
# The live protocol, version 1

Rendered from `transcripts/protocol.py` by `make protocol`; changes made here are lost.

| endpoint | for |
|---|---|
| `GET /api/stt/healthcheck` | `200`, `Yes, I'm ok`, also while every recognition slot is busy |
| `GET /api/stt/ready` | `200`, or `429` with `Retry-After` when the service is draining or full |
| `GET /api/stt/languages` | what can be recognised, and translated into |
| `GET /metrics` | Prometheus metrics |
| `WS /api/stt/transcribe` | a speaker: audio in, results out |
| `WS /api/stt/connect` | a viewer: the results of a conversation |

A conversation has any number of speakers and of viewers, and needs no creation: it begins
with the first connection that names it. Text frames hold one JSON object with a `type`,
in UTF-8. Times are seconds. Fields that have no value are left out. A client ignores fields
and message types that it does not know, and goes by `retryable` where it does not know the code
of an error; a server refuses what it does not know in control messages.
"""

_LIFECYCLE = """\
## A speaker

1. Open `WS /api/stt/transcribe?sampleRate=16000&conversationId=...`. The query says what the
   audio is; `sampleRate` is the one parameter that must be there.
2. Optionally send `start`, once, before any audio, for what a query is too small for.
3. Wait for `ready`. Where the stream is refused, `error` comes in its place, then the close.
4. Send audio as binary frames: PCM, signed 16 bit, little endian, channels interleaved. 20 to
   200 ms per frame is usual. Frames need not be of equal length.
5. Read all the time. `partial` is a guess: the next message with its `utteranceId` replaces
   it. `final` ends the utterance, is queued for storage when it is sent, and is never
   rewritten. A `partial` with an empty `text` takes the guess back. `ack` tells about once a
   second how much audio was taken and how much of it the engine has consumed. When an engine
   falls behind, `lag` grows up to a bound; then the server stops reading from the socket until
   it has caught up. Audio is not dropped.
6. Send `stop`. The server recognises what it still holds, sends the last finals, a last `ack`
   and `closed`, and closes with {normal}. A client that goes without `stop` does not see the
   last words; they are recognised and stored nonetheless.

Two channels are mixed into one, unless `channelMode` is `separate`: then each is recognised by
itself, results carry their `channel`, and an utterance of each may be open at a time. Engines that
cannot do it, and operators who do not allow it, refuse with `invalid_option`. `options` are the
engine's own: with Amazon Transcribe the parameters of its streaming request, for example
`options={{"show-speaker-label":"true"}}`, as far as the operator allows them; `specialty` and
`type` make it a stream of Amazon Transcribe Medical, in US English. Where the engine
tells several people at one microphone apart, `speaker` stays the name that the stream was given,
and `speakerLabel` says which of them it was. Within a stream a label is never reused for somebody
else; after a break in the engine's session the same person may get a new one.

The server ends a stream by itself with `closed` when it is longer than `maxSeconds`
(`max_duration`) or when the service shuts down (`draining`): everything received is
recognised first.

## A viewer

1. Open `WS /api/stt/connect?conversationId=...`.
2. The first message is `snapshot`: the finals of the last {snapshot:g} seconds, oldest first.
   Where `complete` is false, the table could not be read: it holds what this server knows.
3. Then comes every `partial` and `final` of every speaker, as it happens, in the order of
   `seq`. Nothing that is in the snapshot comes again, and nothing after it is left out.
4. At least every {heartbeat:g} seconds something comes, a `heartbeat` if nothing else: a viewer
   who hears nothing for twice that long has lost the connection and opens a new one. Its
   snapshot closes the gap; utterances are told apart by `utteranceId`.

With `language`, what was said in other languages is translated as it comes: the originals go
their way unchanged, and `translation` messages follow them, each with the `utteranceId` and the
`seq` of what it translates. Finals are always translated, those of the snapshot too; of the
partials as many as make sense. A translation is never waited for: who shows it shows the original
until it is there. `translation_status` says when they fail to come. `GET /api/stt/languages`
names the languages; another one is refused with `unsupported_language`.

A viewer sends nothing. One who does not read is closed with `slow_consumer`, so that nobody
else waits for it. `mode=snapshot` repeats the `snapshot` every {heartbeat:g} seconds and sends
nothing else.

## Too many

Viewers have places as speakers have slots: so many on a server, and so many of them in one
conversation. By address only the rate of connecting is bounded, not the number of connections,
for a lecture hall is one address; an IPv6 network of 64 bits counts as one, too. Who comes too
fast, or finds no place, is refused by name with `retryAfter`. Who goes on coming too fast, or asks
time and again for what is refused, gets a plain HTTP 429 with `Retry-After` in place of the
WebSocket. The request that opens a connection must be complete within {request:g} seconds.

## An example session

`>` is sent by the client, `<` by the server.

"""

_ERRORS = """\
## Errors

A refusal or a failure is told twice: by an `error` message, and by the code of the close that
follows at once. The handshake itself succeeds, because browsers do not show why one failed; an
unknown path is answered `404`, a page of an origin that is not allowed `403`, and a load
balancer in front may answer `502` or `503` before the service is reached. To retry with backoff
means: after 0.5 s, doubled each time up to 30 s, with jitter, and not before `retryAfter`
seconds when it is given.

{table}
Codes without an `error` message: {normal} is the normal end. {going_away} means that the server
shuts down; what was said is safe, and another server takes new connections. What breaks WebSocket
itself (RFC 6455) is closed with that protocol's codes: {protocol_error} for frames that are none,
without a mask, or mixed up, {invalid_text} for a text that is not UTF-8, {too_big} for a frame
beyond twice the limit. 1006 is what a client's library calls a connection that broke off. A
handshake for another version of WebSocket than 13 is answered `426`.
"""

_EXAMPLES = """\
## Client examples

### Browser

```js
const speaker = new WebSocket(
  `wss://${location.host}/api/stt/transcribe?sampleRate=${sampleRate}&conversationId=standup`);
const captions = new Map();  // utteranceId -> text: a later message replaces an earlier one

speaker.onmessage = ({data}) => {
  const message = JSON.parse(data);
  if (message.type === "ready") startRecording((pcm) => speaker.send(pcm));  // an Int16Array
  if (message.type === "partial" || message.type === "final")
    captions.set(message.utteranceId, message.text);
  if (message.type === "error") console.warn(message.code, message.message, message.retryAfter);
};
const stop = () => speaker.send(JSON.stringify({type: "stop"}));  // then wait for "closed"
```

### Python

Prints the finals of a 16 bit WAV file, sent as fast as the service takes it:

```python
import asyncio
import sys
import wave

import aiohttp


async def send(socket: aiohttp.ClientWebSocketResponse, audio: wave.Wave_read) -> None:
    while pcm := audio.readframes(audio.getframerate() // 10):
        await socket.send_bytes(pcm)
    await socket.send_json({"type": "stop"})


async def main(base: str, path: str) -> None:
    with wave.open(path) as audio:
        query = {"sampleRate": audio.getframerate(), "channels": audio.getnchannels()}
        async with (
            aiohttp.ClientSession(base) as http,
            http.ws_connect("/api/stt/transcribe", params=query) as socket,
            asyncio.TaskGroup() as tasks,
        ):
            sending = None
            async for frame in socket:
                message = frame.json()
                if message["type"] == "ready":
                    sending = tasks.create_task(send(socket, audio))
                elif message["type"] == "final":
                    print(message["text"])
                elif message["type"] == "error":
                    raise SystemExit(f"{message['code']}: {message['message']}")


asyncio.run(main(sys.argv[1], sys.argv[2]))
```

`client/live/connection.py` is a complete client with typed messages and errors.
"""


# --- the page: tables -------------------------------------------------------------------------


def markdown() -> str:
    """Return `docs/protocol.md`."""
    defs = schema()["$defs"]
    parts = [
        _HEAD,
        _LIFECYCLE.format(
            normal=protocol.CLOSE_NORMAL,
            snapshot=protocol.SNAPSHOT_SECONDS,
            heartbeat=protocol.HEARTBEAT_SECONDS,
            request=protocol.REQUEST_SECONDS,
        )
        + _example_session(),
        "## Parameters\n",
        _section(
            defs,
            "TranscribeParameters",
            note="Unknown parameters are ignored.",
            title="`WS /api/stt/transcribe`",
        ),
        _section(defs, "ConnectParameters", note="", title="`WS /api/stt/connect`"),
        "## Messages of the client\n",
        *(_message(defs, model) for model in CLIENT_MESSAGES),
        _section(defs, "AudioFormat", note="", title="AudioFormat, in `start`"),
        "## Messages of the server\n",
        *(_message(defs, model) for model in SERVER_MESSAGES),
        _section(defs, "Word", note="", title="Word, in `partial`, `final` and Utterance"),
        _section(defs, "Utterance", note="", title="Utterance, in `snapshot`"),
        _limits(),
        _errors(),
        _EXAMPLES,
    ]
    return "\n".join(parts)


def _message(defs: Schema, model: type[Model]) -> str:
    return _section(defs, model.__name__, note="", title=f"`{_tag(model)}`")


def _section(defs: Schema, name: str, *, note: str, title: str) -> str:
    definition = defs[name]
    required = definition.get("required", [])
    rows = [
        (
            f"`{field}`",
            _type(of),
            "yes" if field in required else "no",
            _meaning(field, of),
        )
        for field, of in definition["properties"].items()
    ]
    text = f"{_as_on_the_wire(definition['description'])} {note}".strip()
    return f"### {title}\n\n{text}\n\n{_table(('field', 'type', 'required', 'meaning'), rows)}"


def _as_on_the_wire(description: str) -> str:
    """Return a docstring as one line in which fields have their names in JSON."""
    line = " ".join(description.split())
    return re.sub(r"(?<=`)[a-z]+(_[a-z]+)+(?=`)", lambda match: to_camel(match[0]), line)


def _type(of: Schema) -> str:
    """Return a field's type in words, e.g. `integer, 1 to 2`."""
    options = [option for option in of.get("anyOf", []) if option != {"type": "null"}]
    if options:
        return " or ".join(_type(option) for option in options)
    if "$ref" in of:
        return str(of["$ref"].rpartition("/")[2])
    if "const" in of or "enum" in of:
        return " or ".join(f'`"{value}"`' for value in of.get("enum", [of.get("const")]))
    if of["type"] == "array":
        return f"array of {_type(of['items'])}"
    return _ranged(of)


def _ranged(of: Schema) -> str:
    low, high = of.get("minimum"), of.get("maximum")
    if low is not None and high is not None:
        return f"{of['type']}, {low:g} to {high:g}"
    return str(of["type"]) if low is None else f"{of['type']}, {low:g} or more"


def _meaning(field: str, of: Schema) -> str:
    """Return what the model says about the field and about its type, or the common meaning."""
    texts = [each.get("description") for each in (of, *of.get("anyOf", []))]
    words = "; ".join(text for text in texts if text) or _MEANINGS[field]
    default = of.get("default")
    return words if default is None else f"{words} (default `{json.dumps(default)}`)"


def _limits() -> str:
    rows = [
        ("a frame, binary or text", f"{protocol.MAX_FRAME_BYTES // 1024} KiB"),
        ("audio in a binary frame", f"{protocol.MAX_FRAME_SECONDS:g} s"),
        (
            f"frames below {protocol.SMALL_FRAME_BYTES} bytes",
            f"{protocol.SMALL_FRAMES_PER_SECOND} a second; beyond, they are read more slowly",
        ),
        ("pings", f"{protocol.CONTROL_FRAMES_PER_SECOND} a second, likewise"),
        (
            "sample rate",
            f"{protocol.MIN_SAMPLE_RATE / 1000:g} to {protocol.MAX_SAMPLE_RATE / 1000:g} kHz",
        ),
        ("channels", "1 or 2"),
        ("no audio from a speaker", f"{protocol.IDLE_SECONDS:g} s, then `idle_timeout`"),
        ("nothing said to a viewer", f"{protocol.HEARTBEAT_SECONDS:g} s, then a `heartbeat`"),
        ("a snapshot reaches back", f"{protocol.SNAPSHOT_SECONDS:g} s"),
    ]
    return f"## Limits\n\n{_table(('what', 'limit'), rows)}"


def _errors() -> str:
    rows = [
        (
            f"`{code}`",
            str(kind.close_code),
            kind.meaning,
            "yes" if kind.retryable else "no",
            _ADVICE[code],
        )
        for code, kind in protocol.ERRORS.items()
    ]
    table = _table(("code", "close code", "meaning", "retry", "what to do"), rows)
    return _ERRORS.format(
        table=table,
        normal=protocol.CLOSE_NORMAL,
        going_away=protocol.CLOSE_GOING_AWAY,
        protocol_error=protocol.CLOSE_PROTOCOL_ERROR,
        invalid_text=protocol.CLOSE_INVALID_TEXT,
        too_big=protocol.CLOSE_MESSAGE_TOO_BIG,
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- ", "|---")


def _example_session() -> str:
    """Return a short session; its messages are made by the models, so they are valid."""
    hello = Word(word="good", start_time=0.42, end_time=0.71, confidence=0.94)
    morning = Word(word="morning", start_time=0.71, end_time=1.2, confidence=0.97)
    common: dict[str, Any] = {
        "conversation_id": "standup",
        "utterance_id": "1f0c5a7e-0",
        "speaker": "Ada",
        "language": "en-US",
        "start_time": hello.start_time,
    }
    exchange: list[str | Model] = [
        "> GET /api/stt/transcribe?sampleRate=16000&conversationId=standup&speaker=Ada",
        protocol.Start(interim_results=True),
        protocol.Ready(
            conversation_id="standup",
            stream_id="1f0c5a7e",
            engine="pocketsphinx",
            language="en-US",
            sample_rate=16_000,
            channels=1,
        ),
        "> (binary: 3200 bytes, 100 ms)  ... and so on, every 100 ms",
        protocol.Partial(
            **common, end_time=hello.end_time, text=hello.word, words=(hello,), seq=41
        ),
        protocol.Ack(received=1.0, processed=0.9, lag=0.1),
        protocol.Final.model_validate(
            {
                **common,
                "end_time": morning.end_time,
                "text": "good morning",
                "words": (hello, morning),
                "seq": 42,
                "timestamp": "2026-11-20T09:00:03.250Z",
            }
        ),
        protocol.Stop(),
        protocol.Ack(received=1.8, processed=1.8, lag=0),
        protocol.Closed(reason="stopped", duration=1.8, finals=1),
        f"< (close {protocol.CLOSE_NORMAL})",
    ]
    lines = [line if isinstance(line, str) else _spoken(line) for line in exchange]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _spoken(message: Model) -> str:
    direction = ">" if isinstance(message, CLIENT_MESSAGES) else "<"
    fields = json.loads(protocol.encode(message))
    return f"{direction} {json.dumps({'type': fields.pop('type'), **fields})}"


# --- the command ------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m transcripts.render",
        description="Render the live protocol from its models.",
    )
    parser.add_argument(
        "form",
        choices=("schema", "markdown"),
        help="schema: JSON Schema of every message; markdown: the text of docs/protocol.md",
    )
    form = parser.parse_args(arguments).form
    text = f"{json.dumps(schema(), indent=2)}\n" if form == "schema" else markdown()
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
