"""Messages from frames, as RFC 6455 wants them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_service.api.rfc6455 import (
    Assembler,
    FrameKind,
    MessageKind,
    MessageTooLong,
    Violation,
    answer_to_close,
)
from transcripts.protocol import MAX_FRAME_BYTES

pytestmark = pytest.mark.unit

cuts = st.lists(st.integers(0, 60), max_size=5).map(sorted)


def parts(whole: bytes, where: list[int]) -> list[bytes]:
    return [whole[a:b] for a, b in zip([0, *where], [*where, len(whole)], strict=True)]


def put_together(messages: Assembler, kind: MessageKind, pieces: list[bytes]) -> object:
    taken = None
    for number, piece in enumerate(pieces):
        name: FrameKind = "continuation" if number else kind
        taken = messages.add(name, piece, fin=number == len(pieces) - 1)
    return taken


@given(st.lists(st.tuples(st.text(max_size=40), cuts), min_size=1, max_size=3))
def test_a_message_is_the_same_however_it_is_cut(texts: list[tuple[str, list[int]]]) -> None:
    messages = Assembler()

    for text, where in texts:
        whole = text.encode()
        assert put_together(messages, "text", parts(whole, where)) == ("text", whole)
        assert put_together(messages, "binary", parts(whole, where)) == ("binary", whole)
    assert messages.unfinished is None


@given(st.binary(max_size=40), cuts)
def test_a_text_is_utf8_or_a_violation(whole: bytes, where: list[int]) -> None:
    try:
        whole.decode()
    except UnicodeDecodeError:
        with pytest.raises(Violation) as violation:
            put_together(Assembler(), "text", parts(whole, where))
        assert violation.value.close_code == 1007
    else:
        assert put_together(Assembler(), "text", parts(whole, where)) == ("text", whole)


def test_a_wrong_byte_is_not_waited_out() -> None:
    with pytest.raises(Violation):
        Assembler().add("text", b"\xff", fin=False)


@pytest.mark.parametrize("second", ["text", "binary"])
def test_frames_of_two_messages_are_not_mixed(second: MessageKind) -> None:
    messages = Assembler()
    messages.add("binary", b"ab", fin=False)

    with pytest.raises(Violation) as violation:
        messages.add(second, b"ab", fin=True)

    assert violation.value.close_code == 1002


def test_a_message_does_not_begin_in_its_middle() -> None:
    with pytest.raises(Violation):
        Assembler().add("continuation", b"", fin=True)


def test_what_is_held_of_a_message_is_bounded() -> None:
    messages = Assembler()
    messages.add("binary", bytes(MAX_FRAME_BYTES), fin=False)

    with pytest.raises(MessageTooLong):
        messages.add("continuation", b"a", fin=False)


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", 1000),
        *((code.to_bytes(2) + b"why", 1000) for code in (1000, 1001, 1011, 1014, 3000, 4999)),
        *((code.to_bytes(2), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)),
    ],
)
def test_a_close_is_answered_unless_its_code_is_none(payload: bytes, answer: int) -> None:
    assert answer_to_close(payload) == answer
