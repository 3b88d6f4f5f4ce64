"""The words of a question as rules read them: without politeness, slips of spelling and denials.

People write "wheres the dog", "how many ppl r there", "there's no dog, right?" and two questions in
one. What is recognised here becomes plain wording; all else stays as it was written.
"""

import re
from typing import Final

from engine.sight.thing_words import colour_words, verb_stem

_FOOTAGE: Final = (
    r"(?:video|clip|film|recording|footage|movie|scene|picture|image|frame|shot|view|stream|camera)"
)
_POLITE: Final = re.compile(
    r"^(?:(?:please|hey|hi|hello|ok|so|and|now|then|well|also),? |"
    r"(?:can|could|would|will) you (?:please )?(?:tell|show)(?: me| us)?,? |(?:tell|show) (?:me|"
    r"us),? "
    r"(?!about)|do you know |i(?:'d| would)? (?:like|want) to know |i wonder |"
    r"(?:what|how) about (?!the (?:video|clip|footage)$)|"
    rf"in (?:the|this) {_FOOTAGE},? )+"
)
_PLEASE: Final = re.compile(r",? (?:please|thanks|thank you)$")
_WHICH_VIDEO: Final = re.compile(
    r"^(?:which|what)(?: of the)? (?:video|clip|recording|file|camera|film)s? "
    r"(?:(?:has|have|had|shows?|shown?|saw|contains?|(?:is|are) there|(?:do|can) (?:you|i|we) see|"
    r"(?:is|are)(?= (?:an?|the|any) )) )(?!name|most|more|longest)"
)
"""An answer over several videos names those that show a thing."""
_PREPOSITION: Final = re.compile(
    r"^(?:by|with|in|on|to|into|from|at|under|behind|for|towards?|during) (?=what|which|whom)"
)
_SPELLINGS: Final = tuple(
    (re.compile(rf"\b(?:{wrong})\b"), right)
    for wrong, right in (
        (r"(what|who|where|when|there|how|which)'s", r"\1 is"),
        (r"(what|who|where|when|there)s", r"\1 is"),
        (r"(?<=is |re )ther", "there"),
        ("ppl|poeple|peple|peopel", "people"),
        ("pls|plz", "please"),
        ("(?<=\\w )r(?= \\w)", "are"),
        ("(?<=\\w )u(?= \\w)", "you"),
        ("teh", "the"),
        ("collor|colr", "colour"),
    )
)
_AUXILIARY: Final = r"is|are|was|were|do|does|did|has|have|had|can|could|will|would"
_DENIED: Final = re.compile(rf"^({_AUXILIARY}|ca|wo)n'?t (?=\w)")
_TAG: Final = re.compile(
    rf"(?:,? (?:right|correct|true|yes|no|huh|ok(?:ay)?)|, ?(?:{_AUXILIARY}|ca|wo)(?:n'?t)? "
    r"(?:it|there|they|he|she|you|that))$"
)
_STATEMENT: Final = re.compile(r"^there (is|are|was|were)(n'?t| not)? (?P<thing>.+)$")
_SAID: Final = re.compile(
    r"^(?P<thing>(?:the|a|an|any|no|some)\b.+?) (?P<verb>is|are|was|were)(?P<denied>n'?t| not)? "
    r"(?:there|here|visible|in view|shown|present|in (?:the|this) \w+)$"
)
_NO_THING: Final = re.compile(
    r"^(?P<lead>(?:is|are|was|were) there )(?:no(?! one)|not an?|not any) "
)
_ROAD: Final = "road|street|motorway|highway|car park|parking lot|junction|lane"
_NOBODY: Final = re.compile(
    r"^(?:is|are|was|were)(?: there)? (?:nobody|no one|no-one|noone)\b|"
    r"^(?:is|was) (?:the|this) (?:room|house|hall|office|kitchen|shop|store|building|lobby|"
    rf"corridor|hallway|aisle|yard|garden|platform|station|place|{_ROAD}) "
    r"(?:empty|deserted|vacant)$"
)
_IS_ROAD: Final = re.compile(rf"\b(?:{_ROAD})\b")
_ASKS: Final = (
    r"(?:what|when|where|who|whose|which|why|how|(?:is|are|was|were|do|does|did|has|have|can) "
    r"(?:there|the|it|they|he|she|you|we|any\w*|some\w*|every\w*|no ?body|no one|"
    r"an?|this|that)\b)"
)
_NEXT_QUESTION: Final = re.compile(rf"\?+\s+(?=\w)|,? and (?:also )?(?={_ASKS}\b)", re.IGNORECASE)
_ARE_THERE: Final = r"^(?P<lead>(?:(?:please|and|so),? )*(?:is|are|was|were) there )"
_EITHER: Final = re.compile(
    rf"{_ARE_THERE}(?P<first>(?:an? |any )?[\w -]+?) (?:or|and) "
    r"(?P<second>(?:an? |any )?[\w -]+)\??$",
    re.IGNORECASE,
)
_BOTH: Final = re.compile(
    r"^(?P<lead>(?:(?:please|and|so),? )*how many )(?P<first>[\w -]+?) (?:or|and) "
    r"(?P<second>[\w-]+)"
    r"(?P<rest>(?: (?:are|were|do|did|can|come|came|pass)\b.*)?)\??$",
    re.IGNORECASE,
)
_IS_MORE: Final = re.compile(rf"\b(?:with|of|who|that|or|{_ASKS}|\w+ing)\b", re.IGNORECASE)
_MORE_THAN: Final = re.compile(
    rf"{_ARE_THERE}(?:more|fewer|less|as many) (?P<first>[\w -]+?) (?:than|as) "
    r"(?P<second>(?!\w+$|\d)[\w -]+|[a-z]+s|people)\??$",
    re.IGNORECASE,
)
_BEGINS: Final = re.compile(
    rf"^(?:(?:please|hey|hi|hello|ok|so|and|also),? )*{_ASKS}\b", re.IGNORECASE
)


def plain(question: str) -> str:
    """Return a question in plain words: in lower case, without politeness and question mark.

    Args:
        question: One sentence or phrase.
    """
    text = " ".join(question.lower().replace("\u2019", "'").split()).strip(" ?.!,;:\u00bf\u00a1")
    for wrong, right in _SPELLINGS:
        text = wrong.sub(right, text)
    text = _PLEASE.sub("", _POLITE.sub("", text)) or text
    text = _WHICH_VIDEO.sub("is there ", _PREPOSITION.sub("", text) or text)
    return _TAG.sub("", text) or text


def without_denial(text: str) -> tuple[str, bool]:
    """Return a question that denies, or a statement that waits for a yes, as it asks plainly.

    Args:
        text: In plain words, without a time.
    Returns:
        What is asked, and whether that was denied: "isn't there a dog".
    """
    match = _STATEMENT.search(text)
    if match is not None:
        denied = "not " if match[2] and not match["thing"].startswith(("a ", "an ", "any ")) else ""
        text = f"{match[1]} there {denied}{match['thing']}"
        if match[2]:
            return text.replace(" not ", " ", 1), True
    match = _SAID.search(text)
    if match is not None:
        is_denied = bool(match["denied"]) or match["thing"].startswith("no ")
        return f"{match['verb']} there {match['thing'].removeprefix('no ')}", is_denied
    if _NOBODY.search(text) is not None:
        return f"are there any {'vehicles' if _IS_ROAD.search(text) else 'people'}", True
    match = _DENIED.search(text)
    if match is not None:
        verb = {"ca": "can", "wo": "will"}.get(match[1], match[1])
        return f"{verb} {text[match.end() :]}", True
    match = _NO_THING.search(text)
    if match is not None:
        return match["lead"] + text[match.end() :], True
    return text, False


def split_questions(text: str) -> tuple[str, ...]:
    """Return the questions of a text that asks several, else the text alone.

    "Is there a dog and what colour is it?" asks two, and so does "is there a cat or a dog?".
    "Are there more cats than dogs?" is told by how many of each there are.
    """
    parts = [part.strip() for part in _NEXT_QUESTION.split(text) if part.strip(" ?.!,")]
    is_each_whole = all(
        _BEGINS.search(part) and not part.endswith((" not", " not?")) for part in parts
    )
    if len(parts) > 1 and is_each_whole:
        return tuple(parts)
    match = _MORE_THAN.search(text.strip())
    if match is not None:
        return f"how many {match['first']} are there", f"how many {match['second']} are there"
    match = _EITHER.search(text.strip()) or _BOTH.search(text.strip())
    if match is None:
        return (text,)
    lead, first, second = match["lead"], match["first"], match["second"]
    # "A man with a hat or a cap", "a black and white dog": what is said may be said of one thing.
    is_one = colour_words(first.split()[-1]) or verb_stem(second)
    if is_one or _IS_MORE.search(f"{first}, {second}"):
        return (text,)
    rest = match.groupdict().get("rest") or ""
    return lead + first + rest, lead + second + rest
