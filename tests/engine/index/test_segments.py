"""Segments: saved in proportion, merged, shared by processes, and whole after any kill."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from engine.index import _codes, _coding, _compaction, _file, _saving, _search
from engine.index._compaction import only_compaction
from engine.index._manifest import folder_of
from engine.index._rows import Rows
from engine.index._segment import write_segment
from engine.index.segments import SegmentedIndex, open_index
from engine.records import ALL_TIME, ChunkRef, Fingerprint, Hit, Scope, TimeSpan, VideoId
from tests.support.kills import count_changes, moments, run_killed

DIM = 16
PIPELINE = Fingerprint("f00d")
FRAMES = 5


def ref(video: str, ordinal: int) -> ChunkRef:
    span = TimeSpan(start_s=5.0 * ordinal, end_s=5.0 * ordinal + 5.0)
    return ChunkRef(video=VideoId(video), ordinal=ordinal, span=span)


def vectors(*key: object) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(repr(key).encode()))
    return normalize(torch.randn(FRAMES, DIM, generator=generator), dim=1)


def add(index: SegmentedIndex, video: str, ordinals: range) -> None:
    for ordinal in ordinals:
        pts_s = 5.0 * ordinal + torch.arange(FRAMES, dtype=torch.float64)
        index.add([(ref(video, ordinal), vectors(video, ordinal), pts_s)])


def saved_files(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in folder_of(path).glob("*.segment")}


def assert_same(index: SegmentedIndex, other: SegmentedIndex) -> None:
    assert set(index.refs()) == set(other.refs())
    query = vectors("query")[0]
    found, expected = index.search(query, 7), other.search(query, 7)
    assert [hit.chunk for hit in found.hits] == [hit.chunk for hit in expected.hits]


def test_a_save_leaves_what_is_large_and_old_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    add(index, "a", range(100))
    index.save(path, PIPELINE)
    before = saved_files(path)
    add(index, "a", range(100, 110))
    index.save(path, PIPELINE)
    after = saved_files(path)
    assert before.items() < after.items()
    assert_same(open_index(DIM, path, PIPELINE), index)


def test_segments_stay_few_however_often_an_index_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for ordinal in range(64):
        add(index, "a", range(ordinal, ordinal + 1))
        index.save(path, PIPELINE)
        index.settle()
    assert len(saved_files(path)) <= 7
    assert_same(open_index(DIM, path, PIPELINE), index)


def test_a_save_of_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    add(index, "a", range(3))
    index.save(path, PIPELINE)
    before = {file: file.stat().st_mtime_ns for file in folder_of(path).iterdir()}
    index.save(path, PIPELINE)
    assert before.items() >= {
        (file, file.stat().st_mtime_ns) for file in folder_of(path).glob("*.*")
    }


def test_what_was_removed_leaves_the_file_when_it_is_much(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for video in ("a", "b"):
        add(index, video, range(20))
    index.save(path, PIPELINE)
    size = sum(file.stat().st_size for file in folder_of(path).glob("*.segment"))
    index.remove(VideoId("a"), 3)
    index.save(path, PIPELINE)
    assert ref("a", 3) not in open_index(DIM, path, PIPELINE).refs()
    assert sum(file.stat().st_size for file in folder_of(path).glob("*.segment")) == size
    index.remove(VideoId("a"))
    index.save(path, PIPELINE)
    index.settle()
    assert sum(file.stat().st_size for file in folder_of(path).glob("*.segment")) < size
    assert_same(open_index(DIM, path, PIPELINE), index)


def written_bytes(path: Path, before: dict[str, int]) -> int:
    new = saved_files(path).keys() - before.keys()
    return sum((folder_of(path) / name).stat().st_size for name in new)


def test_a_save_after_a_removal_costs_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for video in ("a", "b", "c"):
        add(index, video, range(400))
    index.save(path, PIPELINE)
    before = saved_files(path)
    size = written_bytes(path, {})
    # Held here, as by another process: what is left to compaction is not done.
    with only_compaction(folder_of(path)):
        index.remove(VideoId("a"))
        index.save(path, PIPELINE)
        index.settle()
        assert saved_files(path) == before, "nothing but the list was written"
        add(index, "d", range(2))
        index.save(path, PIPELINE)
        index.settle()
        assert saved_files(path).items() > before.items()
        assert written_bytes(path, before) < size / 20
        again = open_index(DIM, path, PIPELINE)
        assert again.refs().videos == ("b", "c", "d")
        assert_same(again, index)
    index.remove(VideoId("d"), 0)
    index.save(path, PIPELINE)
    index.settle()
    assert not before.keys() & saved_files(path).keys()
    assert written_bytes(path, {}) < 0.7 * size
    assert_same(open_index(DIM, path, PIPELINE), index)


def test_saves_and_removals_during_a_compaction_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for video in ("a", "b"):
        add(index, video, range(20))
    index.save(path, PIPELINE)
    seen: list[tuple[Hit, ...]] = []

    def meanwhile(*arguments: object) -> None:
        write_segment(*arguments)  # type: ignore[arg-type]
        if not seen:
            seen.append(index.search(vectors("query")[0], 3).hits)
            index.remove(VideoId("b"), 4)
            add(index, "c", range(3))
            index.save(path, PIPELINE)
            index.remove(VideoId("b"), 5)
            add(index, "d", range(1))

    monkeypatch.setattr(_compaction, "write_segment", meanwhile)
    index.remove(VideoId("a"))
    index.save(path, PIPELINE)
    index.settle()
    assert len(seen[0]) == 3, "a question did not wait for the compaction"
    saved = {ref("b", n) for n in range(20) if n != 4} | {ref("c", n) for n in range(3)}
    assert set(open_index(DIM, path, PIPELINE).refs()) == saved
    held = (saved - {ref("b", 5)}) | {ref("d", 0)}
    assert set(index.refs()) == held
    index.save(path, PIPELINE)
    index.settle()
    assert set(open_index(DIM, path, PIPELINE).refs()) == held
    assert_same(open_index(DIM, path, PIPELINE), index)


def test_a_compaction_keeps_what_another_process_has_saved_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    for video in ("a", "b"):
        add(index, video, range(20))
    index.save(path, PIPELINE)
    others: list[SegmentedIndex] = []

    def meanwhile(*arguments: object) -> None:
        write_segment(*arguments)  # type: ignore[arg-type]
        if not others:
            others.append(open_index(DIM, path, PIPELINE))
            others[0].remove(VideoId("b"), 4)
            add(others[0], "c", range(3))
            others[0].save(path, PIPELINE)

    monkeypatch.setattr(_compaction, "write_segment", meanwhile)
    index.remove(VideoId("a"))
    index.save(path, PIPELINE)
    index.settle()
    saved = {ref("b", n) for n in range(20) if n != 4} | {ref("c", n) for n in range(3)}
    assert set(open_index(DIM, path, PIPELINE).refs()) == saved
    add(index, "d", range(1))
    index.save(path, PIPELINE)
    index.settle()
    assert set(index.refs()) == saved | {ref("d", 0)}
    assert_same(open_index(DIM, path, PIPELINE), index)


def test_a_removal_while_its_segment_is_saved_is_saved_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.index"
    index, other = open_index(DIM, path, PIPELINE), open_index(DIM, path, PIPELINE)
    add(index, "a", range(10))

    def meanwhile(*arguments: object) -> None:
        write_segment(*arguments)  # type: ignore[arg-type]
        index.remove(VideoId("a"), 4)

    monkeypatch.setattr(_saving, "write_segment", meanwhile)
    index.save(path, PIPELINE)
    monkeypatch.undo()
    # What another process has saved since is taken over without what was removed here.
    add(other, "b", range(1))
    other.save(path, PIPELINE)
    index.save(path, PIPELINE)
    assert ref("a", 4) not in open_index(DIM, path, PIPELINE).refs()


def test_two_processes_keep_what_the_other_has_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    one, other = open_index(DIM, path, PIPELINE), open_index(DIM, path, PIPELINE)
    add(one, "a", range(10))
    add(one, "both", range(4))
    one.save(path, PIPELINE)
    add(other, "b", range(6))
    add(other, "both", range(5))
    other.save(path, PIPELINE)
    one.remove(VideoId("a"), 2)
    add(one, "c", range(2))
    one.save(path, PIPELINE)
    expected = {ref("a", n) for n in range(10) if n != 2} | {ref("b", n) for n in range(6)}
    expected |= {ref("both", n) for n in range(5)} | {ref("c", n) for n in range(2)}
    again = open_index(DIM, path, PIPELINE)
    assert len(again.refs()) == len(expected)
    assert set(again.refs()) == set(one.refs()) == expected


def test_additions_and_removals_during_a_save_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    add(index, "a", range(10))
    seen: list[tuple[Hit, ...]] = []

    def meanwhile(*arguments: object) -> None:
        write_segment(*arguments)  # type: ignore[arg-type]
        if not seen:
            seen.append(index.search(vectors("query")[0], 3).hits)
            add(index, "b", range(3))
            index.remove(VideoId("a"), 4)

    monkeypatch.setattr(_saving, "write_segment", meanwhile)
    index.save(path, PIPELINE)
    assert len(seen[0]) == 3, "a question did not wait for the save"
    expected = {ref("a", n) for n in range(10) if n != 4} | {ref("b", n) for n in range(3)}
    assert set(index.refs()) == expected
    index.save(path, PIPELINE)
    assert set(open_index(DIM, path, PIPELINE).refs()) == expected


def test_an_index_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    rows, parts = Rows(), []
    for ordinal in range(4):
        rows.add(ref("a", ordinal), 5.0 * ordinal + np.arange(FRAMES, dtype=np.float64))
        parts.append(vectors("a", ordinal).numpy())
    _file.write(path, PIPELINE, np.concatenate(parts), rows, {})
    taken = open_index(DIM, path, PIPELINE)
    expected = open_index(DIM, tmp_path / "b.index", PIPELINE)
    add(expected, "a", range(4))
    assert_same(taken, expected)
    taken.save(path, PIPELINE)
    assert not path.exists()
    assert_same(open_index(DIM, path, PIPELINE), expected)


def test_a_kill_leaves_the_index_before_or_after(tmp_path: Path) -> None:
    def changed(path: Path) -> SegmentedIndex:
        index = open_index(DIM, path, PIPELINE)
        add(index, "c", range(2))
        index.remove(VideoId("a"))
        return index

    def fresh(name: str) -> Path:
        path = tmp_path / name / "a.index"
        path.parent.mkdir()
        index = open_index(DIM, path, PIPELINE)
        for video in ("a", "b"):
            add(index, video, range(6))
        index.save(path, PIPELINE)
        return path

    before = set(open_index(DIM, fresh("before"), PIPELINE).refs())
    after = set(changed(fresh("after")).refs())
    counted = fresh("counted")

    def saved(path: Path) -> None:
        index = changed(path)
        index.save(path, PIPELINE)
        # Half of it was removed: it is written anew.
        index.settle()

    n_changes = count_changes(counted.parent, lambda: saved(counted))
    assert n_changes >= 12
    for number in moments(n_changes, None):
        path = fresh(f"killed-{number}")
        run_killed(path.parent, partial(saved, path), number)
        left = open_index(DIM, path, PIPELINE)
        assert set(left.refs()) in (before, after)
        # The next save goes on from there, and sweeps up.
        saved(path)
        again = open_index(DIM, path, PIPELINE)
        assert set(again.refs()) == after
        assert_same(again, changed(fresh(f"expected-{number}")))
        files = {file.name for file in folder_of(path).iterdir()}
        assert files - {"lock", "compacting.lock", "manifest.json"} == set(saved_files(path))


@pytest.fixture
def coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SegmentedIndex, Path]]:
    """An index of 3,000 chunks that is taken for an archive, of scenes of twelve chunks each."""
    for module in (_coding, _search):
        monkeypatch.setattr(module, "WORTH_BYTES", 1)
    monkeypatch.setattr(_coding, "BLOCK_ROWS", 500)
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    generator = torch.Generator().manual_seed(0)
    for number in range(250):
        centre = torch.randn(DIM, generator=generator)
        for ordinal in range(12):
            noise = torch.randn(FRAMES, DIM, generator=generator)
            pts_s = 5.0 * ordinal + torch.arange(FRAMES, dtype=torch.float64)
            chunk = normalize(centre + 0.3 * noise, dim=1)
            index.add([(ref(f"v{number}", ordinal), chunk, pts_s)])
    index.save(path, PIPELINE)
    index.settle()
    yield index, path
    index.settle()


def overlap(index: SegmentedIndex, within: Scope | None) -> float:
    exact, shares = index.without_codes(), []
    for number in range(0, 250, 10):
        frames = index.frames(VideoId(f"v{number}"), 3)
        if frames is None:
            continue
        found = {hit.chunk for hit in index.search(frames[0][0], 10, within=within).hits}
        expected = {hit.chunk for hit in exact.search(frames[0][0], 10, within=within).hits}
        shares.append(len(found & expected) / max(1, len(expected)))
    return float(np.mean(shares))


def test_codes_find_what_a_pass_over_all_rows_finds(coded: tuple[SegmentedIndex, Path]) -> None:
    index, path = coded
    assert index.codes is not None
    assert index.codes.recall >= 0.9
    assert overlap(index, None) > 0.9
    again = open_index(DIM, path, PIPELINE)
    assert again.codes is not None
    assert overlap(again, None) > 0.9


def test_rows_that_are_alike_only_within_a_scene_are_found_by_codes_but_not_for_phrases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_coding, _search):
        monkeypatch.setattr(module, "WORTH_BYTES", 1)
    # Of each scene one or two rows come into the trial, whose nearest are then strangers; and a
    # small index is to find them as seldom as a large one does.
    monkeypatch.setattr(_coding, "_TUNING_ROWS", 1024)
    monkeypatch.setattr(_codes, "_CANDIDATES", 4)
    monkeypatch.setattr(_coding, "BLOCK_ROWS", 500)
    dim, path = 64, tmp_path / "a.index"
    index = open_index(dim, path, PIPELINE)
    generator = torch.Generator().manual_seed(0)
    for number in range(600):
        centre = torch.randn(dim, generator=generator)
        for ordinal in range(8):
            noise = torch.randn(FRAMES, dim, generator=generator)
            pts_s = 5.0 * ordinal + torch.arange(FRAMES, dtype=torch.float64)
            chunk = normalize(centre + 0.5 * noise, dim=1)
            index.add([(ref(f"v{number}", ordinal), chunk, pts_s)])
    index.save(path, PIPELINE)
    index.settle()
    for opened in (index, open_index(dim, path, PIPELINE)):
        assert opened.codes is not None
        assert opened.codes.is_useful
        assert not opened.codes.finds_scattered
        assert overlap(opened, None) > 0.9
    # Whoever ranks frames by itself is answered by overviews.
    assert [*folder_of(path).glob("*.mean.npy")]
    queries = torch.stack([vectors_of(index, "v3"), vectors_of(index, "v200")])
    found = index.scores(queries, most=4, rank=lambda scores: scores.max(dim=0).values)
    assert {found.chunks[idx].video for idx in found.chunk.tolist()} >= {"v3", "v200"}
    assert len(found.pts_s) < index.n_vectors


def vectors_of(index: SegmentedIndex, video: str) -> torch.Tensor:
    frames = index.frames(VideoId(video), 0)
    assert frames is not None
    return frames[0][0]


def test_a_filter_holds_inside_codes(coded: tuple[SegmentedIndex, Path]) -> None:
    index, _ = coded
    within = [(VideoId(f"v{number}"), ALL_TIME) for number in range(0, 250, 2)]
    assert overlap(index, within) > 0.9
    frames = index.frames(VideoId("v1"), 0)
    assert frames is not None
    hits = index.search(frames[0][0], 10, within=within).hits
    assert {hit.chunk.video for hit in hits} <= {video for video, _ in within}


def test_a_scope_of_everything_asks_what_none_does(
    coded: tuple[SegmentedIndex, Path],
) -> None:
    index, _ = coded
    everything = [(video, ALL_TIME) for video in index.refs().videos]
    query = vectors("query")[0]
    assert index.refs(everything) is index.refs(None)
    assert index.search(query, 10, within=everything) == index.search(query, 10)
    exact = index.without_codes()
    assert exact.search(query, 10, within=everything) == exact.search(query, 10)
    # One more video, of which nothing is held, takes nothing away; one less does.
    assert index.refs([*everything, (VideoId("empty"), ALL_TIME)]) is index.refs(None)
    assert len(index.refs(everything[1:])) == len(index.refs()) - 12
    cut = [(everything[0][0], TimeSpan(start_s=0.0, end_s=9.0)), *everything[1:]]
    assert len(index.refs(cut)) == len(index.refs()) - 10


def test_scores_of_coded_rows_have_the_mean_of_their_video(
    coded: tuple[SegmentedIndex, Path],
) -> None:
    index, _ = coded
    add(index, "new", range(3))
    query = vectors("query")[0]
    found = {stats.video: stats for stats in index.search(query, 3).stats}
    exact = {stats.video: stats for stats in index.without_codes().search(query, 3).stats}
    assert found.keys() == exact.keys()
    for video, stats in exact.items():
        assert found[video].n_frames == stats.n_frames
        assert found[video].mean == pytest.approx(stats.mean, abs=1e-5)
    pooled = np.mean([stats.std**2 for stats in exact.values()]) ** 0.5
    assert found[VideoId("v0")].std == pytest.approx(pooled, rel=0.05)


def test_what_was_removed_or_came_since_is_known_to_codes(
    coded: tuple[SegmentedIndex, Path],
) -> None:
    index, path = coded
    frames = index.frames(VideoId("v7"), 0)
    assert frames is not None
    index.remove(VideoId("v7"))
    add(index, "new", range(1))
    assert "v7" not in {hit.chunk.video for hit in index.search(frames[0][0], 20).hits}
    (best, *_) = index.search(vectors("new", 0)[0], 1).hits
    assert best.chunk == ref("new", 0)
    add(index, "more", range(200))
    index.save(path, PIPELINE)
    index.settle()
    assert index.codes is not None
    assert index.codes.n_rows == 250 * 12 * FRAMES + 201 * FRAMES
    (best, *_) = index.search(vectors("more", 150)[0], 1).hits
    assert best.chunk == ref("more", 150)


def test_damaged_codes_are_made_again(coded: tuple[SegmentedIndex, Path]) -> None:
    _, path = coded
    for file in folder_of(path).glob("*.codes"):
        file.write_bytes(b"torn")
    again = open_index(DIM, path, PIPELINE)
    assert again.codes is None
    assert again.n_vectors == 250 * 12 * FRAMES
    add(again, "b", range(1))
    again.save(path, PIPELINE)
    again.settle()
    assert open_index(DIM, path, PIPELINE).codes is not None


def test_questions_go_on_while_another_thread_adds_and_saves(tmp_path: Path) -> None:
    path = tmp_path / "a.index"
    index = open_index(DIM, path, PIPELINE)
    add(index, "a", range(5))

    def change() -> None:
        for ordinal in range(60):
            add(index, "b", range(ordinal, ordinal + 1))
            index.remove(VideoId("b"), ordinal - 3)
            if ordinal % 7 == 0:
                index.save(path, PIPELINE)

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        while not changing.done():
            hits = index.search(vectors("query")[0], 5).hits
            assert len(hits) == 5
            assert len(index.refs()) >= 5
        changing.result()
    assert len(index.refs()) == 5 + 3
