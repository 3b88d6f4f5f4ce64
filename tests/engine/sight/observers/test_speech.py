"""Speech: subtitles first, else what is heard; silence says nothing."""

import math
from pathlib import Path

import gradio
import numpy as np
import pytest
from jaxtyping import Float32

from engine.errors import NotFoundError
from engine.media.audio import AudioReader
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from engine.sight.observer import SOUND_RATE, Cue, ObserverConfig, Step, open_observer
from engine.sight.observers.speech import SUBTITLES, SpeechObserver, _pause_in, _Word, sentences
from tests.support.footage import DrawnFootage, observed

VOICE = Path(gradio.__file__).parent / "media_assets" / "audio" / "cate_blanch.mp3"
LATE_S = 6.0


@pytest.fixture(scope="module")
def observer(tmp_path_factory: pytest.TempPathFactory) -> SpeechObserver:
    config = ObserverConfig(models=tmp_path_factory.mktemp("models"), speech_language="en")
    opened = open_observer("speech", config)
    assert isinstance(opened, SpeechObserver)
    return opened


def black(time_s: float) -> np.ndarray:
    return np.zeros((36, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def voice() -> Float32[np.ndarray, " sample"]:
    """Somebody who speaks, behind six seconds of noise."""
    with AudioReader(str(VOICE), limits=MediaLimits()) as reader:
        spoken = reader.window(TimeSpan(start_s=0.0, end_s=8.0))
    assert spoken is not None
    noise = np.random.default_rng(1).normal(0, 0.003, round(LATE_S * SOUND_RATE))
    return np.concatenate([noise.astype(np.float32), spoken[0]])


def footage(samples: Float32[np.ndarray, " sample"] | None) -> DrawnFootage:
    n_samples = 0 if samples is None else len(samples)
    return DrawnFootage(black, n_samples / SOUND_RATE or 10.0, samples=samples)


def test_words_are_heard_when_they_are_said(
    observer: SpeechObserver, voice: Float32[np.ndarray, " sample"]
) -> None:
    rows = observed(observer, footage(voice))
    said = " ".join(row.text for row in rows).lower()
    assert len(said.split()) > 10
    assert all(row.span.start_s >= LATE_S - 0.7 for row in rows)
    assert all(row.confidence > 0.3 for row in rows)
    assert [row.kind for row in rows] == ["speech"] * len(rows)


@pytest.mark.parametrize("loud", [0.0, 0.1])
def test_nothing_is_invented_in_silence_and_noise(observer: SpeechObserver, loud: float) -> None:
    noise = np.random.default_rng(2).normal(0, 1, 10 * SOUND_RATE).astype(np.float32) * loud
    assert observed(observer, footage(noise.astype(np.float32))) == []


def test_silent_film_is_looked_at_to_its_end(observer: SpeechObserver) -> None:
    assert list(observer.observe(footage(None))) == [Step(end_s=10.0)]


def test_sound_out_of_reach_is_not_taken_for_silence(observer: SpeechObserver) -> None:
    class Deaf(DrawnFootage):
        has_sound = True

    assert list(observer.observe(Deaf(black, 10.0))) == []


def test_subtitles_are_taken_as_they_are(
    observer: SpeechObserver, voice: Float32[np.ndarray, " sample"]
) -> None:
    cue = Cue(span=TimeSpan(start_s=2.0, end_s=3.5), text="Where is the dog?")
    film = footage(voice)
    film.cues = (cue,)
    (row,) = observed(observer, film)
    assert (row.text, row.span, row.model) == (cue.text, cue.span, SUBTITLES)


def words(text: str, pause_after: dict[int, float] | None = None) -> list[_Word]:
    time_s, result = 0.0, []
    for idx, word in enumerate(text.split()):
        result.append(_Word(text=f" {word}", start_s=time_s, end_s=time_s + 0.3, probability=1.0))
        time_s += 0.4 + (pause_after or {}).get(idx, 0.0)
    return result


def test_sentences_end_at_full_stops_and_long_pauses() -> None:
    split = sentences(words('He said "Stop." Then he ran 3.5 miles', {4: 2.0}))
    assert ["".join(word.text for word in sentence).strip() for sentence in split] == [
        'He said "Stop."',
        "Then he",
        "ran 3.5 miles",
    ]
    assert sentences([]) == []
    assert max(map(len, sentences(words("la " * 100)))) == 40


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        ([], 120.0),
        ([(3.0, 90.0)], 120.0),
        ([(3.0, 90.0), (95.0, 120.0)], 94.5),
        ([(3.0, 120.0)], 120.0),
        ([(3.0, 9.0), (10.0, 120.0)], 120.0),
    ],
)
def test_blocks_end_in_a_pause(stretches: list[tuple[float, float]], expected: float) -> None:
    assert math.isclose(_pause_in(stretches, 120.0), expected)


def test_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no speech model there"):
        open_observer("speech", ObserverConfig(models=tmp_path, speech_model=str(tmp_path)))


def test_sentence_at_the_end_of_what_a_camera_has_sent_is_heard_with_the_rest(
    observer: SpeechObserver, voice: Float32[np.ndarray, " sample"]
) -> None:
    quiet = np.zeros(28 * SOUND_RATE, np.float32)
    samples = np.concatenate([quiet, voice, quiet])
    films = footage(samples[: 38 * SOUND_RATE])
    films.end_s, films.has_more_sound = 60.0, True
    (step,) = observer.observe(films)
    assert step.rows == ()
    assert 30 <= step.end_s <= 28 + LATE_S
    films = footage(samples)
    rows = observed(observer, films, after_s=step.end_s)
    assert len(" ".join(row.text for row in rows).split()) > 10
