from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcripts.recordings.keys import (
    CHUNK_FAILURE_KEYS,
    CHUNK_KEYS,
    CHUNK_OUTCOME_EVENTS,
    CHUNK_TRANSCRIPT_KEYS,
    FAILURE,
    MAX_KEY_BYTES,
    METADATA_EVENTS_END,
    METADATA_KEYS,
    Chunk,
    Session,
    UnknownKey,
    Upload,
    beside,
    described_session,
    named_session,
    recording,
    transcribed_chunk,
)

pytestmark = pytest.mark.unit

names = st.text(
    st.characters(min_codepoint=32, exclude_characters="/\x7f", exclude_categories=["Cs"]),
    min_size=1,
    max_size=40,
)
sessions = names.filter(lambda name: not name.rpartition("-chunk-")[2].isdecimal())
digits = st.from_regex(r"[0-9]{1,9}", fullmatch=True)


@given(names, sessions, digits)
def test_a_chunk_is_found_again_from_its_audio_and_from_its_transcript(
    user: str, session: str, number: str
) -> None:
    chunk = recording(f"users/{user}/audio/sessions/{session}/chunk-{number}.webm")

    assert chunk == Chunk(session=Session(user_id=user, session_id=session), name=f"chunk-{number}")
    assert transcribed_chunk(chunk.transcript_key) == chunk
    assert chunk.number == int(number)


@given(names, sessions, digits)
def test_rules_see_what_the_code_makes(user: str, session: str, number: str) -> None:
    audio = f"users/{user}/audio/sessions/{session}/chunk-{number}.webm"
    transcript = recording(audio).transcript_key

    failure, metadata = beside(transcript, FAILURE), named_session(user, session).metadata_key

    assert fnmatch.fnmatchcase(audio, CHUNK_KEYS)
    assert fnmatch.fnmatchcase(transcript, CHUNK_TRANSCRIPT_KEYS)
    assert fnmatch.fnmatchcase(failure, CHUNK_FAILURE_KEYS)
    assert fnmatch.fnmatchcase(metadata, METADATA_KEYS)
    assert fnmatch.fnmatchcase(transcript, CHUNK_OUTCOME_EVENTS)
    assert fnmatch.fnmatchcase(failure, CHUNK_OUTCOME_EVENTS)
    assert metadata.endswith(METADATA_EVENTS_END)


@given(names, sessions)
def test_a_session_is_found_again_from_its_metadata(user: str, session: str) -> None:
    known = named_session(user, session)

    assert described_session(known.metadata_key) == known


@pytest.mark.parametrize("name", ["", "a/b", "a\n", "monday-chunk-1", ".\x7f", "caf\udce9"])
def test_a_name_under_which_nothing_can_lie_names_no_session(name: str) -> None:
    with pytest.raises(UnknownKey):
        named_session("ann", name)
    with pytest.raises(UnknownKey):
        described_session(f"users/ann/audio/sessions/{name}/metadata.json")


def test_a_key_is_refused_when_that_of_its_transcript_would_be_too_long_for_s3() -> None:
    longest = MAX_KEY_BYTES - len("transcripts/uploads/.failed")

    assert len(beside(recording(f"uploads/{'a' * longest}").transcript_key, FAILURE)) == 1024
    with pytest.raises(UnknownKey, match="at most"):
        recording(f"uploads/{'a' * (longest + 1)}")


@given(st.text())
def test_no_transcript_is_taken_for_a_recording(path: str) -> None:
    for key in (f"uploads/{path}", f"users/{path}/audio/sessions/{path}/chunk-1.wav", path):
        try:
            found = recording(key)
        except UnknownKey:
            continue
        with pytest.raises(UnknownKey):
            recording(found.transcript_key)


def test_files_that_differ_in_their_suffix_only_have_transcripts_of_their_own() -> None:
    one, other = recording("uploads/a/talk.mp3"), recording("uploads/a/talk.wav")

    assert one == Upload(path="a/talk.mp3")
    assert one.transcript_key == "transcripts/uploads/a/talk.mp3.json"
    assert one.transcript_key != other.transcript_key


def test_a_session_has_its_places() -> None:
    session = Session(user_id="ann", session_id="monday")

    assert session.metadata_key == "users/ann/audio/sessions/monday/metadata.json"
    assert session.transcript_key == "users/ann/transcripts/monday.json"
    with pytest.raises(UnknownKey):
        transcribed_chunk(session.transcript_key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "uploads/",
        "uploads//a.mp3",
        "uploads/a\n.mp3",
        "uploads/caf\udce9.mp3",
        "uploads/" + "a" * 1024,
        "elsewhere/a.mp3",
        "users/ann/audio/sessions/monday/metadata.json",
        "users/ann/audio/sessions/monday/chunk-.webm",
        "users/ann/audio/sessions/monday/chunk-1234567890.webm",
        "users/ann/audio/sessions/monday/chunk-٣.webm",
        "users/ann/audio/sessions/monday/chunk-1",
        "users/ann/audio/sessions/monday/extra/chunk-1.webm",
        "users//audio/sessions/monday/chunk-1.webm",
        "users/ann/transcripts/monday-chunk-1.json",
    ],
)
def test_other_keys_are_no_recordings_and_are_not_quoted(key: str) -> None:
    with pytest.raises(UnknownKey) as caught:
        recording(key)

    assert len(key) < 2 or key not in str(caught.value)


def test_a_session_that_is_named_like_a_chunk_is_refused_for_its_transcript_is_ambiguous() -> None:
    with pytest.raises(UnknownKey, match="may not end like"):
        recording("users/ann/audio/sessions/monday-chunk-1/chunk-2.webm")
