"""Answers composed from observations: what rows ground, and what they do not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from engine.pipeline.compose.composer import compose
from engine.pipeline.compose.footage import Composed, NoSecondLook, WatchedFootage
from engine.pipeline.question_kinds import read_question
from engine.pipeline.question_times import FootagePart
from engine.records import Box, TimeSpan, VideoId
from tests.support.observations import footage, track, vocabulary, words

VISITS = ((7, 19), (23, 44), (51, 69), (75, 86), (93, 119), (124, 135))


def ask(seen: WatchedFootage, question: str) -> Composed:
    composed = compose(seen, read_question(question))
    assert composed is not None, question
    return composed


@pytest.fixture(scope="module")
def visitors() -> WatchedFootage:
    """Six people one after another, and a dog that crosses from left to right."""
    people = [
        track("person", *span, number=number, colours=("grey", "black") if number else ("red",))
        for number, span in enumerate(VISITS)
    ]
    dog = track(
        "dog", 60, 68, confidence=0.9, x=(0.2, 0.8), y=(0.8, 0.8), size=(0.2, 0.2), number=9
    )
    return footage(*people, dog)


class Look(NoSecondLook):
    """A classifier that sees one class in every crop."""

    def __init__(self, name: str, share: float) -> None:
        self._name, self._share = name, share

    def classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        return [self._share * (name == self._name) for name in vocabulary().class_names]

    def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
        # The upper half of the picture is blue, the lower white.
        if box is None:
            return ("blue", "white")
        return ("blue",) if (box.top + box.bottom) / 2 < 0.5 else ("white",)


def test_visits_are_counted_with_the_longest(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "How many different people visit the table?")
    assert composed.text == "6 visits, one at a time; the longest from 1:33 to 1:59."
    assert composed.verdict == "answered"
    assert [item.span.start_s for item in composed.evidence] == [start for start, _ in VISITS]
    assert all(item.observations for item in composed.evidence)


@pytest.mark.parametrize("question", ["Who came?", "who was there?", "Whos in the video"])
def test_who_came_is_told_of_people_alone(visitors: WatchedFootage, question: str) -> None:
    composed = ask(visitors, question)
    assert composed.text.startswith("A person in red (from 0:07 to 0:19), a person in grey and bla")
    assert "who that is, nothing here can tell" in composed.text
    assert "dog" not in composed.text
    assert [item.span.start_s for item in composed.evidence] == [start for start, _ in VISITS]


def test_who_is_told_of_one_of_several_and_of_an_empty_place(visitors: WatchedFootage) -> None:
    assert "0:07" in ask(visitors, "Who came first?").text
    last = ask(visitors, "Who left last?")
    assert "2:04" in last.text
    assert "0:07" not in last.text
    assert "0:07" in ask(visitors, "Who is the person in red?").text
    assert ask(visitors, "Who was dancing?").verdict == "unknown"
    assert compose(visitors, read_question("Who won?")) is None
    dog_alone = footage(track("dog", 1, 8, confidence=0.9), duration_s=10)
    nobody = ask(dog_alone, "Who came?")
    assert "dog" not in nobody.text
    assert not nobody.evidence


def test_one_of_several_is_told_by_its_number(visitors: WatchedFootage) -> None:
    third = ask(visitors, "When did the third person come in?")
    assert third.text.startswith("Number 3 of 6, at 0:51: a person comes into view")
    assert [item.span.start_s for item in third.evidence] == [51]
    assert "1:09" in ask(visitors, "When did the 3rd person leave?").text
    assert "about 21 seconds" in ask(visitors, "How long was the second visitor there?").text
    assert "a person in grey and black, from 0:23" in ask(visitors, "Who was the 2nd person?").text
    assert "0:51" in ask(visitors, "When did a person come the third time?").text
    beyond = ask(visitors, "When did the ninth person come in?")
    assert beyond.text == "A person was recognised 6 times only."
    assert beyond.verdict == "unsure"
    # Without a number in it nothing is counted.
    assert "Number" not in ask(visitors, "When did the person come in in the second half?").text


def test_place_at_an_end_is_that_of_the_end() -> None:
    seen = footage(track("dog", 2, 9, confidence=0.9, x=(0.1, 0.9)), duration_s=10)
    end = ask(seen, "Wheres the dog at the end?")
    assert "right of the picture" in end.text
    assert "0:02" not in end.text
    assert "middle of the picture" in ask(seen, "Where is the dog at 0:05?").text


def test_things_that_stand_are_counted_at_once() -> None:
    cups = [
        track("cup", 0, 9, confidence=0.9, x=(x, x), number=idx)
        for idx, x in enumerate((0.2, 0.5, 0.8))
    ]
    blinks = track("cup", 5, 9, confidence=0.9, x=(0.2, 0.2), number=4)
    seen = footage(
        replace(cups[0], span=TimeSpan(start_s=0.0, end_s=4.0)), *cups[1:], blinks,
        track("dining table", 0, 9, confidence=0.9, size=(0.9, 0.5)), duration_s=10,
    )  # fmt: skip
    assert ask(seen, "How many cups are there?").text.startswith("3 cups at once")


def test_number_at_an_end_counts_that_end_alone() -> None:
    seen = footage(
        track("person", 0, 20, x=(0.2, 0.2)),
        track("person", 12, 20, x=(0.8, 0.8), number=2),
        duration_s=20,
    )
    assert ask(seen, "How many people are there at the start?").text.startswith("1 person")
    assert ask(seen, "How many people are in view at the end?").text.startswith("2 people")


def two_videos(camera: str | None) -> WatchedFootage:
    """A dog at the end of an hour, and a cat at the end of the 20 s that were filmed behind it."""
    first, second = VideoId("first"), VideoId("second")
    hour = footage(
        track("dog", 3590, 3600, confidence=0.95, video=first), duration_s=3600, video=first
    )
    short = footage(
        track("cat", 10, 20, confidence=0.95, video=second), duration_s=20, video=second
    )
    at = datetime(2026, 3, 1, 21, 0)
    return replace(
        hour,
        watched=(
            replace(hour.watched[0], start_at=at, camera=camera),
            replace(short.watched[0], start_at=at + timedelta(hours=1), camera=camera),
        ),
        rows=(*hour.rows, *short.rows),
        reach=(*hour.reach, *short.reach),
    )


@pytest.mark.parametrize("words", ["at the end", "in the last 15 seconds"])
def test_each_of_several_videos_has_an_end_and_a_camera_has_one(words: str) -> None:
    apart, together = two_videos(None), two_videos("gate")
    for seen, is_seen in ((apart, True), (together, False)):
        text = ask(seen, f"Is there a dog {words}?").text
        assert text.startswith("Yes") == is_seen
        assert ask(seen, f"Is there a cat {words}?").text.startswith("Yes")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("When does the first person come into view?", "At 0:07: a person comes into view"),
        ("When does the last visitor leave?", "At 2:15: a person is last in view"),
        ("When is the dog in view?", "A dog is in view from 1:00 to 1:08."),
        ("How long is the dog in view?", "About 8 seconds: a dog"),
        ("How often does someone come?", "6 times: from 0:07 to 0:19"),
        ("Which visitor stays longest?", "The longest is number 5 of 6, from 1:33 to 1:59"),
        ("When is the room empty?", "From 0:00 to 0:07, from 0:19 to 0:23"),
        ("Is there a dog?", "Yes: a dog is in view from 1:00 to 1:08."),
        ("Which came first, the dog or the person?", "A person came first, at 0:07"),
        ("Does the dog come before the person?", "No: a person came first"),
        ("What animal is it?", "A dog (from 1:00 to 1:08)."),
        ("Where is the dog?", "At the bottom of the picture"),
        ("Which way does the dog go?", "From left to right"),
        ("From which side does the dog come?", "From the left"),
        ("How long is the video?", "2 minutes 20 seconds"),
        ("In which order do they appear?", "First a person (0:07), then a dog (1:00)"),
        ("What comes after the dog?", "The person, at"),
    ],
)
def test_rows_ground_an_answer(visitors: WatchedFootage, question: str, text: str) -> None:
    if question == "What comes after the dog?":
        visitors = footage(*(row for row in visitors.rows if row.span.start_s >= 60))
    composed = ask(visitors, question)
    assert composed.text.startswith(text)
    assert composed.verdict == "answered"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Is there a dog after 1:04?", "Yes: a dog is in view from 1:04 to 1:08."),
        ("How long is the dog in view before 1:04?", "About 4 seconds: a dog is in view from"),
        ("Is there a dog between 61 and 63 seconds?", "Yes: a dog is in view from 1:01 to 1:03."),
        ("Is there a dog in the last 10 seconds?", "No: no dog was recognised in 10 seconds"),
        ("Is there a dog at 1:00:00?", "Nothing is known of that time; what was asked about"),
    ],
)
def test_times_of_an_answer_lie_in_the_asked_part(
    visitors: WatchedFootage, question: str, text: str
) -> None:
    composed = ask(visitors, question)
    assert composed.text.startswith(text)
    part = read_question(question).at
    if isinstance(part, FootagePart) and part.unit == "s":
        assert all(part.start <= item.span.start_s < part.end for item in composed.evidence)
        assert all(item.span.end_s <= part.end for item in composed.evidence)


@pytest.mark.parametrize("question", ["Isn't there a dog?", "There's no dog, right?"])
def test_denial_gets_no_yes_that_may_mean_either(visitors: WatchedFootage, question: str) -> None:
    assert ask(visitors, question).text == "A dog is in view from 1:00 to 1:08."


@pytest.mark.parametrize("question", ["dog", "a dog", "any dogs?"])
def test_name_of_a_thing_asks_whether_it_is_there(visitors: WatchedFootage, question: str) -> None:
    assert ask(visitors, question).text.startswith("Yes: a dog is in view")


@pytest.mark.parametrize(
    "question",
    ["How many dogs aren't brown?", "Is there nothing on the table?", "Does the dog come back?"],
)
def test_what_is_not_so_is_not_answered_as_what_is(visitors: WatchedFootage, question: str) -> None:
    assert ask(visitors, question).verdict == "unknown"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Is the door locked?", "Nothing here can tell \u201cis the door locked\u201d."),
        ("Is there smoke?", "Nothing here can recognise smoke."),
        ("Is there a bycicle?", "Nothing here can recognise a bycicle; was a bicycle meant?"),
    ],
)
def test_unknown_things_are_named_in_english(
    visitors: WatchedFootage, question: str, text: str
) -> None:
    assert ask(visitors, question).text == text


def test_other_is_said_of_a_kind_that_is_not_told_apart(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Is there a policeman?")
    assert composed.verdict == "unsure"
    assert "nothing here can tell whether it is a policeman" in composed.text


def test_no_is_said_of_what_the_detector_finds_well(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Is there a car?")
    assert composed.verdict == "answered"
    assert composed.text == "No: no car was recognised in 2 minutes 20 seconds of video."


def test_no_is_not_said_of_what_is_taken_for_another(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Is there a cat?")
    assert composed.verdict == "unknown"


def test_no_is_not_said_to_whoever_takes_a_thing_for_granted(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "When is the car in view?")
    assert composed.verdict == "unknown"
    assert "does not rule it out" in composed.text


def test_no_is_not_said_of_what_is_easily_overlooked(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Is there a fork?")
    assert composed.verdict == "unknown"
    assert "does not rule it out" in composed.text


def test_no_is_not_said_where_nobody_has_looked_to_the_end(visitors: WatchedFootage) -> None:
    half = replace(visitors.reach[0], span=TimeSpan(start_s=0.0, end_s=70.0))
    composed = ask(replace(visitors, reach=(half,)), "Is there a car?")
    assert composed.verdict == "unknown"
    assert composed.text == (
        "So far a car was not recognised: not all of 2 minutes 20 seconds of video has been "
        "looked over for objects."
    )


def test_no_is_not_said_where_something_moved_that_nobody_named(visitors: WatchedFootage) -> None:
    blob = track("movement", 80, 84, x=(0.1, 0.3), size=(0.1, 0.1), kind="motion")
    composed = ask(replace(visitors, rows=(*visitors.rows, blob)), "Is there a car?")
    assert composed.verdict == "unknown"
    assert "something moved from 1:20 to 1:24" in composed.text
    # A person explains the motion in their own place.
    on_person = track("movement", 80, 84, size=(0.2, 0.4), kind="motion")
    explained = ask(replace(visitors, rows=(*visitors.rows, on_person)), "Is there a car?")
    assert explained.verdict == "answered"


def test_what_nothing_knows_is_not_denied(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Is there a unicorn?")
    assert composed == Composed(text="Nothing here can recognise a unicorn.", verdict="unknown")


def test_doings_are_not_claimed_of_whoever_is_there(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "Does anybody sit down?")
    assert composed.verdict == "unknown"
    assert "sit down" in composed.text


def test_lone_detection_of_a_held_thing_is_not_a_yes() -> None:
    phone = track("cell phone", 5, 12, confidence=1.0, x=(0.1, 0.9))
    street = footage(phone, duration_s=30)
    assert ask(street, "Is there a mobile phone?").verdict == "unsure"
    held = footage(phone, track("person", 4, 12), duration_s=30)
    assert ask(held, "Is there a mobile phone?").verdict == "answered"


def test_flicker_of_one_frame_is_not_a_yes() -> None:
    seen = footage(track("dog", 5, 5, confidence=0.7), duration_s=30)
    composed = ask(seen, "Is there a dog?")
    assert composed.verdict == "unsure"
    assert composed.text == "Perhaps a dog at 0:05; that is not confirmed."


def test_classifier_bears_out_or_speaks_against_a_detection() -> None:
    dog = track("dog", 5, 8, confidence=0.65)
    assert ask(footage(dog, look=Look("beagle", 0.6)), "Is there a dog?").verdict == "answered"
    assert ask(footage(dog, look=Look("lakeside", 0.9)), "Is there a dog?").verdict == "unsure"


def test_colours_of_things_and_of_what_is_worn(visitors: WatchedFootage) -> None:
    car = track("car", 3, 9, confidence=0.9, colours=("red", "black"))
    seen = footage(car, track("person", 0, 9, size=(0.2, 0.9)), look=Look("jeep", 0.9))
    assert ask(seen, "What colour is the car?").text.startswith("Red:")
    assert ask(seen, "Is there a red car?").text.startswith("Yes: a red car")
    assert ask(seen, "Is the car green?").text.startswith("No: no green car")
    # Brown and red are not far apart in the evening sun.
    assert ask(seen, "Is the car brown?").verdict == "unsure"
    assert ask(seen, "What colour is the shirt?").text.startswith("Blue")
    assert ask(seen, "What colour are the man's trousers?").text.startswith("White")


def test_asked_colours_choose_among_people(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "When is the person in the red jacket in view?")
    assert composed.text == "A person in red is in view from 0:07 to 0:19."


def test_speech_is_quoted_where_it_comes_near_the_question() -> None:
    rows = (
        words("speech", 1, 4, "I have here a pendulum."),
        words("speech", 10, 13, "The object weighs fifteen kilograms."),
        words("speech", 20, 24, "Three, two, one, zero."),
    )
    seen = footage(*rows, duration_s=30)
    assert "fifteen kilograms" in ask(seen, "What is said about the weight of the object?").text
    assert ask(seen, "Is anybody speaking?").text.startswith("Yes: speech from 0:01")
    assert "pendulum" in ask(seen, "What does he say?").text
    # A question for a number is answered by a sentence that has one.
    assert "fifteen" in ask(seen, "How heavy is the object?").text
    assert compose(seen, read_question("What is said about elephants?")) is None
    silent = footage(duration_s=30)
    assert ask(silent, "Is anybody speaking?").text.startswith("No: no speech was recognised")


def test_print_is_chosen_by_place_kind_and_moment() -> None:
    seen = footage(
        words("text", 0, 30, "CAMERA 4", box=(0.05, 0.02, 0.3, 0.1)),
        words("text", 0, 9, "12:04:10", box=(0.7, 0.9, 0.95, 0.97)),
        words("text", 10, 30, "12:04:20", box=(0.7, 0.9, 0.95, 0.97)),
        words("text", 20, 30, "PETESTRIAN ALARM", box=(0.05, 0.5, 0.4, 0.6)),
        words("text", 3, 4, "xx", confidence=0.3),
        duration_s=30,
    )
    assert "“12:04:20”" in ask(seen, "What does the clock read at 0:15?").text
    assert "“CAMERA 4”" in ask(seen, "What is written at the top?").text
    misread = ask(seen, "When does the text PEDESTRIAN ALARM come up?")
    assert misread.text.endswith("is read from 0:20 to 0:30.")
    assert "xx" not in ask(seen, "What is written?").text


def test_summary_tells_every_kind_of_row(visitors: WatchedFootage) -> None:
    rows = (*visitors.rows, words("speech", 30, 33, "Good evening."), words("text", 1, 9, "EXIT"))
    composed = ask(footage(*rows), "What happens?")
    for told in ("6 visits of people", "a dog from 1:00", "“EXIT”", "“Good evening.”"):
        assert told in composed.text


def test_name_of_the_video_stands_where_there_are_several(visitors: WatchedFootage) -> None:
    other = VideoId("yard")
    more = footage(track("cat", 3, 9, confidence=0.9, video=other), video=other)
    both = replace(
        visitors,
        watched=(*visitors.watched, *more.watched),
        rows=(*visitors.rows, *more.rows),
        reach=(*visitors.reach, *more.reach),
    )
    assert ask(both, "Is there a cat?").text == (
        "Yes: a cat is in view from 0:03 to 0:09 in yard.mp4."
    )


def test_class_names_an_animal_that_no_detector_knows() -> None:
    named = ask(footage(look=Look("tree frog", 0.7), duration_s=10), "What animal is it?")
    assert named.verdict == "answered"
    assert named.text.startswith("A tree frog, by its looks")
    hinted = ask(footage(look=Look("tree frog", 0.25), duration_s=10), "What animal is it?")
    assert hinted.verdict == "unsure"


def test_number_in_a_question_of_time_is_counted() -> None:
    cups = [
        track("cup", *span, confidence=0.9, x=(x, x), number=idx)
        for idx, (span, x) in enumerate((((0, 20), 0.2), ((0, 8), 0.8), ((15, 20), 0.8)))
    ]
    table = track("dining table", 0, 20, confidence=0.9, size=(0.9, 0.5), number=9)
    composed = ask(footage(*cups, table, duration_s=20), "When is only one cup left?")
    assert composed.text == "1 cup in view from 0:08 to 0:15."


def test_side_of_a_thing_chooses_it() -> None:
    seen = footage(
        track("person", 0, 9, x=(0.2, 0.2), colours=("red",)),
        track("person", 0, 9, x=(0.8, 0.8), colours=("blue",), number=2),
        duration_s=10,
    )
    assert ask(seen, "What colour is the left person?").text.startswith("Red")


def test_one_of_many_people_is_not_said_to_be_the_man(visitors: WatchedFootage) -> None:
    composed = ask(visitors, "When is the man in view?")
    assert composed.verdict == "unsure"
    assert len(composed.evidence) == 6


def test_asker_who_takes_a_thing_for_granted_is_a_witness() -> None:
    car = track("car", 3, 5, confidence=0.55, x=(0.8, 0.2), colours=("blue",))
    seen = footage(car, duration_s=10)
    assert ask(seen, "Is there a car?").verdict == "unsure"
    assert ask(seen, "What colour is the car?").text.startswith("Blue")
    assert ask(seen, "Which way does the car go?").text.startswith("From right to left")


def test_class_tells_the_kind_of_a_detected_animal() -> None:
    bird = track("bird", 0, 9, confidence=0.95)
    seen = footage(bird, look=Look("bald eagle", 0.8), duration_s=10)
    assert ask(seen, "What animal is it?").text == (
        "A bird (from 0:00 to 0:09), by its looks a bald eagle."
    )


def test_held_things_touch_whoever_holds_them() -> None:
    seen = footage(
        track("person", 0, 9, size=(0.3, 0.8)),
        track("umbrella", 0, 9, confidence=0.9, y=(0.3, 0.3), size=(0.3, 0.2), number=2),
        track("bicycle", 0, 9, confidence=0.9, x=(0.9, 0.9), size=(0.1, 0.1), number=3),
        duration_s=10,
    )
    assert ask(seen, "What does the man hold?").text == "An umbrella (from 0:00 to 0:09)."
