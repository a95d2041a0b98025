"""Pocketsphinx behind the blocking port: voice activity, segments, decoding.

The fork server and tests import this module, the service never does. The decoder holds the GIL
while it works, so it runs in worker processes.

The cepstral mean (CMN) adapts to voice and microphone. It passes from segment to segment of a
stream; each stream begins with the model's own.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketsphinx import Decoder, get_model_path

from speech.engines.base import RecognitionOptions
from speech.engines.segmented import Hypothesis, SegmentRecogniser
from speech.engines.withheld import WITHHELD
from speech.pcm import BYTES_PER_SECOND
from speech.segment import SegmentPolicy
from transcripts.models import Word

#: The decoder's frame rate, in which it counts the times of words.
_FRAMES_PER_SECOND = 100
#: The weight of the mean that was set, in frames of the decoder's own average (its CMN_WIN).
_DECODER_WEIGHT = 500
#: `read(2)` is the second pronunciation of `read`.
_VARIANT = re.compile(r"\(\d+\)$")
#: The beginning of tokens that are no words: `<s>`, `<sil>`, `[NOISE]`, `++breath++`.
_FILLERS = ("<", "[", "+")


@dataclass(frozen=True, slots=True)
class PocketsphinxModel:
    """The loaded model; see `BlockingModel`. All recognisers share its decoder."""

    decoder: Decoder
    second_pass: bool
    partial_interval: float

    def open(self, options: RecognitionOptions) -> SegmentRecogniser:
        """Return a recogniser for one stream; the engine has checked the language."""
        self.reset()
        return SegmentRecogniser(PocketsphinxDecoder(self), options, SegmentPolicy())

    def reset(self) -> None:
        """Prepare the decoder for another stream."""
        self.decoder.reinit_feat()  # also the mean

    def check(self) -> None:
        """Decode a second of silence.

        Raises:
            RuntimeError: the decoder is unusable, for instance because an utterance is open.
        """
        self.decoder.start_utt()
        self.decoder.process_raw(bytes(BYTES_PER_SECOND))
        self.decoder.end_utt()
        self.reset()


def load(*, second_pass: bool = False, partial_interval: float = 0.15) -> PocketsphinxModel:
    """Load the US English model that comes with the package.

    Args:
        second_pass: decode each segment again as a whole when it ends.
        partial_interval: seconds of audio between two partials.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".dict", encoding="utf-8") as dictionary:
        dictionary.writelines(_allowed_words(Path(get_model_path("en-us/cmudict-en-us.dict"))))
        dictionary.flush()
        decoder = Decoder(
            dict=dictionary.name,
            bestpath=True,  # gives posteriors, and fewer errors
            fwdflat=False,  # a second search at the end of a segment: slow, and no better
            loglevel="FATAL",
        )
    return PocketsphinxModel(decoder, second_pass, partial_interval)


def _allowed_words(dictionary: Path) -> Iterator[str]:
    """Yield the lines of the dictionary without the words that captions must not invent."""
    with dictionary.open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, _ = line.partition(" ")
            if _VARIANT.sub("", entry) not in WITHHELD:
                yield line


class PocketsphinxDecoder:
    """Decodes the segments of one stream; see `SegmentDecoder`."""

    def __init__(self, model: PocketsphinxModel) -> None:
        self._model = model
        self._mean = _CepstralMean(model.decoder)

    def begin(self, start: float) -> _SegmentDecoding:
        """Begin a segment."""
        return _SegmentDecoding(self._model, self._mean, start)

    def interval(self, _length: float) -> float:
        """Return the time between two partials, which is always the same."""
        return self._model.partial_interval


class _CepstralMean:
    """The mean of one stream's cepstra, which the decoder subtracts from them.

    By itself the decoder adapts slowly: its first mean weighs like 5 seconds of speech, and new
    audio counts from the next segment on. Here the first mean weighs little, and new audio counts
    after every `INTERVAL`, within the segment too.

    Word error rate, adapting slowly and as here: .412 and .304 over 12 real recordings, .414 and
    .288 over these and two more voices made quieter, louder and duller, .212 and .181 over three
    synthetic voices; at the same cost. Intervals of 0.2 to 0.8 s and weights of 15 to 50 gave .264
    to .318 on the 12, without a pattern; they were chosen on the audio reported here.
    """

    #: Seconds of audio between two updates, long enough to get past the pre-roll.
    INTERVAL = 0.5
    #: The weight of the model's own mean, and the highest weight of all past audio, in frames.
    FIRST_WEIGHT = 30
    MAX_WEIGHT = 500

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._mean = self._read()
        self._weight = self.FIRST_WEIGHT

    def update(self, frames: int) -> None:
        """Add the `frames` since the last update to the mean."""
        if not frames:
            return
        weight = self._weight + frames
        # Undo the decoder's weighting: it moved by sum(x - mean) / (_DECODER_WEIGHT + frames).
        scale = (_DECODER_WEIGHT + frames) / weight
        moves = zip(self._mean, self._read(), strict=True)
        self._mean = [mean + (moved - mean) * scale for mean, moved in moves]
        self._weight = min(weight, self.MAX_WEIGHT)
        self.restore()

    def restore(self) -> None:
        """Set this mean in the decoder."""
        self._decoder.set_cmn(",".join(f"{value:.4f}" for value in self._mean))

    def _read(self) -> list[float]:
        mean = self._decoder.get_cmn(True)  # noqa: FBT003 - no keyword is accepted
        return [float(value) for value in mean.split(",")]


class _SegmentDecoding:
    """The decoding of one segment, which begins at `start` seconds of the stream."""

    #: Bytes between two updates of the mean. They follow from nothing else, so that results do not
    #: depend on how the audio is cut into pieces.
    STEP = round(_CepstralMean.INTERVAL * BYTES_PER_SECOND)

    def __init__(self, model: PocketsphinxModel, mean: _CepstralMean, start: float) -> None:
        self._start = start
        self._decoder = model.decoder
        self._mean = mean
        self._unapplied = 0  # bytes since the last update of the mean
        self._audio: list[bytes] | None = [] if model.second_pass else None
        self._decoder.start_utt()

    def feed(self, pcm: bytes) -> None:
        """Decode the next audio."""
        while pcm:  # the decoder raises IndexError on nothing
            room = self.STEP - self._unapplied
            piece, pcm = pcm[:room], pcm[room:]
            self._decoder.process_raw(piece)
            self._unapplied += len(piece)
            if self._unapplied == self.STEP:
                self._update_mean()
            if self._audio is not None:
                self._audio.append(piece)

    def guess(self) -> Hypothesis:
        """Return the best hypothesis so far."""
        found = self._decoder.hyp()
        if found is None:
            return Hypothesis()
        return Hypothesis(" ".join(filter(None, map(_plain, found.hypstr.split()))))

    def pause(self) -> Hypothesis:
        """Return the best hypothesis so far."""
        return self.guess()

    def finish(self, *, is_paused: bool) -> Hypothesis:
        """End the segment and return its words."""
        del is_paused  # the final has a search of its own
        self._decoder.end_utt()
        self._update_mean()
        words = self._words()
        if self._audio:
            # The whole segment is normalised by its own mean; then the running mean is restored.
            self._decoder.start_utt()
            self._decoder.process_raw(b"".join(self._audio), full_utt=True)
            self._decoder.end_utt()
            words = self._words() or words
            self._mean.restore()
        return Hypothesis(" ".join(word.word for word in words), tuple(words))

    def _update_mean(self) -> None:
        self._mean.update(round(self._unapplied * _FRAMES_PER_SECOND / BYTES_PER_SECOND))
        self._unapplied = 0

    def _words(self) -> list[Word]:
        return [
            Word(
                word=word,
                start_time=self._start + segment.start_frame / _FRAMES_PER_SECOND,
                end_time=self._start + (segment.end_frame + 1) / _FRAMES_PER_SECOND,
                confidence=min(1.0, max(0.0, segment.prob)),
            )
            for segment in self._decoder.seg() or ()
            if (word := _plain(segment.word))
        ]


def _plain(word: str) -> str:
    """Return a word of the dictionary as it is written; an empty text for a filler."""
    return "" if word.startswith(_FILLERS) else _VARIANT.sub("", word)
