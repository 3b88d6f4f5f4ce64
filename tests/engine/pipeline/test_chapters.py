"""Chapters: where they begin, what they are called, and when scenes change."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.cache.stills import StillConfig, StillStore, encode_still
from engine.pipeline.chapters import MOST, NOTHING, find_chapters
from engine.pipeline.scene_changes import scene_changes
from engine.records import TimeSpan
from tests.support.observations import VIDEO, footage, track, words


def test_coming_and_going_begin_chapters_with_titles() -> None:
    seen = footage(
        track("person", 20, 40, colours=("grey", "black")),
        track("dog", 60, 75, confidence=0.9, number=2),
        words("text", 60, 75, "NO DOGS"),
        duration_s=100,
    )
    chapters = find_chapters(seen)
    told = [(chapter.span.start_s, chapter.title) for chapter in chapters]
    assert told == [
        (0.0, NOTHING),
        (20.0, "A person in grey and black"),
        (40.0, NOTHING),
        (60.0, "A dog; print “NO DOGS”"),
        (75.0, NOTHING),
    ]
    assert chapters[-1].span.end_s == 100.0
    assert 20.0 <= chapters[1].keyframe_s <= 40.0


def test_short_pause_belongs_to_the_visit_before_it() -> None:
    seen = footage(track("person", 7, 19), track("person", 23, 44, number=2), duration_s=50)
    chapters = find_chapters(seen)
    # Two visitors of one title are two chapters, with no empty one of four seconds between.
    assert [chapter.span.start_s for chapter in chapters] == [0.0, 7.0, 23.0]
    assert [chapter.title for chapter in chapters] == [NOTHING, "A person", "A person"]


def test_cuts_begin_chapters_and_win_over_comings_beside_them() -> None:
    seen = footage(track("person", 31, 60), duration_s=90)
    starts = [chapter.span.start_s for chapter in find_chapters(seen, {VIDEO: [30.0]})]
    assert starts == [0.0, 30.0, 60.0]


def test_neighbours_of_one_title_are_one_chapter() -> None:
    seen = footage(duration_s=90)
    assert len(find_chapters(seen, {VIDEO: [30.0, 60.0]})) == 1


def test_busy_recording_has_no_more_chapters_than_can_be_read() -> None:
    visits = [track("person", 20 * n, 20 * n + 9, number=n) for n in range(60)]
    chapters = find_chapters(footage(*visits, duration_s=1200))
    assert len(chapters) == MOST
    assert chapters[0].span.start_s == 0.0
    assert all(first.span.end_s == second.span.start_s for first, second in pairwise(chapters))


def test_scene_changes_where_pictures_share_little(tmp_path: Path) -> None:
    store, config = StillStore(tmp_path), StillConfig()
    rng = np.random.default_rng(5)
    scenes = [rng.integers(0, 90, (180, 320, 3)), rng.integers(150, 255, (180, 320, 3))]
    stills = []
    for time_s in range(8):
        picture = scenes[time_s >= 4].astype(np.uint8)
        # Somebody passes: a quarter of the picture is another every second.
        picture[40:140, 30 * time_s : 30 * time_s + 60] = 128
        still = encode_still(picture, float(time_s), config)
        assert still is not None
        stills.append(still)
    store.put(VIDEO, 0, stills)
    assert scene_changes(store, VIDEO, TimeSpan(start_s=0.0, end_s=8.0)) == (4.0,)
