"""Answers by a second look: colours, clothes, places and doings that no row states."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import Composed, Fit, NoSecondLook, WatchedFootage
from engine.pipeline.compose.witnesses import grade_rows
from engine.pipeline.question_kinds import read_question
from engine.records import Box, Evidence, Scope, TimeSpan, VideoId
from tests.support.observations import VIDEO, footage, track, vocabulary, words


class Look(NoSecondLook):
    """A classifier that sees one class everywhere and locates it on the right.

    The upper half of the picture is blue, the lower one white, and what it locates is red.
    """

    def __init__(self, name: str = "", share: float = 0.0, fitting: str = "") -> None:
        self._name, self._share, self._fitting = name, share, fitting

    def classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        return [self._share * (name == self._name) for name in vocabulary().class_names]

    def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
        if box is not None and box.left == 0.7:
            return ("red",)
        if box is None:
            return ("blue", "white")
        return ("blue",) if (box.top + box.bottom) / 2 < 0.5 else ("white",)

    def place(self, video: VideoId, time_s: float, classes: frozenset[int]) -> Box | None:
        return Box(time_s=time_s, left=0.7, top=0.4, right=0.9, bottom=0.6)

    def fits(self, phrases: Sequence[str], scope: Scope) -> tuple[Fit, ...]:
        span = TimeSpan(start_s=4.0, end_s=7.0)
        item = Evidence(video=VIDEO, span=span, score=0.9, origin="retrieval", keyframe_s=5.0)
        return tuple(
            Fit(
                phrase=phrase,
                log_odds=3.0 if phrase == self._fitting else -10.0,
                source="concepts",
                evidence=item,
            )
            for phrase in phrases
        )


def ask(seen: WatchedFootage, question: str) -> Composed:
    composed = compose(seen, read_question(question))
    assert composed is not None, question
    return composed


class CountingLook(Look):
    """A look that keeps in mind at which moments a classifier was asked."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0.7)
        self.at_s: list[float] = []

    def classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        self.at_s.append(time_s)
        return super().classes(video, time_s, box)


@pytest.mark.parametrize(("name", "n_looks"), [("trailer truck", 1), ("violin", 3)])
def test_of_a_large_library_few_rows_are_looked_at(name: str, n_looks: int) -> None:
    rows = [
        track("truck", 10 * idx, 10 * idx + 5, confidence=0.5 + idx / 100, number=idx)
        for idx in range(30)
    ]
    look = CountingLook(name)
    every = grade_rows(footage(*rows, look=look, duration_s=300), rows)
    assert len(look.at_s) == 30
    assert len(every.sure) == (30 if name == "trailer truck" else 0)
    look = CountingLook(name)
    seen = replace(footage(*rows, look=look, duration_s=300), most_looks=3)
    graded = grade_rows(seen, rows)
    # The surest, until one is borne out, which bears out the others.
    assert look.at_s == [row.peak_s for row in rows[::-1][:n_looks]]
    assert graded.believed == every.believed
    assert graded.all == tuple(rows)


def test_a_row_that_speaks_for_itself_is_not_looked_at() -> None:
    row, look = track("truck", 0, 5, confidence=0.9), CountingLook("violin")
    assert grade_rows(footage(row, look=look, duration_s=10), [row]).sure == (row,)
    assert not look.at_s


def test_picture_is_in_colour_or_not() -> None:
    seen = footage(look=Look("jeep", 0.1), duration_s=10)
    assert ask(seen, "Is the picture in colour?").text == "Yes: the picture is in colour."
    assert ask(seen, "Is the film black and white?").text == "No: the picture is in colour."


@pytest.mark.parametrize(
    ("question", "text"),
    [
        # No detector knows a violin: the pixels where its class lights up have its colour.
        ("What colour is the violin?", "Red: the violin, where it shows best"),
        ("What colour is the sky?", "Blue: the sky, by its place in the picture"),
        ("What colour is the floor?", "White: the floor, by its place in the picture"),
        ("Where is the violin?", "On the right of the picture, by its looks"),
        ("What is on the table?", "A violin, by its looks"),
        ("What musical instrument can be seen?", "A violin, by its looks"),
    ],
)
def test_class_tells_colour_and_place(question: str, text: str) -> None:
    seen = footage(look=Look("violin", 0.7), duration_s=10)
    composed = ask(seen, question)
    assert composed.text.startswith(text)
    assert composed.verdict == "answered"
    assert composed.evidence


def test_colour_of_what_nothing_sees_stays_open() -> None:
    seen = footage(look=Look("jeep", 0.7), duration_s=10)
    assert compose(seen, read_question("What colour is the violin?")) is None
    assert ask(seen, "What colour is the unicorn?").verdict == "unknown"


def test_place_is_told_by_what_fits_best() -> None:
    seen = footage(look=Look(fitting="kitchen"), duration_s=10)
    assert ask(seen, "Where is it?").text == "In a kitchen, by its looks, from 0:04 to 0:07."
    assert compose(footage(look=Look(), duration_s=10), read_question("Where is it?")) is None


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("What does the woman wear?", "A blue top and white trousers, by its looks"),
        ("What does the man wear on his head?", "A blue hat, by its looks"),
        ("What hat does the man wear?", "A blue hat, by its looks"),
    ],
)
def test_clothes_are_told_by_their_colours(question: str, text: str) -> None:
    seen = footage(track("person", 0, 9, size=(0.3, 0.9)), look=Look("jeep", 0.1), duration_s=10)
    assert ask(seen, question).text.startswith(text)


def test_legs_out_of_the_picture_have_no_colour() -> None:
    close = footage(track("person", 0, 9, size=(0.6, 0.9)), look=Look("jeep", 0.1), duration_s=10)
    # Of half of somebody the lower half is the chest.
    assert ask(close, "What does the woman wear?").text.startswith("A white top, by its looks")


def test_class_names_what_is_worn() -> None:
    person = track("person", 0, 9, size=(0.3, 0.9))
    dressed = footage(person, look=Look("military uniform", 0.6), duration_s=10)
    assert ask(dressed, "What does he wear?").text.startswith("A blue military uniform")
    watch = footage(person, look=Look("digital watch", 0.4), duration_s=10)
    assert ask(watch, "What does he wear on the wrist?").text.startswith("A digital watch")
    assert compose(watch, read_question("What does he wear around the neck?")) is None


@pytest.mark.parametrize(
    ("rows", "question", "text"),
    [
        (
            (track("person", 0, 9), track("bicycle", 0, 9, confidence=0.9, number=2)),
            "What is the man doing?",
            "A person rides a bicycle, to judge by the bicycle",
        ),
        (
            (track("person", 0, 9, x=(0.1, 0.9)),),
            "What is the woman doing?",
            "A person walks from left to right, by its track",
        ),
        (
            (track("dog", 0, 2, confidence=0.9, x=(0.9, 0.1)),),
            "What is the dog doing?",
            "A dog runs from right to left",
        ),
    ],
)
def test_things_and_ways_tell_doings(rows: Sequence[object], question: str, text: str) -> None:
    seen = footage(*rows, duration_s=10)  # type: ignore[arg-type]
    assert ask(seen, question).text.startswith(text)


def test_doing_without_thing_or_way_stays_open() -> None:
    seen = footage(track("person", 0, 9), duration_s=10)
    assert compose(seen, read_question("What is the man doing?")) is None


def test_thing_in_the_picture_tells_a_doing() -> None:
    seen = footage(track("person", 0, 9), look=Look(fitting="guitar"), duration_s=10)
    assert ask(seen, "What is he doing?").text.startswith("A person plays the guitar")


def test_movement_stands_for_a_thing_that_is_taken_for_granted() -> None:
    moves = (
        track("movement", 3, 6, kind="motion", x=(0.1, 0.9), size=(0.1, 0.1)),
        track("movement", 9, 12, kind="motion", x=(0.9, 0.1), size=(0.1, 0.1), number=2),
    )
    seen = footage(*moves, duration_s=15)
    told = ask(seen, "Which way does the first car drive?")
    assert told.text.startswith("From left to right")
    assert told.text.endswith("it was told by its movement alone.")
    assert ask(seen, "How many cars pass?").text.startswith("2 cars, one at a time")
    # Whoever asks whether there is one takes nothing for granted.
    assert ask(seen, "Is there a car?").verdict == "unknown"


def test_it_is_the_thing_in_view() -> None:
    bird = track("bird", 0, 10, confidence=0.95, size=(0.2, 0.2))
    assert ask(footage(bird, duration_s=10), "Does it fly off?").text.startswith(
        "No: a bird is in view to the end"
    )
    left = footage(track("bird", 0, 5, confidence=0.95), duration_s=10)
    assert ask(left, "Does it fly off?").verdict == "unknown"


def test_growth_tells_bigger_or_smaller() -> None:
    frog = footage(look=Look("tree frog", 0.7), duration_s=10)
    # The class lights up in one place all the time: it does not grow.
    assert compose(frog, read_question("Does the frog get bigger or smaller?")) is None


def test_absence_is_no_denial() -> None:
    seen = footage(track("dog", 0, 4, confidence=0.95), duration_s=10)
    composed = ask(seen, "When is the dog out of the picture?")
    assert composed.text == "From 0:04 to 0:10: no dog in view."


def test_thing_alone_tells_when_in_a_long_recording() -> None:
    seen = footage(look=Look(fitting="coffee"), duration_s=60)
    composed = ask(seen, "When is coffee poured?")
    assert composed.text.startswith("Most likely, by its looks: coffee is in view from 0:04")
    # Of a short one it fills too much.
    short = footage(look=Look(fitting="coffee"), duration_s=6)
    assert ask(short, "When is coffee poured?").verdict == "unknown"


def test_sound_alone_is_quoted_more_readily() -> None:
    class Near(NoSecondLook):
        def likeness(self, text: str, others: Sequence[str]) -> Sequence[float]:
            return [0.25] * len(others)

    row = words("speech", 1, 4, "And so, my fellow Americans.")
    heard = footage(row, duration_s=10, reach=("speech",), look=Near())
    assert "fellow" in ask(heard, "Whom is this for?").text
    seen = footage(row, duration_s=10, look=Near())
    assert compose(seen, read_question("Whom is this for?")) is None


def test_large_animal_is_denied_where_no_encoder_sees_one() -> None:
    blob = track("movement", 3, 6, kind="motion", x=(0.1, 0.9), size=(0.1, 0.1))
    silent = footage(blob, look=Look(), duration_s=10)
    assert ask(silent, "Is there an elephant?").text.startswith("No: no elephant was recognised")
    # A person may be that far away, and what moves without an encoder's word may be anything.
    assert ask(silent, "Is there a person?").verdict == "unknown"
    assert ask(footage(blob, duration_s=10), "Is there an elephant?").verdict == "unknown"


def test_colours_of_clothes_tell_people_apart() -> None:
    class Clothes(Look):
        """Whoever comes first wears blue above, the other one white."""

        def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
            return ("blue",) if time_s < 5 else ("white",)

    both = ("blue", "white")
    people = [
        track("person", start_s, start_s + 4, number=start_s, colours=both)
        for start_s in (0, 8, 16)
    ]
    seen = footage(*people, look=Clothes(), duration_s=24)
    composed = ask(seen, "When is the person in the blue shirt in view?")
    assert composed.text == "A person in blue is in view from 0:00 to 0:04."


def test_whole_of_few_sentences_is_quoted() -> None:
    seen = footage(words("speech", 0, 1, "Hildy!"), words("speech", 1, 2, "Hello."), duration_s=5)
    assert "Hildy" in ask(seen, "By what name is she greeted?").text


def test_print_is_counted() -> None:
    rows = [words("text", start_s, start_s + 2, "ALARM") for start_s in (3, 20)]
    composed = ask(footage(*rows, duration_s=30), "How often does ALARM come up?")
    assert composed.text.startswith("2 times: “ALARM” is read from 0:03 to 0:05")


def test_nearest_is_where_a_thing_is_largest() -> None:
    bus = track("bus", 0, 9, confidence=0.95)
    near = replace(bus.boxes[6], left=0.0, right=1.0)
    bus = replace(bus, boxes=(*bus.boxes[:6], near, *bus.boxes[7:]))
    composed = ask(footage(bus, duration_s=10), "When is the bus nearest to the camera?")
    assert composed.text.startswith("About 0:06: a bus is largest then")
    assert composed.evidence[0].span == TimeSpan(start_s=5.0, end_s=7.0)


def test_classifier_names_an_animal_that_the_detector_mistakes() -> None:
    dog = track("dog", 0, 9, confidence=0.95)
    lion = footage(dog, look=Look("lion", 0.8), duration_s=10)
    assert ask(lion, "What animal is it?").text.startswith("A big cat, more closely a lion")
    beagle = footage(dog, look=Look("beagle", 0.8), duration_s=10)
    assert ask(beagle, "What animal is it?").text.startswith("A dog (from 0:00 to 0:09)")


def test_claim_of_an_encoder_needs_the_classifier_for_a_yes() -> None:
    span = TimeSpan(start_s=4.0, end_s=7.0)
    item = Evidence(video=VIDEO, span=span, score=0.9, origin="retrieval", keyframe_s=5.0)
    seen = replace(footage(look=Look("lion", 0.6), duration_s=10), claimed=(item,))
    assert ask(seen, "Is there a lion?").text.startswith("Yes, by its looks: a lion")
    other = replace(footage(look=Look("jeep", 0.6), duration_s=10), claimed=(item,))
    assert ask(other, "Is there a lion?").verdict != "answered"


def test_paint_of_a_vehicle_comes_before_its_windows() -> None:
    bus = track("bus", 0, 9, confidence=0.95, colours=("black", "blue"))
    assert ask(footage(bus, duration_s=10), "What colour is the bus?").text.startswith("Blue")


def test_colour_may_be_the_name_of_the_thing() -> None:
    seen = footage(look=Look("orange", 0.7), duration_s=10)
    assert ask(seen, "What colour is the orange?").text.startswith("Red: the orange, where")


def test_material_is_not_told_by_what_stands_on_it() -> None:
    seen = footage(look=Look("espresso", 0.9), duration_s=10)
    assert compose(seen, read_question("What is the table made of?")) is None


def test_what_no_encoder_sees_at_any_moment_is_denied() -> None:
    silent = footage(look=Look(), duration_s=10)
    assert ask(silent, "Is there a banana?").text.startswith("No: no banana was recognised")
    # Small things of hands, and what nothing knows for sure, stay open.
    assert ask(silent, "Is there a fork?").verdict == "unknown"
    assert ask(
        footage(look=Look(fitting="banana"), duration_s=10), "Is there a banana?"
    ).verdict != ("answered")


def test_whoever_asks_where_is_told_the_place_too() -> None:
    person = track("person", 0, 9, x=(0.1, 0.1))
    seen = footage(person, look=Look(fitting="kitchen"), duration_s=10)
    text = ask(seen, "Where is the woman?").text
    assert text.startswith("On the left of the picture")
    assert text.endswith("; in a kitchen, by its looks, from 0:04 to 0:07.")
    assert "kitchen" not in ask(seen, "Where in the picture is the woman?").text
