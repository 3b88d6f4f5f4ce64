"""The kind of a question and what it asks about, recognised once from its words.

Rules on words, in the order in which they are tried; the first that fits decides. They read
English alone. What they do not know is `other`: nothing is guessed from it.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from engine.pipeline.question_days import cut_day
from engine.pipeline.question_times import Edge, FootagePart, cut_times
from engine.pipeline.question_wording import plain, without_denial

QuestionKind = Literal[
    "is_there",
    "how_many",
    "how_often",
    "when",
    "how_long",
    "which_longest",
    "which_first",
    "what_next",
    "order",
    "where",
    "direction",
    "colour",
    "said",
    "read",
    "what",
    "who",
    "doing",
    "describe",
    "summary",
    "other",
]
Extreme = Literal["first", "last", "longest", "shortest", "nearest"]
Relation = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionForm:
    """A question as its kind, what it names, and the moment that it is about."""

    kind: QuestionKind
    text: str
    """In lower case, without politeness and question mark."""
    subject: str = ""
    """What it asks about, "the red car"; empty where it names nothing."""
    other: str = ""
    """The second thing of a comparison."""
    is_negated: bool = False
    """Whether it denies what it asks: "isn't there a dog?" a "yes" would answer either way."""
    is_absence: bool = False
    """Whether it asks for the time without the thing: "out of the picture", "empty"."""
    edge: Edge | None = None
    """The coming or the going of the thing: "enters", "leaves"."""
    extreme: Extreme | None = None
    """Which of several: "the first person"."""
    nth: int | None = None
    """Which of several in the order of coming, from 2: "the third person"."""
    at: Edge | FootagePart | float | None = None
    """The part of the footage, or its second: "at the start", "after 0:20", "at 0:10"."""
    is_at_once: bool = False
    """Whether things at the same time are counted: "at once", "in the room"."""
    quoted: str = ""
    """Words in quotation marks or capitals, by which print or speech is looked up."""
    relation: Relation | None = None
    """Before or after the thing."""
    between: tuple[str, str] | None = None
    """Two times of a clock, as `22:00` and `06:00`. Where `at` is given too, the words may mean
    either: an offset, where the footage reaches so far, else a time of the day."""
    day: str = ""
    """Words for a day, "yesterday", as `question_days.find_day` takes them."""

    @property
    def is_about_a_moment(self) -> bool:
        """Whether it is about one moment, at which things are counted together."""
        return self.at is not None and not isinstance(self.at, FootagePart)


_FOOTAGE: Final = (
    r"(?:video|clip|film|recording|footage|movie|scene|picture|image|frame|shot|view|stream|camera)"
)
_BE: Final = r"(?:is|are|was|were)"
_DO: Final = r"(?:do|does|did)"
_SAY: Final = (
    r"(?:say|says|said|saying|tells?|told|talks?|talked|talking|speaks?|speaking|spoken|spoke|"
    r"mentions?|mentioned|discuss\w*|announce[sd]?|asks?|asked|answer(?:s|ed)|explain(?:s|ed)?|"
    r"addresse?[sd]?|hear|heard|greet(?:s|ed)?|claim(?:s|ed)?|narrate[sd]?)"
)
_WRITTEN: Final = r"(?:say|says|read|reads|shows?|displays?|displayed|written|printed|spell|spells)"
_PRINT: Final = (
    r"(?:texts?|words?|title|caption|subtitle|headline|inscription|letters?|digits|timecode|"
    r"time\s?stamp|resolution|licen[cs]e plate|number plate|score|logo|brand|company|message|"
    r"slogan|number(?! of)|date|name|url|price|temperature|label)"
)
_PRINTED_ON: Final = (
    rf"(?:{_PRINT}|signs?|screen|display|\w*board|banner|poster|plates?|clock|watch|timer|jersey|"
    r"sticker|page|blocks|scoreboard|t-?shirt|badge|card|paper|note|envelope|book|newspaper|menu|"
    r"button|slide|watermark|overlay|document|receipt|package|box|line|can|bottle)"
)

_RULES: Final[tuple[tuple[QuestionKind, str], ...]] = (
    # print
    ("read", rf"^(?:what|which) (?:{_DO}|{_BE}) (?P<subject>.*\b{_PRINTED_ON}\b.*) {_WRITTEN}\b"),
    ("read", rf"^what {_DO} (?P<subject>it|this|that) (?:read|reads|spell)\b"),
    ("read", rf"^what (?:else )?(?:{_BE} |stands )?(?:written|printed|displayed)\b(?P<subject>.*)"),
    ("read", rf"^(?!.* (?:greeted|called|spoken|mentioned)\b)(?:what|which) "
             rf"(?P<subject>(?:\w+ ){{0,2}}{_PRINT})\b(?! (?:of )?(?:people|cars))"),
    ("read", rf"^(?:what|which) {_BE} the (?P<subject>(?:\w+ )?{_PRINT})\b"),
    ("read", rf"^what time {_DO} (?P<subject>.*\b(?:clock|watch|timer|display)\b)"),
    ("read", r"^(?:read|transcribe)\b(?P<subject>.*)"),
    ("read", rf"^(?:{_BE} there|can you (?:see|read)) (?:any )?(?P<subject>text|writing|print|"
             rf"words)\b"),
    # speech
    ("said", rf"^(?:what|which|whom?)\b.*?\b{_SAY}\b(?P<subject>.*)"),
    ("said", r"^(?:who|(?:is|does|do|did|can) (?:any|some)(?:body|one)|is there|are there)\b.*?"
             r"\b(?:speak\w*|talk\w*|speech|voices?|conversation)\b(?P<subject>.*)"),
    ("said", rf"^(?:when|where|at what time|{_DO}|{_BE})\b (?:is |are |does |do |did |was )?"
             rf"(?P<topic>.*?)\b{_SAY}\b(?P<subject>.*)"),
    # looks
    ("colour", r"\b(?:what|which) (?:\w+ and )?(?:are the |is the )?colou?rs?\b(?: and \w+)?"
               r"(?P<subject>.*)"),
    ("direction", r"^(?:which|what) (?:way|direction|side)\b(?P<subject>.*)"),
    ("direction", rf"^where (?:{_BE}|{_DO}) (?P<subject>.+?) (?:going|heading|driving|moving|"
                  r"walking|running|turning|go|head|drive|move|walk|run|turn|come from|coming from)"
                  r"(?: to)?$"),
    ("direction", rf"^(?:{_BE}|{_DO}) (?P<subject>.+?)(?: \w+)? (?:to |from )?(?:the )?"
                  r"(?:left (?:or|to)|right (?:or|to)|toward\w* .* or|up or|down or|away .* or)\b"),
    ("direction", rf"^(?:{_BE}|{_DO}) (?P<subject>.+?) (?:get|gets|become|becomes|come|comes|"
                  r"getting|coming|grow|grows) (?:any )?(?:bigger|smaller|larger|nearer|closer)\b"),
    # time
    ("how_long", r"^(?:for )?how (?:long|much time|many (?:seconds?|minutes?|"
                 r"hours?))\b(?P<subject>.*)"),
    ("how_long", r"^what is the (?:duration|length) of (?P<subject>.+)"),
    ("how_often", r"^how (?:often|many times|frequently)\b(?P<subject>.*)"),
    ("how_many", r"\bhow many\b(?P<subject>.*)"),
    ("how_many", r"^(?:count|(?:what is )?the (?:total )?(?:number|count) of)\b(?P<subject>.*)"),
    ("which_longest", r"^(?:which|what|who|when)\b(?P<subject>.*?)\b(?:the )?"
                      r"(?:longest|shortest|briefest)\b"),
    ("which_first", r"^(?:which|what|who)\b.*\b(?:first|earlier|last|later)\b[\s,:]*"
                    r"(?P<subject>\S.+?) or (?P<other>.+)"),
    ("which_first", rf"^(?:{_DO}|{_BE}|has) (?P<subject>.+?) (?:appear|come|came|arrive|enter|seen|"
                    r"shown|pass|happen)\w* (?P<relation>before|after) (?P<other>.+)"),
    ("what_next", r"^(?:what|who|which)\b.*\b(?:come|comes|came|appear\w*|seen|shown|follow\w*|"
                  r"pass\w*|next|happen\w*)\b.*?\b(?P<relation>before|after) (?P<subject>.+)"),
    ("order", r"\b(?:what|which) (?:order|sequence)\b(?P<subject>.*)"),
    ("order", r"\bthe (?:order|sequence) of\b(?P<subject>.*)"),
    # the whole
    ("summary", r"^(?:summar\w*|give (?:me )?(?:a|an|the) .*(?:summary|overview|highlights)|"
                r"overview|highlights|chapters|list (?:the |all )?(?:main )?(?:events|moments|"
                r"chapters))"
                r"\b(?P<subject>.*)"),
    ("summary", r"^what (?:else )?(?:happen(?:s|ed)|has happened|is happening|(?:is|was) going "
                r"on|went "
                r"on|did i miss|takes place|took place|events?|(?:is|was) the (?:story|plot))\b"
                r"(?! to )(?P<subject>.*)"),
    ("summary", rf"^what (?:is|was) (?:(?:this|the|it) ?)?(?:{_FOOTAGE} )?about\b(?P<subject>.*)"),
    ("summary", r"^(?:did|does|is|was|were|has) (?:there )?any(?:thing)? (?:unusual|interesting|"
                r"happen\w*|activity|movement|going on)\b(?P<subject>.*)"),
    ("describe", r"^(?:describe|explain|tell me about)\b(?P<subject>.*)"),
    ("describe", r"^what (?:else )?(?:can|could|do|does) (?:you|one|i|we|be|the camera) (?:see|"
                 r"seen)\b"
                 r"(?P<subject>.*)"),
    ("describe", rf"^what (?:else )?{_BE} (?:there|visible|shown|seen|to be seen|in view|on screen|"
                 rf"in (?:the|this) {_FOOTAGE})\b(?P<subject>.*)"),
    ("describe", rf"^what does (?:the|this) {_FOOTAGE} show\b(?P<subject>.*)"),
    ("describe", r"^(?:what|which) (?:objects|things|items)\b(?P<subject>.*)"),
    # the rest
    ("when", r"^(?:when|(?:what|which) (?:time|second|minute|moment|point|timestamp)|(?:since|"
             r"until) "
             r"when|find (?:the )?(?:moment|time|scene|part|place)(?: when| where| in which| of| "
             r"with)?)"
             r"\b(?P<subject>.*)"),
    ("where", r"^(?:where(?: in (?:the|this) \w+)?|(?:what|which) (?:part|corner|half|area|"
              r"position))\b(?P<subject>.*)"),
    ("doing", rf"^what (?:{_BE}|{_DO}) (?P<subject>.+?) (?:doing|do|done|up to)\b"),
    ("doing", r"^what (?:happens|happened) to (?P<subject>.+)"),
    ("doing", rf"^(?:how|why) (?:{_BE}|{_DO}) (?P<subject>.+)"),
    ("who", r"^who\b(?P<subject>.*)"),
    ("what", r"^(?:what|which|whose|whom)\b(?P<subject>.*)"),
    ("is_there", rf"^(?:{_BE}|{_DO}|has|have|can|could|will)\b(?P<subject>.*)"),
)  # fmt: skip
_COMPILED: Final = tuple((kind, re.compile(pattern)) for kind, pattern in _RULES)

_IN_FOOTAGE: Final = re.compile(
    rf"(?<!out),? (?:anywhere |ever )?(?:in|of|during|throughout) (?:the |this )?(?:whole |"
    rf"entire )?"
    rf"(?:{_FOOTAGE}|room)$"
)
_LEAD: Final = re.compile(
    rf"^(?:(?:{_BE}|{_DO}|has|have|had|can|could|will|would|be|been|there|we|you|i|"
    r"one(?= see| hear)|see|seen|"
    r"ever|also|only|just|still|exactly|of|does|about|on|for|that|the time) )+|^about$"
)
_IT: Final = re.compile(r"^(?:it|this|that|these|those|they) (?=(?:an?|the|any|some) )")
"""Of "is it a dog": what follows names the thing."""
_THERE: Final = re.compile(
    rf" (?:{_BE} |can be |could be |have |has |be |been |to be |ever |first |last |still |also |"
    rf"now )*"
    rf"(?:in view|in sight|in shot|in frame|in (?:the|this) (?:{_FOOTAGE}|room)|on screen|on "
    rf"camera|"
    r"on the screen|visible|seen|shown|present|there|around|appear(?:s|ed)?|shows? up|turns? up|"
    r"(?:come|comes|came|coming|go|goes|walks?|drives?|runs?|rides?|flies|moves?|pass|passes|"
    r"passed)"
    r"(?: in| into view| by| up| along| past| through| across| on| out| off| away| in all)?|"
    r"enter(?:s|ed)?|arrives?|arrived|cross|crosses|leaves?|leaving|stay|stays|stayed|remains?|"
    r"visits?|visited|exists?|happens?|occurs?|disappear(?:s|ed)?|exits?|last|lasts|"
    r"out of (?:the )?\w+|not there|gone|absent|missing|away|off ?screen|no longer there|hidden|"
    r"begins?|starts?|(?:can|do) (?:you|we|i|one) (?:see|hear)|is|are|was|were|do|did|have|has)$"
)
"""Ways to be there, to come and to go: rows of the thing itself bear them out."""
_ENTERS: Final = re.compile(
    r"\b(?:appears?|appeared|enters?|entered|arrives?|arrived|comes?|came|walks? in|shows? up|"
    r"turns? up|begins?|starts?|first seen|first visible|first shown)\b"
)
_LEAVES: Final = re.compile(
    r"\b(?:leaves?|(?:has|have|had|he|she|it|they) left|leaving|disappear\w*|goes away|go away|"
    r"exits?|exited|(?:walks?|goes|go|"
    r"drives?|runs?) (?:out|off|away)|departs?|last seen|last visible|ends?)\b"
)
_ABSENT: Final = re.compile(
    r"\b(?:out of (?:the )?(?:picture|view|frame|shot|sight|scene|image)|not (?:in|there|visible|"
    r"seen|shown|present)|gone|absent|missing|away|off ?screen|empty|deserted|no longer|hidden|"
    r"nobody|no one|no ?body|unattended)\b"
)
_ORDINALS: Final = (
    "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
)  # fmt: skip
_NTH: Final = re.compile(
    rf"\b(?:the|a|that) (?:(?P<word>{'|'.join(_ORDINALS)})|(?P<figure>\d{{1,3}})(?:st|nd|rd|th))"
    r" (?:of the (?:\w+ )?)?(?!(?:half|quarter|part|minute|hour|of|when|in|at|where|that|which)\b)"
    r"(?=\w)"
)
_NTH_TIME: Final = re.compile(rf"{_NTH.pattern}time\b")
_OF_ONE: Final = frozenset(("when", "how_long", "who"))
"""Kinds by which one of several is asked for by its number."""
_NAMES_ONE: Final = re.compile(r"(?:the|an?|this|that|these|those) ")
"""Of "who is the man in red": what follows names somebody, else what somebody did."""
_AT_ONCE: Final = re.compile(
    r"\b(?:at once|at a time|at the same time|at most|together|simultaneously|(?:in|on|at) "
    r"(?:the )?"
    rf"(?:{_FOOTAGE}|room|kitchen|office|car|shop|store|street|table|desk|shelf|plate|wall|sofa|"
    rf"couch|floor|background|foreground|screen)|{_BE} (?:there|visible|sitting|standing|shown)|"
    r"stand|sit|can (?:you|one|i|be) seen?|do you see)\b"
)
_EXTREMES: Final[tuple[tuple[Extreme, str], ...]] = (
    ("longest", r"\blongest\b"),
    ("shortest", r"\b(?:shortest|briefest)\b"),
    ("last", r"\b(?:last|latest|final)\b"),
    ("first", r"\b(?:first|earliest)\b"),
    ("nearest", r"\b(?:nearest|closest|biggest|largest)\b"),
)
_QUOTES: Final = re.compile(r"[\"“”«»„]([^\"“”«»„]{1,80})[\"“”«»„]|(?<!\w)'([^']{2,80})'(?!\w)")
_CAPITALS: Final = re.compile(r"\b[A-Z]{2,}[A-Z0-9]*(?:[\s-]+[A-Z0-9]{2,})*\b")


def read_question(question: str) -> QuestionForm:
    """Read a question without answer options.

    Args:
        question: One sentence or phrase.
    """
    quoted = _quoted(question)
    text, day = cut_day(plain(question))
    text, at, between = cut_times(text)
    text, is_negated = without_denial(text)
    stem = _IN_FOOTAGE.sub("", text)
    for kind, pattern in _COMPILED:
        match = pattern.search(stem) or pattern.search(text)
        if match is not None:
            form = _form(kind, text, match)
            break
    else:
        form = QuestionForm(kind="other", text=text, subject=_trim(stem))
    return replace(form, at=at, quoted=quoted, between=between, is_negated=is_negated, day=day)


def _form(kind: QuestionKind, text: str, match: re.Match[str]) -> QuestionForm:
    groups = {name: value or "" for name, value in match.groupdict().items()}
    raw = f" {groups['subject'].strip(' ,')}"
    is_about_time = kind in {"when", "how_long"}
    nth = _nth(raw) if kind in _OF_ONE else None
    if nth is not None:
        raw = _NTH.sub("the ", _NTH_TIME.sub("", raw))
    subject = _trim(raw) or _trim(groups.get("topic", ""))
    if is_about_time and re.search(r"\b(?:nobody|no one|deserted|empty|unattended)\b", raw):
        is_road = re.search(r"\b(?:road|street|motorway|highway|car park|junction|lane)\b", raw)
        subject = "vehicles" if is_road else "people"
    if kind == "who" and not _NAMES_ONE.match(subject):
        subject = f"people {subject}".strip()
    relation = groups.get("relation")
    is_leaving = _LEAVES.search(raw) is not None
    return QuestionForm(
        kind=kind,
        text=text,
        subject=subject,
        other=_trim(groups.get("other", "")),
        is_absence=is_about_time and _ABSENT.search(raw) is not None,
        # "When does it leave" asks for a moment, "when is it away" for a time.
        edge="end" if is_leaving else "start" if _ENTERS.search(raw) else None,
        extreme=next((name for name, words in _EXTREMES if re.search(words, match.group())), None),
        nth=nth,
        is_at_once=_AT_ONCE.search(text) is not None,
        relation=None if not relation else "before" if relation == "before" else "after",
    )


def _nth(raw: str) -> int | None:
    """Return which of several a text asks for by its number; `None` for none or the first."""
    match = _NTH.search(raw)
    if match is None:
        return None
    number = int(match["figure"] or 0) or _ORDINALS.index(match["word"]) + 2
    return number if number > 1 else None


def _trim(raw: str) -> str:
    """Return the words for a thing, without the verbs of being and coming around them."""
    text = _IT.sub("", " ".join(raw.split()))
    before = ""
    while text != before:
        before = text
        text = _LEAD.sub("", _THERE.sub("", f" {text}").strip(" ,?."))
    return re.sub(r"\b(?:first|last|earliest|latest|longest|shortest)\b ?", "", text).strip()


def _quoted(question: str) -> str:
    """Return words in quotation marks, else words in capitals of a question that has others."""
    match = _QUOTES.search(question)
    if match is not None:
        return (match[1] or match[2]).strip()
    if question.isupper():
        return ""
    capitals = max(_CAPITALS.findall(question), key=len, default="")
    return (
        "" if capitals in {"TV", "OK", "USB", "CD", "DVD", "LED", "SUV", "US", "UK"} else capitals
    )
