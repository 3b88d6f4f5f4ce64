"""Wordings of questions that strangers bring, and what is understood of them."""

import pytest

from engine.pipeline.question_kinds import QuestionKind, read_question

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
    ("Who comes in?", "what", ""),
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
    ],
)
def test_moment_of_a_question(question: str, at: str | float | None) -> None:
    assert read_question(question).at == at


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
        ("What happened last night?", ("22:00", "06:00")),
        ("Is there a dog between 5 and 9 seconds?", None),
        ("Is there a dog?", None),
    ],
)
def test_hours_of_a_question(question: str, between: tuple[str, str] | None) -> None:
    assert read_question(question).between == between


@pytest.mark.parametrize("question", ["", "?", "the", "how heavy is it"])
def test_what_no_rule_knows_is_other(question: str) -> None:
    assert read_question(question).kind == "other"
