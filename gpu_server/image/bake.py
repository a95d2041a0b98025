"""Downloads models into the image while it is built: `bake.py MODEL FOLDER [LANGUAGE ...]`.

The Whisper model goes into the folder. Where WhisperX is installed, alignment models go into the
caches that `HF_HOME` and `TORCH_HOME` name, and the sentence splitter that every alignment needs
into `NLTK_DATA`; faster-whisper needs neither. The script runs where only the dependencies are
installed, so it imports nothing of ours.
"""

from __future__ import annotations

import importlib.util
import os
import sys


def main(model: str, folder: str, languages: list[str]) -> None:
    """Download the models; without a model's name only what every model needs."""
    aligns = importlib.util.find_spec("whisperx") is not None
    if aligns:
        import nltk  # noqa: PLC0415 - takes seconds

        nltk.download("punkt_tab", download_dir=os.environ["NLTK_DATA"], raise_on_error=True)
    if not model:
        return
    from faster_whisper.utils import download_model  # noqa: PLC0415 - takes seconds

    download_model(model, output_dir=folder)
    if aligns:
        from whisperx import load_align_model  # noqa: PLC0415 - takes many seconds

        for language in languages:
            load_align_model(language, "cpu")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
