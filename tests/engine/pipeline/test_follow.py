"""An index that follows folders: looked at when somebody wrote, and once in a while."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.cache.disk import DiskTier
from engine.cache.vectors import StillVectors, VectorStore
from engine.index.exact import ExactIndex
from engine.pipeline.follow import LOOK_AGAIN_S, Followed, follow
from engine.records import ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from tests.engine.cache.samples import PEDIGREE, chunk
from tests.engine.cache.test_disk import packed

LONG_AGO_NS = 1


class Folders:
    """Folders of two videos that count how often they are looked at."""

    def __init__(self) -> None:
        self.noted_ns = self.changed_ns = LONG_AGO_NS
        self.n_looks = 0
        self.gone = set[VideoId]()
        self.going = set[VideoId]()
        """Gone, which a list of a moment ago does not know."""
        self.looked_again = list[VideoId]()

    def changes_ns(self) -> dict[VideoId, int]:
        self.n_looks += 1
        return {VideoId("a"): self.changed_ns, VideoId("b"): LONG_AGO_NS}

    def changed_at_ns(self, video: VideoId) -> int | None:
        return None if video in self.gone else self.changed_ns

    def look_again(self, video: VideoId) -> None:
        self.looked_again.append(video)
        self.gone |= self.going

    def noted_at_ns(self) -> int:
        return self.noted_ns


def test_folders_are_looked_at_when_somebody_wrote() -> None:
    folders, followed, caught_up = Folders(), Followed(), list[VideoId]()

    def catch_up(video: VideoId) -> bool:
        caught_up.append(video)
        return True

    def look() -> None:
        follow(ExactIndex(3), folders, followed, catch_up)

    look()
    look()
    assert (folders.n_looks, caught_up) == (1, ["a", "b"])
    folders.noted_ns, folders.changed_ns = LONG_AGO_NS + 1, LONG_AGO_NS + 1
    look()
    look()
    assert (folders.n_looks, caught_up) == (2, ["a", "b", "a"])
    # What was changed by hand nobody notes: it is found when a minute has passed.
    folders.changed_ns += 1
    look()
    assert folders.n_looks == 2
    followed.looked_at_s -= LOOK_AGAIN_S
    look()
    assert (folders.n_looks, caught_up[3:]) == (3, ["a"])
    followed.forget(VideoId("b"))
    look()
    assert (folders.n_looks, caught_up[4:]) == (4, ["b"])


def test_what_is_forgotten_during_a_look_is_looked_at_again() -> None:
    folders, followed, caught_up = Folders(), Followed(), list[VideoId]()

    def meanwhile(video: VideoId) -> bool:
        caught_up.append(video)
        if len(caught_up) == 2:
            followed.forget(VideoId("a"))
        return True

    follow(ExactIndex(3), folders, followed, meanwhile)
    follow(ExactIndex(3), folders, followed, meanwhile)
    assert caught_up == ["a", "b", "a"]


def test_what_could_not_be_read_whole_is_asked_again() -> None:
    folders, followed, caught_up = Folders(), Followed(), list[VideoId]()

    def catch_up(video: VideoId) -> bool:
        caught_up.append(video)
        return video == "a" or caught_up.count(video) > 1

    for _ in range(3):
        follow(ExactIndex(3), folders, followed, catch_up)
    assert caught_up == ["a", "b", "b"]


def test_what_is_deleted_while_it_is_read_does_not_come_back() -> None:
    folders, index = Folders(), ExactIndex(3)
    span = TimeSpan(start_s=0.0, end_s=1.0)

    def catch_up(video: VideoId) -> bool:
        at_s = torch.zeros(1, dtype=torch.float64)
        index.add([(ChunkRef(video=video, ordinal=0, span=span), torch.ones(1, 3), at_s)])
        if video == "b":
            folders.gone.add(video)
        return True

    follow(index, folders, Followed(), catch_up)
    assert index.refs().videos == ("a",)


class Shared(ExactIndex):
    """An index from which another machine has just removed a video."""

    def removed_elsewhere(self) -> frozenset[VideoId]:
        return frozenset([VideoId("b")])


def test_what_another_machine_deletes_does_not_come_back_by_a_list_of_before() -> None:
    folders, index = Folders(), Shared(3)
    span = TimeSpan(start_s=0.0, end_s=1.0)

    def catch_up(video: VideoId) -> bool:
        at_s = torch.zeros(1, dtype=torch.float64)
        index.add([(ChunkRef(video=video, ordinal=0, span=span), torch.ones(1, 3), at_s)])
        # From here on it is gone: only a list that is made anew knows.
        folders.going.add(VideoId("b"))
        return True

    follow(index, folders, Followed(), catch_up)
    assert folders.looked_again == ["b", "a", "b"]
    assert index.refs().videos == ("a",)


def _latents(root: Path) -> list[Callable[[], object]]:
    tier, stored = DiskTier(root, PEDIGREE), packed(chunk(0))
    return [
        lambda: tier.commit(stored, activity=0.0, stats=SampleStats()),
        lambda: tier.set_aside(stored.ref.video, 0),
        lambda: tier.commit(stored, activity=0.0, stats=SampleStats()),
        lambda: tier.drop(stored.ref),
        lambda: tier.remove(stored.ref.video),
    ]


def _vectors(root: Path) -> list[Callable[[], object]]:
    store, video = VectorStore(root, Fingerprint("e")), VideoId("a")
    span = TimeSpan(start_s=0.0, end_s=1.0)
    stored = StillVectors(
        chunk=ChunkRef(video=video, ordinal=0, span=span),
        reading="r",
        vectors=torch.zeros(1, 3),
        pts_s=torch.zeros(1, dtype=torch.float64),
    )

    def spoil() -> None:
        store.path(video, 0).write_bytes(b"torn")
        assert store.get(video, 0) is None

    return [
        lambda: store.put(stored),
        spoil,
        lambda: store.put(stored),
        lambda: store.drop(video, 0),
        lambda: store.forget(video),
    ]


@pytest.mark.parametrize("writer", ["latents", "vectors"])
def test_every_change_is_noted_for_other_processes(tmp_path: Path, writer: str) -> None:
    # One that has it open since before.
    if writer == "latents":
        seen, changes = DiskTier(tmp_path, PEDIGREE).noted_at_ns, _latents(tmp_path)
    else:
        seen, changes = VectorStore(tmp_path, Fingerprint("e")).noted_at_ns, _vectors(tmp_path)
    before = seen()
    for change in changes:
        while seen() == before:
            # Clocks of folders tick every few milliseconds.
            change()
        before = seen()
