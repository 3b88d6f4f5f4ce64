"""Observations: written step by step, found by words and labels, gone with their video."""

from dataclasses import replace

import pytest

from engine.errors import NotFoundError
from engine.records import (
    ALL_TIME,
    Box,
    Observation,
    ObservationKind,
    Observed,
    TimeSpan,
    VideoId,
)
from storage.catalog import Catalog

SSD = "ssd_mobilenet_v2"


def add_video(catalog: Catalog, name: str = "lobby") -> VideoId:
    return catalog.videos.add(name=name, uri=name).id


def thing(
    video: VideoId,
    start_s: float,
    label: str,
    *,
    track: int | None = None,
    colours: tuple[str, ...] = (),
    length_s: float = 2.0,
) -> Observation:
    return Observation(
        video=video,
        kind="object",
        span=TimeSpan(start_s=start_s, end_s=start_s + length_s),
        label=label,
        text="",
        confidence=0.75,
        model=SSD,
        peak_s=start_s,
        track=track,
        boxes=(Box(time_s=start_s, left=0.25, top=0.5, right=0.75, bottom=1.0),),
        colours=colours,
        heading="left",
        n_seen=2,
        n_looked=3,
    )


def words(
    video: VideoId, start_s: float, text: str, kind: ObservationKind = "speech"
) -> Observation:
    return replace(
        thing(video, start_s, ""), kind=kind, text=text, model="whisper", boxes=(), track=None
    )


def reach(video: VideoId, end_s: float, kind: ObservationKind = "object") -> Observed:
    labels = frozenset({"person", "dog"}) if kind == "object" else frozenset[str]()
    span = TimeSpan(start_s=0.0, end_s=end_s)
    return Observed(video=video, kind=kind, model=SSD, labels=labels, span=span)


def test_rows_come_back_whole_and_in_time_order(catalog: Catalog) -> None:
    video = add_video(catalog)
    later, first = (
        thing(video, 7.5, "dog", track=2, colours=("brown",)),
        thing(video, 1.0, "person"),
    )
    catalog.observations.replace(video, "object", [later, first], reach(video, 60.0))
    assert catalog.observations.list([(video, ALL_TIME)]) == (first, later)
    assert catalog.observations.reach(video) == (reach(video, 60.0),)
    assert catalog.observations.reach() == (reach(video, 60.0),)


def test_rows_are_filtered_by_span_kind_and_label(catalog: Catalog) -> None:
    video, other = add_video(catalog), add_video(catalog, "yard")
    dog, person = thing(video, 1.0, "dog"), thing(video, 20.0, "person")
    said = words(video, 1.0, "Hello.")
    moment = thing(video, 40.0, "dog", length_s=0.0)
    catalog.observations.extend([dog, person, moment], reach(video, 60.0))
    catalog.observations.extend([said], reach(video, 60.0, "speech"))
    catalog.observations.extend([thing(other, 1.0, "dog")], reach(other, 60.0))

    def found(start_s: float, end_s: float, **filters: list[str]) -> tuple[Observation, ...]:
        span = TimeSpan(start_s=start_s, end_s=end_s)
        return catalog.observations.list([(video, span)], **filters)  # type: ignore[arg-type]

    assert found(0.0, 60.0, kinds=["object"]) == (dog, person, moment)
    assert found(0.0, 60.0, labels=["dog"]) == (dog, moment)
    assert found(2.5, 20.0) == (dog, said)
    assert found(3.0, 20.0) == ()
    assert found(40.0, 41.0) == (moment,)
    assert catalog.observations.list([]) == ()


def test_replacing_leaves_other_kinds_alone(catalog: Catalog) -> None:
    video = add_video(catalog)
    said = words(video, 1.0, "Hello.")
    catalog.observations.extend([said], reach(video, 60.0, "speech"))
    catalog.observations.extend([thing(video, 1.0, "dog")], reach(video, 60.0))
    cat = thing(video, 5.0, "cat")
    catalog.observations.replace(video, "object", [cat], reach(video, 9.0))
    assert catalog.observations.list([(video, ALL_TIME)]) == (said, cat)
    catalog.observations.forget(video, ["object"])
    assert catalog.observations.list([(video, ALL_TIME)]) == (said,)
    assert [row.kind for row in catalog.observations.reach(video)] == ["speech"]


def test_a_track_that_goes_on_is_one_row(catalog: Catalog) -> None:
    video = add_video(catalog)
    dog, person = thing(video, 1.0, "dog", track=1), thing(video, 1.0, "person", track=2)
    catalog.observations.extend([dog, person], reach(video, 3.0))
    longer = replace(dog, span=TimeSpan(start_s=1.0, end_s=9.0), confidence=0.9)
    catalog.observations.extend([longer], reach(video, 9.0))
    assert set(catalog.observations.list([(video, ALL_TIME)])) == {longer, person}
    assert catalog.observations.matching("dog", [(video, ALL_TIME)], top=9)[0].share == 1.0
    assert len(catalog.observations.matching("dog", [(video, ALL_TIME)])) == 1


@pytest.mark.parametrize("query", ["dog", "dogs", "DOG", "the dogs", "Dog's"])
def test_stems_are_found(catalog: Catalog, query: str) -> None:
    video = add_video(catalog)
    catalog.observations.extend([words(video, 1.0, "Three DOGS ran.")], reach(video, 9.0, "speech"))
    catalog.observations.extend([thing(video, 5.0, "dog")], reach(video, 9.0))
    kinds = {
        match.observation.kind
        for match in catalog.observations.matching(query, [(video, ALL_TIME)])
    }
    assert kinds == {"object", "speech"}


@pytest.mark.parametrize(
    "query", ["", "the", "%", "_", 'do"g', "do*", "NEAR(", "zebra", "words:dog"]
)
def test_what_nothing_holds_is_not_found(catalog: Catalog, query: str) -> None:
    video = add_video(catalog)
    catalog.observations.extend([thing(video, 1.0, "fire hydrant")], reach(video, 9.0))
    assert catalog.observations.matching(query, [(video, ALL_TIME)]) == ()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("exits", {"WAY OUT exit 3"}),
        ("out", {"WAY OUT exit 3"}),
        ("no", {"No parking: 0800-1800"}),
        ("0800", {"No parking: 0800-1800"}),
        ("cafe", {"Café Straße"}),
        ("CAFÉ", {"Café Straße"}),
        ("strasse", {"Café Straße"}),
        ("generously", {"He gave generously, they generate"}),
        ("generation", {"He gave generously, they generate"}),
        ("ab 12", {"AB 12"}),
        ("ab12cd", {"plate AB12CD"}),
        ("under_score", {"an under_score"}),
        ("Ворота", {"ворота закрыты"}),
        ("the", set()),
    ],
)
def test_words_find_the_same_rows_on_every_database(
    catalog: Catalog, query: str, wanted: set[str]
) -> None:
    video = add_video(catalog)
    texts = (
        "WAY OUT exit 3", "No parking: 0800-1800", "Café Straße", "plate AB12CD", "AB 12",
        "He gave generously, they generate", "an under_score", "ворота закрыты",
    )  # fmt: skip
    rows = [words(video, float(number), text) for number, text in enumerate(texts)]
    catalog.observations.replace(video, "speech", rows, reach(video, 60.0, "speech"))
    for kinds in (None, ["speech"]):
        matches = catalog.observations.matching(query, [(video, ALL_TIME)], kinds=kinds)
        assert {match.observation.text for match in matches} == wanted


def test_colour_and_thing_together_come_first(catalog: Catalog) -> None:
    video = add_video(catalog)
    red_van = thing(video, 1.0, "truck", colours=("red",))
    white_van = thing(video, 5.0, "truck", colours=("white", "grey"))
    catalog.observations.extend([red_van, white_van], reach(video, 9.0))
    first, second = catalog.observations.matching("white truck", [(video, ALL_TIME)])
    assert (first.observation, first.share) == (white_van, 1.0)
    assert (second.observation, second.share) == (red_van, 0.5)


def test_search_keeps_to_scope_and_kinds(catalog: Catalog) -> None:
    video, other = add_video(catalog), add_video(catalog, "yard")
    for place in (video, other):
        catalog.observations.extend([thing(place, 1.0, "dog")], reach(place, 9.0))
        catalog.observations.extend([words(place, 4.0, "A dog!")], reach(place, 9.0, "speech"))
    (match,) = catalog.observations.matching("dog", [(other, ALL_TIME)], kinds=["speech"])
    assert (match.observation.video, match.observation.kind) == (other, "speech")
    early = [(video, TimeSpan(start_s=0.0, end_s=3.5))]
    assert [m.observation.kind for m in catalog.observations.matching("dog", early)] == ["object"]


def test_tally_counts_labels(catalog: Catalog) -> None:
    video = add_video(catalog)
    rows = [thing(video, 1.0, "person"), thing(video, 5.0, "person"), thing(video, 5.0, "dog")]
    catalog.observations.extend(rows, reach(video, 9.0))
    tally = [(row.label, row.n, row.seconds) for row in catalog.observations.tally(video)]
    assert tally == [("person", 2, 4.0), ("dog", 1, 2.0)]


def test_vectors_of_two_encoders_never_mix(catalog: Catalog) -> None:
    video = add_video(catalog)
    said = words(video, 1.0, "Hello.")
    catalog.observations.extend([said, thing(video, 2.0, "dog")], reach(video, 9.0, "speech"))
    (unread,) = catalog.observations.without_vector(video, "minilm")
    assert unread.text == "Hello."
    catalog.observations.set_vectors({unread.id: b"\0\1", 99_999: b""}, "minilm")
    assert catalog.observations.without_vector(video, "minilm") == ()
    (row,) = catalog.observations.vectors([(video, ALL_TIME)], "minilm")
    assert (row.id, row.text, row.vector) == (unread.id, "Hello.", b"\0\1")
    assert catalog.observations.get([row.id, 99_999]) == {row.id: said}
    assert catalog.observations.vectors([(video, ALL_TIME)], "other") == ()
    assert len(catalog.observations.without_vector(video, "other")) == 1


def test_observations_leave_with_their_video(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.observations.extend([thing(video, 1.0, "dog")], reach(video, 9.0))
    catalog.videos.remove(video)
    assert catalog.observations.list([(video, ALL_TIME)]) == ()
    assert catalog.observations.matching("dog", [(video, ALL_TIME)]) == ()
    assert catalog.observations.reach() == ()
    with pytest.raises(NotFoundError):
        catalog.observations.extend([thing(video, 1.0, "dog")], reach(video, 9.0))
    # A row that is added later must not be found by the words of one that left.
    other = add_video(catalog, "yard")
    catalog.observations.extend([thing(other, 1.0, "cat")], reach(other, 9.0))
    assert catalog.observations.matching("dog", [(other, ALL_TIME)]) == ()


def test_a_scope_of_many_videos_keeps_others_out(catalog: Catalog) -> None:
    videos = [add_video(catalog, f"camera {idx}") for idx in range(100)]
    for video in videos:
        rows = [thing(video, 1.0, "person"), thing(video, 50.0, "person")]
        catalog.observations.replace(video, "object", rows, reach(video, 60.0))
    scope = [(video, TimeSpan(start_s=0.0, end_s=10.0)) for video in videos[:80]]
    assert [row.video for row in catalog.observations.list(scope)] == sorted(videos[:80])
    assert len(catalog.observations.list(scope, labels=["person"], most=7)) == 7
    matches = catalog.observations.matching("person", scope)
    assert {match.observation.video for match in matches} == set(videos[:80])
    assert {match.observation.span.start_s for match in matches} == {1.0}


def test_everything_is_what_a_scope_of_all_videos_takes(catalog: Catalog) -> None:
    videos = [add_video(catalog, f"camera {idx}") for idx in range(3)]
    for video in videos:
        rows = [thing(video, at_s, "dog", colours=("brown",)) for at_s in (1.0, 8.0)]
        catalog.observations.replace(video, "object", rows, reach(video, 60.0))
        catalog.observations.extend([words(video, 4.0, "A dog!")], reach(video, 9.0, "speech"))
    scope, observations = [(video, ALL_TIME) for video in videos], catalog.observations
    assert observations.list(None) == observations.list(scope)
    for most in (1, 4, 20):
        found = observations.list(None, labels=["dog"], most=most)
        assert found == observations.list(scope, labels=["dog"], most=most)
        assert len(found) == min(most, 6)
    assert observations.matching("dog", None) == observations.matching("dog", scope)
    said = observations.matching("dog", None, kinds=["speech"])
    assert said == observations.matching("dog", scope, kinds=["speech"])
    assert len(said) == 3
    assert observations.vectors(None, "none") == ()


def test_rows_with_a_colour_go_before_surer_ones(catalog: Catalog) -> None:
    video = add_video(catalog)
    rows = [
        replace(thing(video, float(idx), "car", colours=colours), confidence=confidence)
        for idx, (colours, confidence) in enumerate(
            [((), 0.9), (("red",), 0.4), (("blue",), 0.8), (("black", "red"), 0.5)]
        )
    ]
    catalog.observations.replace(video, "object", rows, reach(video, 60.0))

    def found(most: int) -> list[float]:
        chosen = catalog.observations.list(None, labels=["car"], colours=["red"], most=most)
        return [row.confidence for row in chosen]

    assert found(1) == [0.5]
    assert found(2) == [0.4, 0.5]
    assert found(3) == [0.9, 0.4, 0.5]
    assert found(9) == [0.9, 0.4, 0.8, 0.5]


def test_boxes_are_those_that_were_written(catalog: Catalog) -> None:
    video = add_video(catalog)
    seen, said = thing(video, 1.0, "dog"), words(video, 2.0, "A dog!")
    boxes = tuple(replace(seen.boxes[0], time_s=1.0 + step) for step in range(3))
    seen = replace(seen, boxes=boxes)
    catalog.observations.replace(video, "object", [seen], reach(video, 60.0))
    catalog.observations.extend([said], reach(video, 9.0, "speech"))
    stored, heard = catalog.observations.list(None)
    assert (len(stored.boxes), len(heard.boxes)) == (3, 0)
    assert (stored.boxes[-1], stored.boxes[:2], [*stored.boxes]) == (
        boxes[-1], boxes[:2], [*boxes],
    )  # fmt: skip
    assert stored.boxes == boxes
    assert {stored.boxes, boxes} == {boxes}


def test_what_was_said_leaves_its_index_with_its_row(catalog: Catalog) -> None:
    video = add_video(catalog)
    catalog.observations.extend([words(video, 4.0, "A dog!")], reach(video, 9.0, "speech"))
    catalog.observations.forget(video, ["speech"])
    assert catalog.observations.matching("dog", None, kinds=["speech"]) == ()
    catalog.observations.extend([words(video, 4.0, "Two cats.")], reach(video, 9.0, "speech"))
    assert len(catalog.observations.matching("cat", None, kinds=["text", "speech"])) == 1
    catalog.videos.remove(video)
    assert catalog.observations.matching("cat", None, kinds=["speech"]) == ()
