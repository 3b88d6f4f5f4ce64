"""Speech in sentences with times: subtitles where there are any, else Whisper behind a VAD.

Sound is read in blocks that end in a pause, so that no sentence is cut and memory stays bounded.
Voice activity comes first: in music and silence Whisper invents words.

Source: arXiv:2212.04356 (Whisper) through faster-whisper; Silero VAD, bundled with it.
"""

import importlib.util
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from engine.errors import MissingCapabilityError, NotFoundError
from engine.records import Observation, ObservationKind, TimeSpan, VideoId
from engine.sight import parts
from engine.sight.observer import SOUND_RATE, Cue, Footage, ObserverConfig, Step

KIND: Final[ObservationKind] = "speech"
SUBTITLES: Final = "subtitles"
"""Model of rows that nobody had to hear."""
BLOCK_S: Final = 120.0

_MIN_BLOCK_S: Final = 30.0
"""A block is cut in a pause behind so much; who speaks longer without one is cut anywhere."""
_END_SLACK_S: Final = 0.5
_SENTENCE_END: Final = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]['\"\u2019\u201d)]*$")
_PAUSE_S: Final = 1.5
"""A longer pause ends a sentence that has no full stop."""
_MOST_WORDS: Final = 40
_SURE_LANGUAGE: Final = 0.5
_LOWEST_CONFIDENCE: Final = 0.3
"""Mean probability of its words; below it a sentence is invented more often than heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    text: str
    start_s: float
    end_s: float
    probability: float


class SpeechObserver:
    """Sentences that were said, or that subtitles state."""

    kind: Final = KIND
    labels: Final[frozenset[str]] = frozenset()

    def __init__(self, folder: Path, language: str | None) -> None:
        """Prepare; the model is loaded when there is something to hear.

        Args:
            folder: A Whisper model for CTranslate2.
            language: Code such as `en`; told from the sound when `None`.
        """
        self._folder, self._language = folder, language
        self._whisper: Any = None
        self.model = f"{folder.name} by faster-whisper"

    def observe(
        self, footage: Footage, *, after_s: float = 0.0, before: Sequence[Observation] = ()
    ) -> Iterator[Step]:
        """Listen from a time on; see `Observer`."""
        cues = footage.subtitles()
        if cues:
            rows = [_from_cue(cue, footage.video) for cue in cues if cue.span.start_s >= after_s]
            yield Step(end_s=footage.end_s, rows=tuple(rows))
            return
        if not footage.has_sound:
            yield Step(end_s=footage.end_s)
            return
        language, start_s, end_s = self._language, after_s, footage.sound_end_s
        has_more = end_s < footage.end_s
        # A sentence at the end of what a camera has sent so far is heard with what follows it.
        least_s = _MIN_BLOCK_S if has_more else _END_SLACK_S
        while start_s < end_s - least_s:
            block_end_s = min(start_s + BLOCK_S, end_s)
            samples = footage.sound(TimeSpan(start_s=start_s, end_s=block_end_s))
            if samples is None:
                # It cannot be heard: nothing is stated, not even that nobody spoke.
                return
            cut_s = block_end_s
            stretches = _speech(samples)
            if block_end_s < end_s or has_more:
                cut_s = start_s + _pause_in(stretches, block_end_s - start_s)
            words: list[_Word] = []
            if any(stretch_s < cut_s - start_s for stretch_s, _ in stretches):
                block = samples[: round((cut_s - start_s) * SOUND_RATE)]
                words, language = self._transcribe(block, start_s, language)
            rows = [_row(sentence, footage.video, self.model) for sentence in sentences(words)]
            yield Step(
                end_s=cut_s,
                rows=tuple(row for row in rows if row.confidence >= _LOWEST_CONFIDENCE),
            )
            start_s = cut_s
        if not has_more:
            yield Step(end_s=end_s)

    def _transcribe(
        self, samples: Float32[np.ndarray, " sample"], start_s: float, language: str | None
    ) -> tuple[list[_Word], str | None]:
        """Return the words of a block, and the language that is surely spoken."""
        segments, facts = self._loaded().transcribe(
            samples,
            language=language,
            vad_filter=True,
            word_timestamps=True,
            # A mistake would otherwise be carried into all that follows.
            condition_on_previous_text=False,
            beam_size=1,
            # One more try where a reading repeats itself; the usual six cost seven times as much
            # on speech that does, and changed no word of it.
            temperature=[0.0, 0.4],
        )
        words = [
            _Word(
                text=word.word,
                start_s=start_s + float(word.start),
                end_s=start_s + float(word.end),
                probability=float(word.probability),
            )
            for segment in segments
            for word in segment.words or ()
        ]
        is_sure = facts.language_probability >= _SURE_LANGUAGE and words
        return words, language or (facts.language if is_sure else None)

    def _loaded(self) -> Any:
        if self._whisper is None:
            from faster_whisper import WhisperModel

            self._whisper = WhisperModel(
                str(self._folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=max(1, (os.cpu_count() or 2) // 2),
                local_files_only=True,
            )
        return self._whisper


def open_observer(config: ObserverConfig) -> SpeechObserver:
    """Return the observer with the packaged model, or the one that was chosen.

    Raises:
        MissingCapabilityError: A package is not installed.
        NotFoundError: The folder holds no model for CTranslate2.
    """
    require_parts()
    if config.speech_model is None:
        return SpeechObserver(parts.speech_model(config.models), config.speech_language)
    folder = Path(config.speech_model).expanduser()
    if not (folder / "model.bin").is_file():
        raise NotFoundError(
            f"{folder}: no speech model there",
            hint="give a folder with model.bin for CTranslate2, as faster-whisper reads it",
        )
    return SpeechObserver(folder, config.speech_language)


def require_parts() -> None:
    """Check that faster-whisper is installed, and the packages of its model."""
    for package in ("faster_whisper", *parts.SPEECH_PACKAGES):
        if importlib.util.find_spec(package) is None:
            name = package.replace("_", "-")
            raise MissingCapabilityError(
                f"the package {name} is not installed", hint=f"pip install {name}"
            )


def sentences(words: Sequence[_Word]) -> list[list[_Word]]:
    """Return words in sentences: up to a full stop, a long pause, or very many words."""
    result: list[list[_Word]] = []
    current: list[_Word] = []
    for word in words:
        if current and word.start_s - current[-1].end_s > _PAUSE_S:
            result.append(current)
            current = []
        current.append(word)
        if _SENTENCE_END.search(word.text.strip()) or len(current) >= _MOST_WORDS:
            result.append(current)
            current = []
    return [*result, current] if current else result


def _speech(samples: Float32[np.ndarray, " sample"]) -> list[tuple[float, float]]:
    """Return where somebody speaks, as start and end in seconds of the block."""
    # Late: it imports CTranslate2 and ONNX Runtime.
    from faster_whisper.vad import get_speech_timestamps

    return [
        (stretch["start"] / SOUND_RATE, stretch["end"] / SOUND_RATE)
        for stretch in get_speech_timestamps(samples)
    ]


def _pause_in(stretches: Sequence[tuple[float, float]], length_s: float) -> float:
    """Return where to end a block: in its last pause, or at its end where there is none."""
    if not stretches or stretches[-1][1] < length_s - _END_SLACK_S:
        return length_s
    starts = [start_s for start_s, _ in stretches if start_s >= _MIN_BLOCK_S]
    # Half a second before the voice sets in again: Whisper needs the beginning.
    return max(_MIN_BLOCK_S, starts[-1] - 0.5) if starts else length_s


def _row(sentence: Sequence[_Word], video: VideoId, model: str) -> Observation:
    start_s, end_s = sentence[0].start_s, max(word.end_s for word in sentence)
    confidence = math.fsum(word.probability for word in sentence) / len(sentence)
    return Observation(
        video=video,
        kind=KIND,
        span=TimeSpan(start_s=start_s, end_s=max(start_s, end_s)),
        label="",
        text="".join(word.text for word in sentence).strip(),
        confidence=min(1.0, confidence),
        model=model,
        peak_s=start_s,
    )


def _from_cue(cue: Cue, video: VideoId) -> Observation:
    return Observation(
        video=video,
        kind=KIND,
        span=cue.span,
        label="",
        text=cue.text,
        confidence=1.0,
        model=SUBTITLES,
        peak_s=cue.span.start_s,
    )
