"""One needle: planted at a chosen depth of a haystack, and asked for."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from engine.errors import InputRefusedError
from engine.media.frame import Frame
from engine.pipeline.answer import answer
from engine.pipeline.encode import EncodedChunk, encode_frames
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest_encoded
from engine.pipeline.resume import ResumePoint
from engine.protocols import Sampling
from engine.records import ALL_TIME, Answer, Recall, TimeSpan, VideoId
from engine.synthetic.cards import draw_needle
from engine.synthetic.questions import is_right
from engine.tensors import VisualTokens

LISTING = "needles.jsonl"
"""The file of a needle folder: one needle a line."""

ANSWER_TOKENS = 32
"""Needle answers are a word or a short sentence."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")

_LETTER = re.compile(
    r"^\W*(?:the\s+)?(?:best\s+)?(?:option|answer)?\W*(?:is)?\W*([a-h])\b(?!\s+\w)", re.I
)
_FROM_START = ResumePoint(ordinal=0, after_s=None, frames_sampled=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Needle:
    """A picture to plant as one frame, and a question that only this picture answers."""

    image: UInt8[np.ndarray, "h w 3"]
    question: str
    answer: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Haystack:
    """Frames that went through the towers once; longer ones repeat them on a clock of their own."""

    tokens: VisualTokens
    fps: float
    size_px: tuple[int, int] | None = None
    """Height and width of all frames; `None` for a model that brings them to a size of its own."""

    @property
    def n_frames(self) -> int:
        """Frames before any repeats."""
        return len(self.tokens.pts_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Outcome of asking for one needle."""

    reply: str
    is_right: bool
    evidence_rank: int | None
    """Rank of the first evidence that covers the planted frame, from 1; `None` for none."""
    planted_s: float
    shown: tuple[TimeSpan, ...]
    """The spans of the evidence, best first."""


def drawn_needles(count: int, *, first_seed: int = 0) -> tuple[Needle, ...]:
    """Draw cards that nano never saw in training, with questions about them."""
    cards = (draw_needle(seed) for seed in range(first_seed, first_seed + count))
    return tuple(
        Needle(image=card.image, question=card.question, answer=card.answer, aliases=card.aliases)
        for card in cards
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleLimits:
    """Limits of a folder of needles."""

    needles: int = 10_000
    pixels: int = 2**31
    """Of all pictures together: they are held in memory while a grid runs."""


def load_needles(
    folder: Path, *, called: str | None = None, limits: NeedleLimits | None = None
) -> tuple[Needle, ...]:
    """Read the needles of a folder: pictures, and a line of JSON for each in `needles.jsonl`.

    Args:
        folder: Holds `needles.jsonl` and the pictures that it names.
        called: The folder's name in messages; its path when `None`.
        limits: Of number and size.
    Raises:
        InputRefusedError: The listing, a line, or a picture cannot be used; says which and why.
    """
    listing, limits = folder / LISTING, limits or NeedleLimits()
    called = called or str(folder)
    if not listing.is_file():
        raise InputRefusedError(
            f"{called} has no {LISTING}",
            hint='one line a needle: {"image": "x.png", "question": "...", "answer": "..."}',
        )
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputRefusedError(f"{called}/{LISTING} is not UTF-8 text") from error
    needles: list[Needle] = []
    n_pixels = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        needles.append(
            _parse_entry(
                folder, f"{called}/{LISTING}, line {number}", line, limits.pixels - n_pixels
            )
        )
        n_pixels += needles[-1].image.shape[0] * needles[-1].image.shape[1]
        if len(needles) > limits.needles:
            raise InputRefusedError(
                f"{called} lists more than {limits.needles} needles", hint="use fewer"
            )
    if not needles:
        raise InputRefusedError(f"{called}/{LISTING} lists no needle")
    return tuple(needles)


def encode_haystack(engine: Engine, frames: Iterable[Frame]) -> Haystack:
    """Run frames through the towers chunk by chunk, holding no more of them than that.

    For a model that keeps the aspect of frames, all are brought to the size of the first.
    """
    waiting = iter(frames)
    card = engine.model.card
    parts, size_px = list[VisualTokens](), None
    while batch := list(islice(waiting, card.chunk_frames)):
        if card.keeps_aspect:
            height, width, _ = batch[0].pixels.shape
            size_px = size_px or (height, width)
        sized = [replace(frame, pixels=_resized(frame.pixels, size_px)) for frame in batch]
        parts.append(encode_frames(engine.model, sized))
    if not parts:
        raise ValueError("a haystack needs at least one frame")
    tokens = replace(
        parts[0],
        embeddings=torch.cat([part.embeddings for part in parts]),
        frame_vectors=torch.cat([part.frame_vectors for part in parts]),
        pts_s=torch.cat([part.pts_s for part in parts]),
    )
    return Haystack(tokens=tokens, fps=engine.sampling.fps, size_px=size_px)


def encode_needle(
    engine: Engine, needle: Needle, size_px: tuple[int, int] | None = None
) -> VisualTokens:
    """Run a needle's picture through the towers, as a frame like any other.

    Args:
        engine: Whose model sees it.
        needle: With a picture of any size.
        size_px: Height and width of the frames among which it will stand.
    """
    pixels = _resized(needle.image, size_px)
    return encode_frames(engine.model, [Frame(pixels=pixels, pts_s=0.0)])


def plant(
    haystack: Haystack, needle: VisualTokens, *, length_frames: int, depth: float
) -> tuple[VisualTokens, float]:
    """Return a stretch of haystack in which one frame is the needle.

    Args:
        haystack: Repeated from its start when it is shorter than the stretch.
        needle: One frame.
        length_frames: Of the stretch, the needle's frame included; frames that share their tokens
            with it show the needle, too.
        depth: 0 plants in the first frame, 1 in the last.
    Returns:
        The visual tokens, and the time of the needle's frame.
    """
    if not 0 <= depth <= 1:
        raise ValueError(f"depth must lie in [0, 1], not {depth}")
    needle_idx = round(depth * (length_frames - 1))
    order = torch.arange(length_frames) % haystack.n_frames
    embeddings = haystack.tokens.embeddings[order]
    vectors = haystack.tokens.frame_vectors[order]
    first = needle_idx - needle_idx % needle.frames_together
    embeddings[first : first + needle.frames_together] = needle.embeddings[0]
    vectors[needle_idx] = needle.frame_vectors[0]
    pts_s = torch.arange(length_frames, dtype=torch.float64) / haystack.fps
    planted = replace(haystack.tokens, embeddings=embeddings, frame_vectors=vectors, pts_s=pts_s)
    return planted, float(pts_s[needle_idx])


def ask(
    engine: Engine, video: VideoId, needle: Needle, planted_s: float, *, recall: Recall
) -> Finding:
    """Ask for a needle in a video that is ingested, and judge answer and evidence."""
    sampling = Sampling(max_tokens=ANSWER_TOKENS)
    *_, final = answer(
        engine, needle.question, scope=[(video, ALL_TIME)], sampling=sampling, recall=recall
    )
    assert isinstance(final, Answer)
    ranks = (
        rank
        for rank, evidence in enumerate(final.evidence, start=1)
        if evidence.span.contains(planted_s)
    )
    return Finding(
        reply=final.text,
        is_right=judge(final.text, needle),
        evidence_rank=next(ranks, None),
        planted_s=planted_s,
        shown=tuple(evidence.span for evidence in final.evidence),
    )


def judge(reply: str, needle: Needle) -> bool:
    """Return whether a reply says a needle's answer, an alias, or its option's letter."""
    options = (needle.answer, *needle.aliases)
    letters = [option.strip("(). ").lower() for option in options]
    letters = [letter for letter in letters if len(letter) == 1 and letter.isalpha()]
    if letters:
        letter = _LETTER.match(reply)
        return letter is not None and letter.group(1).lower() in letters
    return is_right(reply, needle.answer, needle.aliases)


def ingest_planted(engine: Engine, video: VideoId, tokens: VisualTokens) -> None:
    """Fold, store and index a planted stretch, chunk by chunk, as a recording."""
    for _ in ingest_encoded(engine, video, chunked(engine, tokens), resume=_FROM_START):
        pass


def chunked(engine: Engine, tokens: VisualTokens) -> Iterator[EncodedChunk]:
    """Cut encoded frames into the model's chunks."""
    size = engine.model.card.chunk_frames
    n_frames = len(tokens.pts_s)
    for start in range(0, n_frames, size):
        part = slice(start, min(start + size, n_frames))
        pts_s = tokens.pts_s[part]
        end_s = float(pts_s[-1]) + 1 / engine.sampling.fps
        yield EncodedChunk(
            tokens=replace(
                tokens,
                embeddings=tokens.embeddings[part],
                frame_vectors=tokens.frame_vectors[part],
                pts_s=pts_s,
            ),
            span=TimeSpan(start_s=float(pts_s[0]), end_s=end_s),
            activity=0.0,
        )


def _resized(
    pixels: UInt8[np.ndarray, "_h _w 3"], size_px: tuple[int, int] | None
) -> UInt8[np.ndarray, "_h2 _w2 3"]:
    if size_px is None or pixels.shape[:2] == size_px:
        return pixels
    height, width = size_px
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def _parse_entry(folder: Path, where: str, line: str, pixels_left: int) -> Needle:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise InputRefusedError(f"{where}: not JSON ({error})") from error
    if not isinstance(entry, dict):
        raise InputRefusedError(f"{where}: not an object")
    for key in ("image", "question", "answer"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise InputRefusedError(f"{where}: {key} is missing")
    aliases = entry.get("aliases", [])
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise InputRefusedError(f"{where}: aliases must be a list of texts")
    unknown = set(entry) - {"image", "question", "answer", "aliases"}
    if unknown:
        raise InputRefusedError(f"{where}: unknown {', '.join(sorted(unknown))}")
    return Needle(
        image=_read_picture(folder, entry["image"], where, pixels_left),
        question=entry["question"].strip(),
        answer=entry["answer"].strip(),
        aliases=tuple(aliases),
    )


def _read_picture(
    folder: Path, name: str, where: str, pixels_left: int
) -> UInt8[np.ndarray, "h w 3"]:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputRefusedError(f"{where}: {name} lies outside the folder")
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > pixels_left:
                raise InputRefusedError(
                    f"{where}: with {name} the pictures are too large",
                    hint="scale them down to about 1280 pixels a side",
                )
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError as error:
        raise InputRefusedError(f"{where}: there is no {name}") from error
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InputRefusedError(f"{where}: {name} is no picture ({error})") from error
