"""Wordings of questions that strangers bring, and what is understood of them."""

import pytest

from engine.pipeline.question_kinds import QuestionKind, read_question
from engine.pipeline.question_times import Edge, FootagePart

WORDINGS: list[tuple[str, QuestionKind, str]] = [
    # whether
    ("Is there a dog?", "is_there", "a dog"),
    ("Are there any people in the video?", "is_there", "any people"),
    ("Is there anyone in the room?", "is_there", "anyone"),
    ("Did anybody come in?", "is_there", "anybody"),
    ("Was a bicycle seen?", "is_there", "a bicycle"),
    ("Do you see a cat?", "is_there", "a cat"),
    ("Can you see a red car in the clip?", "is_there", "a red car"),
    ("Does a person walk through?", "is_there", "a person"),
    ("Does a truck appear?", "is_there", "a truck"),
    ("Has the postman been here?", "is_there", "the postman been here"),
    ("Is the car red?", "is_there", "the car red"),
    ("is someone at the door", "is_there", "someone at the door"),
    ("Please tell me, is there a boat?", "is_there", "a boat"),
    # how many
    ("How many cars pass?", "how_many", "cars"),
    ("How many people are in the room?", "how_many", "people"),
    ("how many dogs can you see", "how_many", "dogs"),
    ("Count the bottles.", "how_many", "the bottles"),
    ("What is the number of chairs?", "how_many", "chairs"),
    ("How many visitors come in total?", "how_many", "visitors come in total"),
    ("At most how many people are there at once?", "how_many", "people are there at once"),
    ("How many cups stand on the table at the start?", "how_many", "cups stand on the table"),
    # how often
    ("How often does the door open?", "how_often", "the door open"),
    ("How many times does the dog bark?", "how_often", "the dog bark"),
    ("How often did someone come?", "how_often", "someone"),
    ("How many times is a car seen?", "how_often", "a car"),
    # when
    ("When does the dog appear?", "when", "the dog"),
    ("When is the red car in view?", "when", "the red car"),
    ("At what time does the bus arrive?", "when", "the bus"),
    ("What time does the courier come?", "when", "the courier"),
    ("At which second does the ball appear?", "when", "the ball"),
    ("When was the cat last seen?", "when", "the cat"),
    ("When did the man leave?", "when", "the man"),
    ("When is nobody in the room?", "when", "people"),
    ("When is the road empty?", "when", "vehicles"),
    ("When is the dog out of the picture?", "when", "the dog"),
    ("Find the moment when the train comes", "when", "the train"),
    ("when's the truck there", "when", "the truck"),
    ("When does the first visitor arrive?", "when", "the visitor"),
    # how long
    ("How long is the dog in view?", "how_long", "the dog"),
    ("How long does the visitor stay?", "how_long", "the visitor"),
    ("For how long is the car visible?", "how_long", "the car"),
    ("How many seconds is the sign shown?", "how_long", "the sign"),
    ("How long is the video?", "how_long", "the video"),
    ("What is the duration of the clip?", "how_long", "the clip"),
    # longest
    ("Which visitor stays longest?", "which_longest", "visitor"),
    ("Who stays the longest?", "which_longest", ""),
    ("Which visit is the shortest?", "which_longest", ""),
    ("When is the longest visit?", "which_longest", ""),
    # order
    ("Which came first, the dog or the red car?", "which_first", "the dog"),
    ("What was seen first: the bus or the tram?", "which_first", "the bus"),
    ("Did the dog come before the cat?", "which_first", "the dog"),
    ("Does the train appear after the bus?", "which_first", "the train"),
    ("Who came last, the man or the woman?", "which_first", "the man"),
    ("What comes after the white car?", "what_next", "the white car"),
    ("What happens before the dog appears?", "what_next", "the dog"),
    ("Who passes after the cyclist?", "what_next", "the cyclist"),
    ("In which order do the animals appear?", "order", "the animals"),
    ("What is the order of the vehicles?", "order", "the vehicles"),
    # where
    ("Where is the dog?", "where", "the dog"),
    ("Where does the man stand?", "where", "the man stand"),
    ("In which corner is the clock?", "where", "the clock"),
    ("where is the sofa in the picture", "where", "the sofa"),
    # direction
    ("Which way does the car go?", "direction", "the car"),
    ("In which direction does the train move?", "direction", "the train"),
    ("From which side does the man come?", "direction", "the man"),
    ("Where is the bus going?", "direction", "the bus"),
    ("Does the dog run to the left or to the right?", "direction", "the dog"),
    ("Do the cars come toward the camera or go away?", "direction", "the cars"),
    # colour
    ("What colour is the car?", "colour", "the car"),
    ("What color are the chairs?", "colour", "the chairs"),
    ("Which colour does the ball have?", "colour", "the ball"),
    ("What is the colour of the man's shirt?", "colour", "the man's shirt"),
    ("In what colour is the door painted?", "colour", "the door painted"),
    ("what's the color of the van?", "colour", "the van"),
    # speech
    ("What does he say?", "said", ""),
    ("What is said about the weather?", "said", "the weather"),
    ("Who is speaking?", "said", ""),
    ("Is anybody talking?", "said", ""),
    ("What do they talk about?", "said", ""),
    ("When does he mention the moon?", "said", "the moon"),
    ("What did the speaker say about energy?", "said", "energy"),
    ("Is there any speech?", "said", ""),
    ("What can you hear?", "said", ""),
    # print
    ("What does the sign say?", "read", "the sign"),
    ("What does the screen show?", "read", "the screen"),
    ("What is written on the wall?", "read", "the wall"),
    ("Which number is on the jersey?", "read", "number"),
    ("What is the title?", "read", "the title"),
    ("What is the licence plate of the car?", "read", "the licence plate"),
    ("What time does the clock show?", "read", "the clock"),
    ("Read the text on the banner", "read", "the text on the banner"),
    ("Is there any text?", "read", "text"),
    ("What does the label on the bottle read?", "read", "the label on the bottle"),
    ("Which word is on the box?", "read", "word"),
    # what
    ("What animal is it?", "what", "animal is it"),
    ("Which vehicle passes?", "what", "vehicle"),
    ("What is on the table?", "what", "the table"),
    ("What does the man hold?", "what", "the man hold"),
    ("What kind of fruit is it?", "what", "kind of fruit is it"),
    ("Who comes in?", "who", "people"),
    ("With what does the boy play?", "what", "the boy play"),
    # doing
    ("What is the woman doing?", "doing", "the woman"),
    ("What do the people do?", "doing", "the people"),
    ("What happens to the bird?", "doing", "the bird"),
    ("Why is he running?", "doing", "he running"),
    # the whole
    ("Summarise the video.", "summary", "the video"),
    ("What happens?", "summary", ""),
    ("What is going on here?", "summary", "here"),
    ("What is the video about?", "summary", ""),
    ("Give me a short summary", "summary", ""),
    ("What happened between 22:00 and 6:00?", "summary", ""),
    ("Did anything happen?", "summary", ""),
    ("What did I miss?", "summary", ""),
    ("Describe the scene.", "describe", "the scene"),
    ("Describe the man", "describe", "the man"),
    ("What can you see?", "describe", ""),
    ("What can be seen in the video?", "describe", ""),
    ("What is in the picture?", "describe", ""),
    ("What objects are on the desk?", "describe", "the desk"),
    ("Which video has a dog?", "is_there", "a dog"),
    ("In which clip is the dog?", "is_there", "the dog"),
    ("which clip shows coffee", "is_there", "coffee"),
    # as people type
    ("wheres the dog", "where", "the dog"),
    ("how many ppl r there", "how_many", "people"),
    ("is ther a dog", "is_there", "a dog"),
    ("whats on the table pls", "what", "the table"),
    ("theres a dog", "is_there", "a dog"),
    # nothing known
    ("red bicycle", "other", "red bicycle"),
]


@pytest.mark.parametrize(("question", "kind", "subject"), WORDINGS)
def test_kind_and_subject_of_a_question(question: str, kind: str, subject: str) -> None:
    form = read_question(question)
    assert (form.kind, form.subject) == (kind, subject)


@pytest.mark.parametrize(
    ("question", "at"),
    [
        ("How many people are there at the end?", "end"),
        ("What colour is the ball at the start?", "start"),
        ("Who is there at the beginning of the clip?", "start"),
        ("What is shown on the last frame?", "end"),
        ("How many cars are there at 0:30?", 30.0),
        ("What colour is the car that passes at about 7 s?", 7.0),
        ("Is there a dog at 1:02:03?", 3723.0),
        ("What does the clock read 3.6 s into the clip?", 3.6),
        ("Is there a dog?", None),
        ("Is there a dog between 5 and 9 seconds?", FootagePart(start=5.0, end=9.0)),
        ("What happens from 0:10 to 0:20?", FootagePart(start=10.0, end=20.0)),
        ("What happens between 1 and 2 minutes?", FootagePart(start=60.0, end=120.0)),
        ("What happens after 0:05?", FootagePart(start=5.0)),
        ("Is there a dog before 10 seconds?", FootagePart(end=10.0)),
        ("In the last 3 seconds is there a dog?", FootagePart(end=3.0, unit="s_before_end")),
        ("Who comes in the first two minutes?", FootagePart(end=120.0)),
        ("Is there a car in the second half?", FootagePart(start=0.5, end=1.0, unit="share")),
        ("What happens in the middle of the video?", FootagePart(start=0.4, end=0.6, unit="share")),
        ("Is there a cup in the middle of the table?", None),
        ("Does the man wait for 5 seconds?", None),
        ("When does the text 12:04:10 appear?", None),
    ],
)
def test_time_of_a_question(question: str, at: Edge | FootagePart | float | None) -> None:
    form = read_question(question)
    assert form.at == at
    assert at is None or not any(letter.isdigit() for letter in form.text), "no time is left in it"


@pytest.mark.parametrize(
    ("question", "subject", "is_negated"),
    [
        ("Isn't there a dog?", "a dog", True),
        ("dont you see a dog", "a dog", True),
        ("Is there no dog?", "dog", True),
        ("There's no dog, right?", "dog", True),
        ("The dog isn't there, is it?", "the dog", True),
        ("There is a dog, isn't there?", "a dog", False),
        ("Is nobody in the room?", "any people", True),
        ("Is the street empty?", "any vehicles", True),
        ("Is the room empty at the end?", "any people", True),
        ("There's no dog at the end, right?", "dog", True),
    ],
)
def test_denial_is_known_and_left_out(question: str, subject: str, is_negated: bool) -> None:
    form = read_question(question)
    assert (form.kind, form.subject, form.is_negated) == ("is_there", subject, is_negated)


@pytest.mark.parametrize(
    ("question", "edge", "extreme", "is_absence"),
    [
        ("When does the first person come into view?", "start", "first", False),
        ("When does the last visitor leave?", "end", "last", False),
        ("When is the dog out of the picture?", None, None, True),
        ("When is the table deserted?", None, None, True),
        ("When is the dog in view?", None, None, False),
        ("When did the car disappear?", "end", None, False),
    ],
)
def test_coming_going_and_being_away(
    question: str, edge: str | None, extreme: str | None, is_absence: bool
) -> None:
    form = read_question(question)
    assert (form.edge, form.extreme, form.is_absence) == (edge, extreme, is_absence)


@pytest.mark.parametrize(
    ("question", "is_at_once"),
    [
        ("How many people are in the room?", True),
        ("How many cups are there?", True),
        ("How many people at once?", True),
        ("How many people visit the table?", False),
        ("How many cars pass?", False),
    ],
)
def test_wording_decides_whether_things_are_counted_at_once(
    question: str, is_at_once: bool
) -> None:
    assert read_question(question).is_at_once is is_at_once


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("When does the text PEDESTRIAN ALARM come up?", "PEDESTRIAN ALARM"),
        ('Where is "open all night" written?', "open all night"),
        ("When do they say “good morning”?", "good morning"),
        ("IS THERE A DOG", ""),
        ("Is the TV on?", ""),
    ],
)
def test_words_to_look_up_are_quoted_or_in_capitals(question: str, quoted: str) -> None:
    assert read_question(question).quoted == quoted


@pytest.mark.parametrize(
    ("question", "between"),
    [
        ("What happened between 22:00 and 6:00?", ("22:00", "06:00")),
        ("Did anyone come between 10 pm and 6:30 am?", ("22:00", "06:30")),
        ("How many cars passed from 8 to 9 o'clock?", ("08:00", "09:00")),
        ("What happened overnight?", ("22:00", "06:00")),
        ("How many people came from 5 to 7 pm?", ("17:00", "19:00")),
        ("What happens around noon?", ("11:30", "12:30")),
        ("Is there a person after 10pm?", ("22:00", "00:00")),
        ("Who came in the morning?", ("06:00", "12:00")),
        ("What happened at 16:58?", ("16:58", "16:59")),
        ("What happened around 17:00?", ("16:30", "17:30")),
        ("What happens at 99:00?", None),
        ("Is there a dog between 5 and 9 seconds?", None),
        ("Is there a dog?", None),
    ],
)
def test_hours_of_a_question(question: str, between: tuple[str, str] | None) -> None:
    assert read_question(question).between == between


@pytest.mark.parametrize(
    ("question", "day"),
    [
        ("What happened yesterday?", "yesterday"),
        ("Who came on Monday at 10 pm?", "on monday"),
        ("Was there a dog on 2026-03-01?", "on 2026-03-01"),
        ("Did anyone come this morning?", "this morning"),
        ("How many people may come?", ""),
        ("What happened last night?", "last night"),
    ],
)
def test_day_of_a_question_is_told_and_left_out(question: str, day: str) -> None:
    form = read_question(question)
    assert form.day == day
    assert not day or day not in form.text


@pytest.mark.parametrize("question", ["", "?", "the", "how heavy is it"])
def test_what_no_rule_knows_is_other(question: str) -> None:
    assert read_question(question).kind == "other"
