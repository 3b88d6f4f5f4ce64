"""Visual clues from captions of clips: sights that a video shows once, in words nothing else fits.

A question about order has one right answer only if each clue has one place. So sentences that
come back later in the video are left out of all clues; one that goes on through neighbouring
clips is one sighting and counts for the first of them.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from engine.records import TimeSpan
from engine.training.data.clips import CLIP_S, ClipCaption, sentences

ALIKE = 0.85
"""Share of the shorter text's words that the longer one holds too, from which both may mean the
same. Two of nano's captions that differ in one word lie at 0.80 and below."""

ALIKE_NEARBY = 0.7
"""The same share between sentences of one clip or of neighbouring ones. What differs so little
there is likely one thing described twice: nano takes a person whom the end of a clip cuts off to
walk the other way. In six drawn stories of ten minutes, 160 clues held 5 wrong sentences with it;
180 clues held 14 without."""

FEWEST_WORDS = 2
"""Words beside the small ones: "A dog." fits too much."""

MOST_WORDS = 60
"""Of a clue: whole sentences, as many as fit, one at least. A question holds four clues."""

_CJK = r"\u3040-\u30ff\u4e00-\u9fff"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+(?:'\w+)?")
"""Chinese and Japanese letters count as words of their own."""

_SMALL = """
    a an the this that these those there here it its he she they them his her their i we you
    is are was were be been being has have had do does did can will and or but as with without of
    in on at by to from for into over under near through while then also some no not video clip
    scene image frame frames shows show shown seen see appears appear visible
"""
_SMALL_WORDS = frozenset(_SMALL.split())

_REFUSAL = re.compile(
    r"""^\W*(?:
        (?:i'm\ |i\ am\ |we\ are\ )?(?:sorry|unable|not\ (?:sure|able)) |
        (?:i|we|one)\ (?:really\ )?(?:can't|cannot|can\ not|couldn't|could\ not|don't|do\ not) |
        as\ an?\ (?:ai|language|vision)\b |
        (?:there\ is\ |there's\ )?(?:nothing|no\ (?:information|description|caption))\b |
        (?:it\ is\ |it's\ )?(?:unclear|unknown|impossible\ to)\b |
        not\ found\b | n/a\b | none\b | unknown\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """A sight that a video shows once, and where."""

    text: str
    span: TimeSpan
    """From the start of the clip that shows it first; other clues of the video start elsewhere."""


def find_clues(captions: Sequence[ClipCaption]) -> tuple[Clue, ...]:
    """Find the clues of a video, in time order.

    Args:
        captions: Of one video, in time order.
    Returns:
        At most one a clip. Left out: empty captions, refusals such as "I can't tell.", sentences
        about clips far from each other, and clues that are nearly the same in words.
    """
    occurrences: dict[frozenset[str], list[tuple[int, str]]] = defaultdict(list)
    for number, caption in enumerate(captions):
        for text in sentences(caption.text):
            words = content(text)
            if len(words) >= FEWEST_WORDS and not _REFUSAL.match(text):
                occurrences[words].append((number, text))
    by_clip: dict[int, list[frozenset[str]]] = defaultdict(list)
    for words, sentences_with in occurrences.items():
        for number in {number for number, _ in sentences_with}:
            by_clip[number].append(words)
    kept: dict[int, list[str]] = defaultdict(list)
    lasts: dict[int, int] = {}
    # In the order of their first occurrence, which a dictionary keeps.
    rank = {words: n for n, words in enumerate(occurrences)}
    for words, twins in _twins(list(occurrences)).items():
        if any(rank[twin] < rank[words] for twin in twins):
            continue
        clips = sorted({number for same in (words, *twins) for number, _ in occurrences[same]})
        number, text = occurrences[words][0]
        if not _is_one_sighting(captions, clips) or _is_ambiguous(words, twins, clips, by_clip):
            continue
        if _fits(kept[number], text):
            kept[number].append(text)
            lasts[number] = max(lasts.get(number, number), clips[-1])
    clues = [
        Clue(
            text=" ".join(texts),
            span=captions[number].span.hull(captions[lasts[number]].span),
        )
        for number, texts in sorted(kept.items())
        if texts
    ]
    twins_of = _twins([content(clue.text) for clue in clues])
    alone = Counter(content(clue.text) for clue in clues)
    return tuple(
        clue
        for clue in clues
        if alone[content(clue.text)] == 1 and not twins_of[content(clue.text)]
    )


def content(text: str) -> frozenset[str]:
    """Return the words of a text that carry meaning, in lower case."""
    return frozenset(word for word in _WORD.findall(text.lower()) if word not in _SMALL_WORDS)


def _is_one_sighting(captions: Sequence[ClipCaption], clips: Sequence[int]) -> bool:
    """Say whether clips follow one another: none between them, and no more time than a clip's."""
    return all(
        after - before == 1 and captions[after].span.start_s - captions[before].span.end_s <= CLIP_S
        for before, after in pairwise(clips)
    )


def _is_ambiguous(
    words: frozenset[str],
    twins: Set[frozenset[str]],
    clips: Sequence[int],
    by_clip: Mapping[int, Sequence[frozenset[str]]],
) -> bool:
    """Say whether a very similar sentence stands in the same clips, or right before or after."""
    return any(
        len(words & other) >= ALIKE_NEARBY * min(len(words), len(other))
        for number in range(clips[0] - 1, clips[-1] + 2)
        for other in by_clip.get(number, ())
        if other != words and other not in twins
    )


def _fits(before: Sequence[str], text: str) -> bool:
    n_words = sum(len(sentence.split()) for sentence in (*before, text))
    return not before or n_words <= MOST_WORDS


def _twins(texts: Iterable[frozenset[str]]) -> dict[frozenset[str], set[frozenset[str]]]:
    """Return for each text, as its words, the others that are nearly the same or nearly hold it.

    Cost: of two such texts the smaller shares one of its rarest words with the larger, so that
    only texts with that word are compared.
    """
    twins_of: dict[frozenset[str], set[frozenset[str]]] = {words: set() for words in texts}
    counts = Counter(word for words in twins_of for word in words)
    holders: dict[str, list[frozenset[str]]] = defaultdict(list)
    for words in twins_of:
        for word in words:
            holders[word].append(words)
    for words, twins in twins_of.items():
        n_needed = math.ceil(ALIKE * len(words))
        rarest = sorted(words, key=lambda word: (counts[word], word))
        for word in rarest[: len(words) - n_needed + 1]:
            for other in holders[word]:
                if other != words and len(words & other) >= n_needed:
                    twins.add(other)
                    twins_of[other].add(words)
    return twins_of
