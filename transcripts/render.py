"""Renders the live protocol: one JSON Schema for programs, one page for people.

    python -m transcripts.render schema     JSON Schema, draft 2020-12, to stdout
    python -m transcripts.render markdown   docs/protocol.md, to stdout

The schema and the page's generated blocks come from the models of `transcripts.protocol`, so they
cannot say anything else than the service does. The page's prose is written in the page itself; a
test compares its figures with the models. `make protocol` writes both to their places.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from transcripts import protocol
from transcripts.models import Model, Word
from transcripts.protocol import ErrorCode

CLIENT_MESSAGES: tuple[type[Model], ...] = get_args(protocol.FromClient)
SERVER_MESSAGES: tuple[type[Model], ...] = get_args(protocol.FromServer)
PARAMETERS: tuple[type[Model], ...] = (protocol.TranscribeParameters, protocol.ConnectParameters)

Schema = dict[str, Any]


# --- the schema -----------------------------------------------------------------------------


class _WireSchema(GenerateJsonSchema):
    """A schema of the messages on the wire, which is more exact than the models' own.

    Servers omit fields that are `None` and always send the others.
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
    defs["ClientMessage"] = _union(
        CLIENT_MESSAGES, "A control message of a speaker: one text frame."
    )
    defs["ServerMessage"] = _union(SERVER_MESSAGES, "A message of a server: one text frame.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Cloudscribe live protocol, version 1",
        "anyOf": [{"$ref": "#/$defs/ClientMessage"}, {"$ref": "#/$defs/ServerMessage"}],
        "$defs": dict(sorted(defs.items())),
    }


def _tag_first(definition: Schema, tag: str) -> None:
    """Put a message's tag first, and require it although the class has a default."""
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


# --- the page: texts that the models do not have ----------------------------------------------

PAGE: Final = Path(__file__).parent.parent / "docs" / "protocol.md"
#: The end of a generated block.
_END: Final = "<!-- end -->"

#: Descriptions of fields by name, unless the model has its own.
_MEANINGS = {
    "type": "the kind of message",
    "utteranceId": "the same in all partials of an utterance, its final and its stored form",
    "streamId": "the name of this stream in the service's logs",
    "engine": "the recognition engine",
    "sampleRate": "samples per second and channel, Hz",
    "channels": "interleaved channels",
    "startTime": "start, in seconds from the start of the stream",
    "endTime": "end, in seconds from the start of the stream",
    "text": "the words as one line",
    "word": "the word as it is written",
    "words": "the words with their times; empty when the engine gives none",
    "confidence": "0 (uncertain) to 1 (certain)",
    "timestamp": "wall-clock start: ISO 8601, UTC, milliseconds",
    "code": "one of the errors below",
    "retryable": "whether the same request can succeed later",
    "reason": "why the stream ended",
    "utterances": "stored utterances",
    "position": "what a viewer has received; it goes back as `since`",
    "seq": "grows by one with each message of a conversation, on each server",
    "sourceLanguage": "the language that was spoken",
    "format": "the audio that follows; overrides the query",
    "encoding": "signed 16 bit, little endian",
    "traceparent": "W3C trace context, continued by the service",
}

#: Advice for clients about each error.
_ADVICE = {
    ErrorCode.INVALID_PARAMETER: "Correct the parameter that the message names.",
    ErrorCode.TICKET_USED: "Get a new ticket and connect again.",
    ErrorCode.ACCESS_REVOKED: "Stop; ask the conversation's owner for access.",
    ErrorCode.UNSUPPORTED_LANGUAGE: "Choose one of the languages of `GET /api/stt/languages`.",
    ErrorCode.INVALID_OPTION: "Remove the option that the message names.",
    ErrorCode.INVALID_AUDIO: "Send whole samples: 2 bytes times the number of channels.",
    ErrorCode.FRAME_TOO_LARGE: "Send shorter frames; 100 ms is a good length.",
    ErrorCode.INVALID_MESSAGE: "Send only the control messages below.",
    ErrorCode.UNEXPECTED_MESSAGE: "Send `start` at most once and first, and nothing after `stop`.",
    ErrorCode.IDLE_TIMEOUT: "Connect again when there is audio; send zeros to keep a stream open.",
    ErrorCode.SLOW_CONSUMER: "Connect again and read faster; a viewer gets a fresh snapshot.",
    ErrorCode.AT_CAPACITY: "Connect again after `retryAfter` seconds.",
    ErrorCode.TOO_MANY_VIEWERS: "Connect again after `retryAfter` seconds.",
    ErrorCode.RATE_LIMITED: "Connect again after `retryAfter` seconds.",
    ErrorCode.ACCESS_UNAVAILABLE: "Connect again after `retryAfter` seconds.",
    ErrorCode.DRAINING: "Connect again at once, or after `retryAfter` when it is given.",
    ErrorCode.MOVED: "Nothing, if there is a newer connection; else resume.",
    ErrorCode.RESUME_REFUSED: "Begin a new stream with the audio that is not durable.",
    ErrorCode.LEDGER_UNAVAILABLE: "Connect again after `retryAfter` seconds; keep the audio.",
    ErrorCode.ENGINE_FAILED: "Connect again with back-off.",
    ErrorCode.ENGINE_REFUSED: "Change the request, or ask whoever runs the service.",
    ErrorCode.INTERNAL: "Connect again with back-off; report it if it persists.",
}


# --- the page: tables -------------------------------------------------------------------------


def markdown() -> str:
    """Return `docs/protocol.md` with its generated blocks rendered anew.

    Raises:
        ValueError: the page lacks one of the blocks.
    """
    page = PAGE.read_text()
    for name, render in (
        ("example session", _example_session),
        ("messages and limits", _reference),
        ("errors", _errors),
    ):
        begin = f"<!-- generated: {name} -->\n"
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(_END)
        if not (found and end):
            raise ValueError(f"{PAGE.name} has no block {begin}...{_END}")
        page = f"{before}{begin}\n{render()}\n{end}{after}"
    return page


def _reference() -> str:
    defs = schema()["$defs"]
    parts = [
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
    """Return the model's descriptions of the field and of its type, or the common meaning."""
    described = [
        of.get("description"),
        *(option.get("description") for option in of.get("anyOf", [])),
    ]
    words = "; ".join(text for text in described if text) or _MEANINGS[field]
    default = of.get("default")
    return words if default is None else f"{words} (default `{json.dumps(default)}`)"


def _limits() -> str:
    rows = [
        ("a frame, binary or text", f"{protocol.MAX_FRAME_BYTES // 1024} KiB"),
        ("audio in a binary frame", f"{protocol.MAX_FRAME_SECONDS:g} s"),
        (
            f"frames below {protocol.SMALL_FRAME_BYTES} bytes",
            f"{protocol.SMALL_FRAMES_PER_SECOND} a second; more are read more slowly",
        ),
        ("pings", f"{protocol.CONTROL_FRAMES_PER_SECOND} a second, likewise"),
        (
            "sample rate",
            f"{protocol.MIN_SAMPLE_RATE / 1000:g} to {protocol.MAX_SAMPLE_RATE / 1000:g} kHz",
        ),
        ("channels", "1 or 2"),
        ("no audio from a speaker", f"{protocol.IDLE_SECONDS:g} s, then `idle_timeout`"),
        ("no message to a viewer", f"{protocol.HEARTBEAT_SECONDS:g} s, then a `heartbeat`"),
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
    return _table(("code", "close code", "meaning", "retry", "what to do"), rows)


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
            engine="moonshine",
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
    lines = [line if isinstance(line, str) else _sent(line) for line in exchange]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _sent(message: Model) -> str:
    direction = ">" if isinstance(message, CLIENT_MESSAGES) else "<"
    fields = json.loads(protocol.encode(message))
    return f"{direction} {json.dumps({'type': fields.pop('type'), **fields})}"


# --- the command ------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the form that the command line names."""
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
