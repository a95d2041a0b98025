# ruff: noqa: RUF001 - the quotation marks that stand in for angle brackets
from __future__ import annotations

import html
import re
from itertools import pairwise

import pysubs2
import pytest
import webvtt
from hypothesis import given

from tests.support.transcripts import NOW, segment, transcript, transcripts
from transcripts.captions.cues import GAP, MAX_COLUMNS, MAX_LINES, MAX_SHOWN, MIN_SHOWN, Cue, cues
from transcripts.captions.formats import captions, plain, spoken, srt, vtt
from transcripts.captions.typesetting import clean, units, width
from transcripts.documents import (
    Gap,
    GapReason,
    RecordingTranscript,
    Segment,
    SessionSegment,
    SessionTranscript,
)
from transcripts.models import Word

pytestmark = pytest.mark.unit

SPEECH = (
    "Good morning everybody, and welcome. Yes. I wanted to begin with the figures of last quarter,"
    " which, as you will have seen, were somewhat better than we had expected in the spring."
)


def shown(*segments: Segment) -> list[Cue]:
    return cues(spoken(transcript(*segments)))


def lines(*segments: Segment) -> list[tuple[str, ...]]:
    return [cue.lines for cue in shown(*segments)]


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


# --- the rules --------------------------------------------------------------------------------


def test_cues_end_with_sentences_and_clauses_and_keep_two_short_lines() -> None:
    assert lines(segment(SPEECH)) == [
        ("Good morning everybody, and welcome.",),
        ("Yes. I wanted to begin with the", "figures of last quarter, which,"),
        ("as you will have seen, were somewhat", "better than we had expected in the spring."),
    ]


def test_each_sentence_has_a_cue_of_its_own_where_there_is_time_to_read_it() -> None:
    assert lines(segment("Is that so? I had thought it was tomorrow.", pace=0.5)) == [
        ("Is that so?",),
        ("I had thought it was tomorrow.",),
    ]


def test_a_cue_is_shown_from_its_first_word_to_its_last() -> None:
    [cue] = shown(segment("I had thought it was", start=3.25, pace=0.5))

    assert (cue.start, cue.end) == (3_250, 5_650)


def test_short_words_are_shown_for_a_second_and_the_next_speaker_waits() -> None:
    first, second = shown(
        segment("No.", start=0, speaker_label="A"), segment("Yes.", start=0.4, speaker_label="B")
    )

    assert (first.end - first.start, second.start) == (MIN_SHOWN, MIN_SHOWN + GAP)


def test_fast_speech_is_shown_longer_where_silence_follows() -> None:
    text = "Extraordinarily complicated circumstances"

    [cue] = shown(segment(text, pace=0.2))

    assert cue.end - cue.start >= len(text) / 20 * 1000


def test_captions_stay_with_speech_that_nobody_could_read() -> None:
    found = shown(segment("nothing " * 60, pace=0.25))

    words = 0
    for cue in found:
        assert words * 250 <= cue.start <= words * 250 + 1_500
        words += len(" ".join(cue.lines).split())
    assert words == 60


def test_who_speaks_next_has_a_cue_of_their_own_with_a_dash() -> None:
    files = captions(
        transcript(
            segment("What do you think?", start=0, speaker_label="A"),
            segment("Not much.", start=1.5, speaker_label="B"),
            segment("Me neither.", start=3, speaker_label="B"),
        )
    )

    assert re.findall(r"^[^\d\n].*", files[".srt"], re.MULTILINE) == [
        "What do you think?",
        "- Not much.",
        "Me neither.",
    ]
    assert "<v A>What do you think?" in files[".vtt"]
    assert files[".txt"] == "A: What do you think?\nB: Not much.\nMe neither.\n"


def test_channels_that_speak_at_once_come_one_after_the_other() -> None:
    found = shown(
        segment("one two three four five six seven eight nine ten", channel=0),
        segment("mhm", start=1.0, channel=1),
    )

    assert [cue.voice for cue in found] == ["Channel 1", "Channel 2"]
    assert found[0].end + GAP <= found[1].start <= 2_500


def test_who_speaks_within_another_speech_is_shown_at_their_place_in_it() -> None:
    found = shown(
        segment(SPEECH, pace=0.4, speaker_label="A"), segment("Hear, hear!", 4, speaker_label="B")
    )

    voices = [cue.voice for cue in found]
    assert voices[1:-1].count("B") == 1
    assert [cue.turn for cue in found] == [False] + [a != b for a, b in pairwise(voices)]


def test_a_silence_begins_a_new_cue() -> None:
    assert lines(segment("One.", start=0), segment("Two.", start=9)) == [("One.",), ("Two.",)]


def test_a_segment_without_words_is_shared_out_by_width() -> None:
    found = shown(Segment(text=SPEECH, start_time=10, end_time=20))

    assert found[0].start == 10_000
    middle = next(cue for cue in found if cue.start >= 14_000)
    before = sum(width(" ".join(cue.lines)) + 1 for cue in found if cue.start < middle.start)
    assert middle.start == pytest.approx(10_000 + 10_000 * before / len(SPEECH), abs=300)


def test_words_that_an_engine_writes_otherwise_do_no_harm() -> None:
    spoken_segment = Segment(
        text="It costs 25 dollars.",
        start_time=0,
        end_time=4,
        words=(
            Word(word="it", start_time=0.5, end_time=1, confidence=1),
            Word(word="costs", start_time=1, end_time=1.5, confidence=1),
            Word(word="twenty-five", start_time=1.5, end_time=3, confidence=1),
            Word(word="dollars", start_time=3, end_time=4, confidence=1),
        ),
    )

    assert [
        (unit.text, unit.start, unit.end)
        for unit in units(spoken_segment.text, 0, 4, spoken_segment.words)
    ] == [
        ("It", 500, 1_000),
        ("costs", 1_000, 1_500),
        ("25", 1_500, 3_000),
        ("dollars.", 3_000, 4_000),
    ]


# --- other scripts ----------------------------------------------------------------------------


def test_japanese_is_broken_at_sentences_and_never_before_a_closing_mark() -> None:
    text = (
        "今日は皆さんにとても大事なお知らせがあります。"
        "来月から新しいシステムが始まりますので、必ず「手引き」を読んでください。"
    )
    found = lines(Segment(text=text, start_time=0, end_time=16))

    assert "".join(line for cue in found for line in cue) == text
    assert found[0][-1].endswith("。")
    for line in (line for cue in found for line in cue):
        assert width(line) <= MAX_COLUMNS
        assert line[0] not in "。、」ー"
        assert line[-1] != "「"


def test_marks_stay_with_what_they_close_or_open() -> None:
    assert [unit.text for unit in units("はい、「どうぞ」。ABC社は3台です！", 0, 9)] == [
        *("は", "い、", "「ど", "う", "ぞ」。", "ABC", "社", "は", "3", "台", "で", "す！")
    ]


def test_words_of_an_engine_stay_whole_where_nobody_writes_spaces() -> None:
    words = ["今日", "は", "皆さん", "に", "とても", "大事", "な", "お知らせ", "が", "あります"]
    text = "".join(words)
    timed = tuple(
        Word(word=word, start_time=n, end_time=n + 1, confidence=1) for n, word in enumerate(words)
    )

    assert [unit.text for unit in units(text, 0, 10, timed)] == words


def test_width_is_counted_in_columns() -> None:
    assert [width(each) for each in ("abc", "日本", "한국", "ｱ", "e\u0301", "สวัสดี")] == [
        3,
        4,
        4,
        1,
        1,
        4,
    ]


# --- any transcript ---------------------------------------------------------------------------


@given(transcripts)
def test_cues_of_any_transcript_keep_the_rules(document: RecordingTranscript) -> None:
    speech = spoken(document)
    made = cues(speech)

    for before, after in pairwise(made):
        assert before.end + GAP <= after.start
    for cue in made:
        assert MIN_SHOWN <= cue.end - cue.start <= MAX_SHOWN
        assert 1 <= len(cue.lines) <= MAX_LINES
        for place, line in enumerate(cue.lines):
            room = MAX_COLUMNS - (2 if cue.turn and place == 0 else 0)
            # A word that is too wide for a line is alone in its cue.
            assert width(line) <= room or (len(cue.lines) == 1 and " " not in line)
    starts = sorted(
        unit.start for each in speech for unit in units(each.text, each.start, each.end)
    )
    if made and not any(each.words for each in speech):
        assert made[0].start == starts[0]


@given(transcripts)
def test_every_word_of_a_segment_is_shown_in_order(document: RecordingTranscript) -> None:
    for each in document.segments:
        alone = shown(each)

        wanted = letters(clean(each.text)) if width(clean(each.text)) else ""
        assert letters("".join(line for cue in alone for line in cue.lines)) == wanted
    everything = "".join(line for cue in shown(*document.segments) for line in cue.lines)
    texts = [clean(each.text) for each in document.segments if width(clean(each.text))]
    assert sorted(letters(everything)) == sorted(letters("".join(texts)))


@given(transcripts)
def test_srt_reads_back_as_what_was_written(document: RecordingTranscript) -> None:
    made = cues(spoken(document))

    read = pysubs2.SSAFile.from_string(srt(made), format_="srt")

    assert [(each.start, each.end) for each in read] == [(cue.start, cue.end) for cue in made]
    for each, cue in zip(read, made, strict=True):
        plainly = "\n".join(cue.lines).replace("-->", "→")
        for wrong, right in ("<‹", ">›", "{(", "})", "\\/"):
            plainly = plainly.replace(wrong, right)
        assert each.plaintext == ("- " if cue.turn else "") + plainly


@given(transcripts)
def test_vtt_reads_back_as_what_was_written(document: RecordingTranscript) -> None:
    made = cues(spoken(document))

    read = webvtt.from_string(vtt(made)).captions

    assert [round(each.start_in_seconds * 1000) // 1000 for each in read] == [
        cue.start // 1000 for cue in made
    ]
    for each, cue in zip(read, made, strict=True):
        assert html.unescape(each.text) == "\n".join(cue.lines)
        assert each.voice == cue.voice
    assert "-->" not in re.sub(r"^[\d:.]+ --> [\d:.]+$", "", vtt(made), flags=re.MULTILINE)


@given(transcripts)
def test_plain_text_has_a_line_for_each_segment(document: RecordingTranscript) -> None:
    text = plain(spoken(document))

    assert len(text.splitlines()) == sum(bool(clean(each.text)) for each in document.segments)


# --- the files --------------------------------------------------------------------------------


def test_captions_without_speech_are_valid_and_note_it() -> None:
    files = captions(transcript())

    assert files == {
        ".srt": "",
        ".vtt": "WEBVTT\n\nNOTE\nno speech was found\n",
        ".txt": "[no speech was found]\n",
    }
    assert webvtt.from_string(files[".vtt"]).captions == []


def test_a_session_of_which_nothing_could_be_transcribed_is_not_called_silent() -> None:
    gap = Gap(chunk=1, reason=GapReason.FAILED, at=0)
    lost = SessionTranscript(
        user_id="ann",
        session_id="monday",
        duration=0,
        language="und",
        created_at=NOW,
        complete=False,
        chunks=(),
        gaps=(gap,),
    )

    assert captions(lost)[".txt"] == "[chunk 1: failed]\n"


def test_what_players_take_for_commands_is_shown() -> None:
    files = captions(transcript(segment("a <i>b</i> --> {x} & \\Nd")))

    assert "a ‹i›b‹/i› → (x) & /Nd" in files[".srt"]
    assert "a &lt;i&gt;b&lt;/i&gt; --&gt; {x} &amp; \\Nd" in files[".vtt"]
    assert "a <i>b</i> --> {x} & \\Nd" in files[".txt"]


def test_times_beyond_a_hundred_hours_are_written_out() -> None:
    [cue] = shown(segment("late", start=400_000))

    assert "111:06:40.000 --> 111:06:41.000" in vtt([cue])


def test_a_session_names_the_chunks_that_it_lacks() -> None:
    def part(chunk: int, start: float) -> SessionSegment:
        fields = segment(f"Part {chunk}.", start=start).model_dump()
        return SessionSegment(**fields, chunk=chunk)

    files = captions(
        SessionTranscript(
            user_id="ann",
            session_id="monday",
            duration=4,
            language="en-US",
            created_at=NOW,
            complete=False,
            chunks=(),
            gaps=(
                Gap(chunk=2, reason=GapReason.MISSING, at=2),
                Gap(chunk=4, reason=GapReason.FAILED, at=4),
            ),
            segments=(part(1, 0), part(3, 2)),
        )
    )

    assert files[".txt"] == "Part 1.\n[chunk 2: missing]\nPart 3.\n[chunk 4: failed]\n"
    assert files[".vtt"].startswith(
        "WEBVTT\n\nNOTE\n00:00:02.000 chunk 2: missing\n00:00:04.000 chunk 4: failed\n\n"
    )
    assert [cue.text for cue in webvtt.from_string(files[".vtt"]).captions] == [
        "Part 1.",
        "Part 3.",
    ]
