"""A player of a video: keys, evidence to walk through, in and out points, clips."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from markupsafe import Markup

from app.schemas.videos import VideoItem
from app.ui.components.base import OwnComponent
from app.ui.markup import icon


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerSpan:
    """A span that the keys N and P walk."""

    video_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerInset:
    """A picture that stands over the video for a while, such as a needle that was planted."""

    picture: str
    """Its address."""
    words: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerState:
    """The value of `Player`."""

    video: VideoItem | None
    """Another one is opened; of the same one what has changed is shown."""
    time_s: float | None = None
    """Where to go; stays where it is when `None`."""
    end_s: float | None = None
    """Where to pause, if it is to play."""
    spans: tuple[PlayerSpan, ...] | None = None
    """`None` leaves those that are known."""
    inset: PlayerInset | None = None


FRAME_S: Final = 0.04
KEYS: Final[tuple[tuple[dict[str, str], str], ...]] = (
    ({" ": "play", "k": "play"}, "play or pause"),
    ({"j": "-10", "l": "10"}, "10 s back, forward"),
    ({"ArrowLeft": "-5", "ArrowRight": "5"}, "5 s back, forward"),
    ({",": f"-{FRAME_S}", ".": f"{FRAME_S}"}, "one frame back, forward"),
    ({"n": "forth", "p": "back"}, "next, previous evidence"),
    ({"[": "in", "]": "out"}, "mark start, end"),
    ({"e": "cut"}, "save the marked clip"),
    ({"c": "words"}, "captions"),
    ({"m": "mute"}, "mute"),
    ({"f": "full"}, "full screen"),
    ({"?": "help"}, "these keys"),
    ({"Escape": "clear"}, "clear the marks"),
)
"""Keys with their acts, and both in words; an act that is a number goes so many seconds."""
_NAMES: Final = {
    " ": "Space",
    "ArrowLeft": "\N{LEFTWARDS ARROW}",
    "ArrowRight": "\N{RIGHTWARDS ARROW}",
    "Escape": "Esc",
}
_UNPLAYABLE: Final = (
    "This browser cannot play the original.",
    "A playable copy is made once reading is done; questions and evidence work meanwhile.",
)
_RATES: Final = ("0.25", "0.5", "1", "1.5", "2", "4", "8")


class Player(OwnComponent):
    """A player over `/media`, which is read in ranges.

    It has a bar to seek with of its own, which rests where a `Timeline` stands beside it. A click
    on any link of the page to `/ui/watch?v=ID&t=SECONDS&end=SECONDS` seeks without a word to the
    server where that video is open.

    Events: `open`, with `video_id`, `start_s` and `end_s`, where it leads to another video; `mark`,
    with the same, where a part has been marked or is marked no more (times are then `None`).
    """

    script = "player"
    triggers = ("open", "mark")

    def __init__(self, value: PlayerState | None = None, **options: Any) -> None:
        """Show a video, or nothing yet."""
        options["html_template"] = str(_MARKUP)
        super().__init__(value, **options)

    def postprocess(self, value: Any) -> Any:
        """Return a `PlayerState` as JSON; what is JSON already stays as it is."""
        if not isinstance(value, PlayerState):
            return value
        shown = {"video_id", "duration_s", "play_url", "play_offset_s", "play_note"}
        return {
            "video": None if value.video is None else value.video.model_dump(include=shown),
            "unplayable": _UNPLAYABLE,
            "time_s": value.time_s,
            "end_s": value.end_s,
            "spans": None if value.spans is None else [asdict(span) for span in value.spans],
            "inset": None if value.inset is None else asdict(value.inset),
        }


def _button(act: str, label: str, *shapes: str, text: str = "", kind: str = "") -> Markup:
    return Markup(
        '<button type="button" class="quiet {}" data-act="{}" aria-label="{}" title="{}">{}{}'
        "</button>"
    ).format(kind, act, label, label, Markup("").join(map(icon, shapes)), text)


def _keys() -> Markup:
    rows = Markup("").join(
        Markup("<span>{}</span><span>{}</span>").format(
            Markup(" ").join(
                Markup("<kbd>{}</kbd>").format(_NAMES.get(key, key.upper())) for key in keys
            ),
            text,
        )
        for keys, text in KEYS
    )
    return Markup(
        '<dialog aria-label="Keys of the player"><form method="dialog">'
        '<h2>Keys while the player has focus</h2><div class="keys">{}</div>'
        '<label class="row"><input type="checkbox" data-part="keys"> Keys are on</label>'
        '<div class="actions"><button type="submit" class="primary">Done</button></div>'
        "</form></dialog>"
    ).format(rows)


_MARKUP: Final = Markup(
    '<div class="lw part screen" data-keys="{acts}"><div class="player">'
    '<video preload="metadata" playsinline tabindex="0" aria-label="Video" data-act="play">'
    '<track kind="captions" srclang="en" label="Words"></video>'
    '<figure data-part="inset" hidden><img alt="The picture over the video"><figcaption>'
    "</figcaption></figure>"
    '<div class="word" role="status" data-part="word" hidden><strong></strong><span></span></div>'
    '</div><div class="controls" role="group" aria-label="Player">'
    '<input type="range" min="0" step="0.1" value="0" aria-label="Seek" data-part="seek">'
    '{play}{back}{on}<span class="mono now" data-part="now">0:00</span>'
    '<span class="clip" data-part="clip" hidden><span class="mono" data-part="span"></span>'
    "{cut}{clear}</span>"
    '<span class="end">{mark_in}{mark_out}'
    '<select aria-label="Speed" title="Speed" data-part="rate">{rates}</select>'
    "{words}{mute}{link}{help}{full}</span></div>{keys}</div>"
).format(
    acts=json.dumps({key: act for keys, _ in KEYS for key, act in keys.items()}),
    play=_button("play", "Play", "play", "pause", kind="icon both"),
    back=_button("-10", "10 seconds back", text="\N{MINUS SIGN}10", kind="wide-only"),
    on=_button("10", "10 seconds forward", text="+10", kind="wide-only"),
    mark_in=_button("in", "Mark the start of a clip", text="["),
    mark_out=_button("out", "Mark the end of a clip", text="]"),
    cut=_button("cut", "Save clip that is marked", text="Save clip"),
    clear=_button("clear", "Clear the marks", "close", kind="icon"),
    rates=Markup("").join(
        Markup('<option value="{}"{}>{}\N{MULTIPLICATION SIGN}</option>').format(
            rate, Markup(" selected") if rate == "1" else "", rate
        )
        for rate in _RATES
    ),
    words=_button("words", "CC, captions", text="CC", kind="wide-only"),
    mute=_button("mute", "Mute", "sound", "silent", kind="icon both"),
    link=_button("link", "Copy a link to this moment", "link", kind="icon wide-only"),
    help=_button("help", "Keys of the player", text="?", kind="wide-only"),
    full=_button("full", "Full screen", "full", kind="icon"),
    keys=_keys(),
)
