"""Words for things, and the labels that they mean."""

import pytest

from engine.sight.thing_words import NamedThing, Vocabulary, singular, split_phrase, verb_stem
from engine.sight.word_groups import KINDS
from engine.sight.word_synonyms import NARROWER, SAME
from tests.support.observations import COCO, vocabulary


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return vocabulary()


def names(words: Vocabulary, thing: NamedThing) -> set[str]:
    return {words.class_names[idx] for idx in thing.classes}


@pytest.mark.parametrize(
    ("phrase", "labels"),
    [
        ("dogs", {"dog"}),
        ("the lorry", {"truck"}),
        ("lorries", {"truck"}),
        ("any people", {"person"}),
        ("someone", {"person"}),
        ("visitors", {"person"}),
        ("a bike", {"bicycle"}),
        ("aeroplanes", {"airplane"}),
        ("a sofa", {"couch"}),
        ("mobile phone", {"cell phone"}),
        ("wine glasses", {"wine glass"}),
        ("traffic lights", {"traffic light"}),
        ("fruit", {"apple", "banana", "orange"}),
        ("a cup of coffee", {"cup"}),
        ("bottles of water", {"bottle"}),
        ("a group of people", {"person"}),
        ("the person with the umbrella", {"person"}),
        ("big black dog", {"dog"}),
        ("an orange", {"orange"}),
    ],
)
def test_words_mean_labels_outright(words: Vocabulary, phrase: str, labels: set[str]) -> None:
    thing = words.thing(phrase)
    assert thing.labels == labels
    assert not thing.is_broader


@pytest.mark.parametrize(
    ("phrase", "label"),
    [
        ("the policeman", "person"),
        ("a woman", "person"),
        ("kitten", "cat"),
        ("a police car", "car"),
        ("golden retriever", "dog"),
        ("white van", "truck"),
    ],
)
def test_kinds_of_a_label_are_less_than_it_says(words: Vocabulary, phrase: str, label: str) -> None:
    thing = words.thing(phrase)
    assert label in thing.labels
    assert thing.is_broader


def test_what_stands_before_a_known_noun_is_said_to_be_unchecked(words: Vocabulary) -> None:
    thing = words.thing("a toy frog")
    assert names(words, thing) == {"bullfrog", "tree frog", "tailed frog"}
    assert thing.has_broader_classes
    assert thing.unchecked == ("toy",)


def test_colour_before_a_thing_is_its_colour(words: Vocabulary) -> None:
    assert words.thing("the orange car").colours == ("orange",)
    assert words.thing("the orange car").labels == {"car"}
    assert words.thing("an orange").colours == ()
    assert words.thing("a light-blue hatchback").colours == ("blue",)
    assert words.thing("a silver van").colours == ("grey",)


def test_classes_alone_stand_for_what_no_detector_knows(words: Vocabulary) -> None:
    assert words.thing("guitar").labels == frozenset()
    assert names(words, words.thing("guitars")) == {"acoustic guitar", "electric guitar"}
    assert names(words, words.thing("washing machine")) == {"washer"}


@pytest.mark.parametrize("phrase", ["a unicorn", "keys", "the table's edge", "tree", ""])
def test_things_without_a_label_are_unknown(words: Vocabulary, phrase: str) -> None:
    assert not words.thing(phrase).is_known


@pytest.mark.parametrize(
    ("label", "name"),
    [("dog", "beagle"), ("car", "sports car"), ("bird", "kite"), ("tv", "monitor")],
)
def test_classes_bear_out_a_label(words: Vocabulary, label: str, name: str) -> None:
    assert name in {words.class_names[idx] for idx in words.classes_of(label)}


def test_toy_kite_is_not_borne_out_by_the_bird(words: Vocabulary) -> None:
    assert words.classes_of("kite") == frozenset()
    assert words.classes_of("person") >= frozenset((981,))


def test_tables_name_only_labels_and_classes_that_exist() -> None:
    for labels, ranges in KINDS.values():
        assert set(labels) <= COCO
        for part in ranges:
            first, last = (part, part) if isinstance(part, int) else part
            assert 0 <= first <= last < 1000
    for word in (*SAME.values(), *NARROWER.values()):
        assert word in KINDS or word in COCO, word


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("cars", "car"),
        ("people", "people"),
        ("women", "woman"),
        ("buses", "bus"),
        ("boxes", "box"),
        ("puppies", "puppy"),
        ("glasses", "glasses"),
        ("wine glasses", "wine glass"),
        ("bus", "bus"),
        ("tennis", "tennis"),
        ("knives", "knife"),
    ],
)
def test_plurals_are_reduced(plural: str, expected: str) -> None:
    assert singular(plural) == expected


@pytest.mark.parametrize(
    ("text", "phrase", "rest"),
    [
        ("the man in the grey shirt", "the man", "in the grey shirt"),
        ("anybody sit down", "anybody", "sit down"),
        ("the worker cross the line", "the worker", "cross the line"),
        ("bottle caps", "bottle caps", ""),
        ("left pig wear", "left pig", "wear"),
        ("the swing", "the swing", ""),
        ("two dogs playing", "two dogs", "playing"),
        ("dining table", "dining table", ""),
    ],
)
def test_noun_phrase_ends_before_a_doing_or_a_place(text: str, phrase: str, rest: str) -> None:
    assert split_phrase(text) == (phrase, rest)


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("sitting", "sit"),
        ("sat", "sit"),
        ("waves", "wave"),
        ("stopped", "stop"),
        ("carries", ""),
        ("building", ""),
        ("cars", ""),
    ],
)
def test_common_doings_are_known_in_their_forms(word: str, stem: str) -> None:
    assert verb_stem(word) == stem
