"""Counts of observations over videos and over the library."""

from storage.catalog import Catalog
from storage.records import LabelTally
from tests.storage.test_observations import add_video, reach, thing, words


def test_labels_are_counted_by_video_and_over_the_library(catalog: Catalog) -> None:
    yard, gate = add_video(catalog, "yard"), add_video(catalog, "gate")
    empty = add_video(catalog, "empty")
    rows = [thing(yard, 1.0, "person"), thing(yard, 5.0, "person"), thing(yard, 5.0, "dog")]
    catalog.observations.extend(rows, reach(yard, 9.0))
    catalog.observations.extend([thing(gate, 2.0, "dog")], reach(gate, 9.0))
    catalog.observations.extend([words(gate, 2.0, "Hello.")], reach(gate, 9.0, "speech"))
    speech = LabelTally(kind="speech", label="", n=1)
    dog, person = (LabelTally(kind="object", label=label, n=1) for label in ("dog", "person"))
    assert catalog.tallies.by_video([yard, gate, empty]) == {
        yard: (LabelTally(kind="object", label="person", n=2), dog),
        gate: (dog, speech),
    }
    assert catalog.tallies.over_library() == (
        LabelTally(kind="object", label="dog", n=2), person, speech,
    )  # fmt: skip
    assert catalog.tallies.videos_with("dog") == {yard, gate}
    assert catalog.tallies.videos_with("person") == {yard}
    assert catalog.tallies.videos_with("speech") == {gate}
    assert catalog.tallies.videos_with("cat") == frozenset()
    catalog.videos.remove(yard)
    assert catalog.tallies.videos_with("dog") == {gate}
