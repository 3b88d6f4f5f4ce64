"""The plan of a study, as a TOML file spells it: sizes, decisions, what is trained and measured."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from engine.errors import InputRefusedError
from engine.training.nano.baselines import VARIANT_KINDS
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.summary import FRAME_TOKENS

DECISIONS: Final = ("encoder", "frame_every_s", "tokens_a_frame", "mixture", "stages")
TOKENS_A_FRAME: Final = (2.0, 1.0, 0.5, 0.25)
"""Rows kept of a frame at ratios that divide a chunk: 2, 4, 8 and 16."""

Value = str | float | int


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """A vision tower, trained once with its text tower and shared by all sizes."""

    width: int
    n_layers: int
    n_heads: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeSpec:
    """The sizes of a decoder."""

    width: int
    mlp_width: int
    n_layers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec:
    """One of the stages that a variant goes through, in order."""

    steps: int
    learns: Literal["all", "projector"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankSpec:
    """Amounts of drawn material."""

    clips: int = 1500
    cards: int = 2500
    background: int = 100
    distractors: int = 300
    test_clips: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """Training that all variants have in common."""

    learning_rate: float = 1.5e-3
    warmup_steps: int = 20
    chunks: int = 16
    """Chunks put together in a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSpec:
    """The held-out contexts, the same for every variant."""

    contexts: int = 128
    questions: int = 8
    """About each context."""
    recalled_chunks: tuple[int, ...] = (1, 4)
    kinds: Mapping[str, float] = field(default_factory=lambda: dict(VARIANT_KINDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyVariant:
    """One model of the study."""

    size: str
    seed: int
    choices: Mapping[str, Value]
    """An option of every decision."""

    @property
    def options(self) -> str:
        """The options as one name, the same for all sizes and seeds."""
        return "-".join(str(self.choices[name]) for name in DECISIONS)

    @property
    def name(self) -> str:
        """The name of its folder and record."""
        return f"{self.size}-{self.options}-{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """Everything that decides what a study ends with."""

    encoders: Mapping[str, EncoderSpec]
    sizes: Mapping[str, SizeSpec]
    """Smallest first."""
    mixtures: Mapping[str, Mapping[str, float]]
    """How often each kind of question is drawn in training."""
    stages: Mapping[str, tuple[ScheduleSpec, ...]]
    decisions: Mapping[str, tuple[Value, ...]]
    """The options of each decision; the first is the base's."""
    design: Literal["one_at_a_time", "full"] = "one_at_a_time"
    """Whether variants differ from the base in one decision, or all options are combined."""
    seed: int = 0
    base_seeds: int = 1
    """Seeds of the base: how far scores differ by chance."""
    bank: BankSpec = field(default_factory=BankSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    measure: MeasureSpec = field(default_factory=MeasureSpec)

    def variants(self) -> Iterator[StudyVariant]:
        """Yield every model to train, the smallest size first."""
        for size in self.sizes:
            for choices in self._choices():
                is_base = all(choices[name] == self.decisions[name][0] for name in DECISIONS)
                for number in range(self.base_seeds if is_base else 1):
                    yield StudyVariant(size=size, seed=self.seed + number, choices=choices)

    def _choices(self) -> Iterator[Mapping[str, Value]]:
        options = [self.decisions[name] for name in DECISIONS]
        if self.design == "full":
            for combination in itertools.product(*options):
                yield dict(zip(DECISIONS, combination, strict=True))
            return
        base = {name: self.decisions[name][0] for name in DECISIONS}
        yield base
        for name in DECISIONS:
            for option in self.decisions[name][1:]:
                yield {**base, name: option}


def parse_plan(document: Mapping[str, Any]) -> StudyPlan:
    """Read a plan; what is wrong with it is named, key by key.

    Raises:
        InputRefusedError: A key is unknown or missing, or a value is not allowed.
    """
    tables = dict(document)
    plan = {
        "encoders": _named(tables, "encoders", EncoderSpec),
        "sizes": _named(tables, "sizes", SizeSpec),
        "mixtures": {
            name: _kinds(f"mixtures.{name}", kinds)
            for name, kinds in _table(tables, "mixtures").items()
        },
        "stages": {
            name: _schedules(f"stages.{name}", entries)
            for name, entries in _table(tables, "stages").items()
        },
        "bank": _record("bank", tables.pop("bank", {}), BankSpec),
        "training": _record("training", tables.pop("training", {}), TrainingSpec),
        "measure": _measure(tables.pop("measure", {})),
    }
    plan["decisions"] = _decisions(_table(tables, "decisions"), plan)
    for key in ("design", "seed", "base_seeds"):
        if key in tables:
            value = plan[key] = tables.pop(key)
            is_allowed = (
                value in ("one_at_a_time", "full")
                if key == "design"
                else _is_count(value) and value >= (key == "base_seeds")
            )
            if not is_allowed:
                raise InputRefusedError(f"{key} of the plan must not be {value!r}")
    if tables:
        raise InputRefusedError(f"the plan has an unknown key {next(iter(tables))!r}")
    for name, size in plan["sizes"].items():
        if size.width % 8:
            # Four heads, each turned in pairs.
            raise InputRefusedError(
                f"sizes.{name}.width of the plan must be a multiple of 8, not {size.width}"
            )
    for name, encoder in plan["encoders"].items():
        if encoder.width % encoder.n_heads:
            raise InputRefusedError(
                f"encoders.{name}.width of the plan must be a multiple of its {encoder.n_heads} "
                f"heads, not {encoder.width}"
            )
    if len(plan["sizes"]) < 2:
        raise InputRefusedError("a study compares two sizes at least; name them below [sizes]")
    return StudyPlan(**plan)


def _schedules(where: str, entries: object) -> tuple[ScheduleSpec, ...]:
    if not isinstance(entries, list) or not entries:
        raise InputRefusedError(f"{where} of the plan must be a list of schedules")
    return tuple(_record(where, entry, ScheduleSpec) for entry in entries)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _table(tables: dict[str, Any], key: str) -> Mapping[str, Any]:
    table = tables.pop(key, None)
    if not isinstance(table, Mapping) or not table:
        raise InputRefusedError(f"the plan names no {key}")
    return table


def _named(tables: dict[str, Any], key: str, kind: type[Any]) -> dict[str, Any]:
    return {
        name: _record(f"{key}.{name}", entry, kind) for name, entry in _table(tables, key).items()
    }


def _record(where: str, entry: object, kind: type[Any]) -> Any:
    """Return a record of numbers and words, each of the kind that its field has."""
    if not isinstance(entry, Mapping):
        raise InputRefusedError(f"{where} of the plan must be a table")
    known = {item.name: item.type for item in fields(kind)}
    for key, value in entry.items():
        if key not in known:
            raise InputRefusedError(f"{where} has no {key!r}; there are {', '.join(known)}")
        is_word = key == "learns"
        is_right = (
            value in ("all", "projector")
            if is_word
            else isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        )
        if not is_right or (known[key] is int and not isinstance(value, int)):
            raise InputRefusedError(f"{where}.{key} of the plan must not be {value!r}")
    try:
        return kind(**entry)
    except TypeError as error:
        raise InputRefusedError(f"{where} of the plan is not whole: {error}") from error


def _kinds(where: str, kinds: object) -> Mapping[str, float]:
    if not isinstance(kinds, Mapping) or not kinds:
        raise InputRefusedError(f"{where} of the plan must name kinds of questions")
    for kind, share in kinds.items():
        if kind not in VARIANT_KINDS:
            raise InputRefusedError(
                f"{where} has no {kind!r}; there are {', '.join(VARIANT_KINDS)}"
            )
        if not isinstance(share, int | float) or share <= 0:
            raise InputRefusedError(f"{where}.{kind} of the plan must be a number above 0")
    return {str(kind): float(share) for kind, share in kinds.items()}


def _measure(entry: Mapping[str, Any]) -> MeasureSpec:
    numbers = dict(entry)
    chunks = numbers.pop("recalled_chunks", list(MeasureSpec().recalled_chunks))
    kinds = numbers.pop("kinds", dict(VARIANT_KINDS))
    if not chunks or not all(_is_count(n) and 1 <= n <= 8 for n in chunks):
        raise InputRefusedError("measure.recalled_chunks must be numbers from 1 to 8")
    rest: MeasureSpec = _record("measure", numbers, MeasureSpec)
    return MeasureSpec(
        contexts=rest.contexts,
        questions=rest.questions,
        recalled_chunks=tuple(chunks),
        kinds=_kinds("measure.kinds", kinds),
    )


def _decisions(
    table: Mapping[str, Any], plan: Mapping[str, Any]
) -> Mapping[str, tuple[Value, ...]]:
    for key in table:
        if key not in DECISIONS:
            raise InputRefusedError(f"no decision {key!r}; there are {', '.join(DECISIONS)}")
    # Where nothing is to be decided there is one option: the first that the plan names.
    allowed: dict[str, tuple[Value, ...]] = {
        "encoder": tuple(plan["encoders"]),
        "frame_every_s": tuple(n for n in range(1, CHUNK_FRAMES + 1) if CHUNK_FRAMES % n == 0),
        "tokens_a_frame": tuple(sorted(TOKENS_A_FRAME, key=lambda n: n != 0.5)),
        "mixture": tuple(plan["mixtures"]),
        "stages": tuple(plan["stages"]),
    }
    decisions = {}
    for name in DECISIONS:
        given = table.get(name, list(allowed[name][:1]))
        if not isinstance(given, list):
            raise InputRefusedError(f"decisions.{name} of the plan must be a list, not {given!r}")
        options = tuple(given)
        wrong = [option for option in options if option not in allowed[name]]
        if wrong or not options or len(set(options)) < len(options):
            spelled = ", ".join(map(str, allowed[name]))
            raise InputRefusedError(
                f"decisions.{name} must be different ones of {spelled}, not {list(options)}"
            )
        decisions[name] = options
    return decisions


def ratio_of(tokens_a_frame: Value) -> int:
    """Return the visual tokens of a kept row."""
    return round(FRAME_TOKENS / float(tokens_a_frame))
