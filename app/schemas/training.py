"""Results of `train` and `vico`."""

from typing import Literal

from app.schemas.common import Schema


class TrainResponse(Schema):
    """The outcome of a training run, with its last scores."""

    recipe: str
    output: str
    steps: int
    measured: dict[str, float]
    skipped: int
    """Samples that could not be used; each was named when the run began."""
    model: str | None
    """The checkpoint folder, if the recipe writes one."""
    curves: list[str]
    """A plot for each stage; a JSON file with the same series lies beside it."""


class MemoryPlanResponse(Schema):
    """Bytes that a training run will hold on an accelerator; nothing was loaded or started."""

    recipe: str
    stage: str
    parameters: int
    learning: int
    """Parameters that learn."""
    sample_tokens: int
    """Of the longest sample."""
    samples: int
    """In a micro-batch."""
    gradient_checkpointing: bool
    bf16: bool
    processes: int
    """Processes that share one copy of the weights; all bytes are those of one."""
    weights_bytes: int
    """Adapters included."""
    adapters_bytes: int
    gradients_bytes: int
    optimiser_bytes: int
    working_bytes: int
    """Most that a micro-batch holds beside them: activations, 16-bit copies, weights gathered from
    other processes, or the optimiser's step."""
    total_bytes: int
    card_bytes: int
    fits: bool
    """Whether a tenth of the card would be left."""


class StudyVariantItem(Schema):
    """One trained and measured variant."""

    variant: str
    size: str
    seed: int
    choices: dict[str, str | float]
    parameters: int
    right: float
    """Share of held-out questions answered to the letter."""
    likelihood: float
    """Geometric mean over the tokens of the right answers."""
    train_wall_s: float


class StudyIntervalItem(Schema):
    """A figure with its 95 % interval; `null` where the draws have no order."""

    value: float | None
    low: float | None
    high: float | None


class StudyPairItem(Schema):
    """The likeness of variants' ranks at two sizes."""

    measure: Literal["likelihood", "right"]
    small: str
    large: str
    variants: int
    rank_correlation: StudyIntervalItem
    r_squared: float | None


class StudyDecisionItem(Schema):
    """One decision, made at a smaller size and taken over to the largest."""

    measure: Literal["likelihood", "right"]
    decision: str
    size: str
    chosen: str | float
    best: str | float
    """The largest size's own choice."""
    agrees: float
    """Share of draws of held-out questions in which both sizes choose alike."""
    cost: StudyIntervalItem
    """Score that the largest size loses by the smaller one's choice."""


class StudyResponse(Schema):
    """The outcome of `study`."""

    output: str
    variants: list[StudyVariantItem]
    missing: int
    """Variants of the plan without a record."""
    held_out_questions: int
    noise: dict[str, float]
    """By size: how far the likelihoods of the base's seeds lie apart."""
    pairs: list[StudyPairItem]
    decisions: list[StudyDecisionItem]
    plot: str | None


class SkippedVideo(Schema):
    """A video that could not be used, and why."""

    video: str
    reason: str


class VicoResponse(Schema):
    """The outcome of `vico`: questions about the order of events in videos."""

    output: str
    media: str
    """The folder that video names in `output` are relative to."""
    captions_file: str | None
    """The file of the model's captions; `null` where captions were given."""
    model: str | None
    videos: int
    """Videos with questions."""
    captions: int
    captions_written: int
    """Captions written by this run; the others come from an earlier one."""
    clues: int
    questions: int
    kinds: dict[str, int]
    letters: dict[str, int]
    """How often each letter is the right answer."""
    skipped: list[SkippedVideo]
    bad_captions: list[str]
    """Lines of captions files that could not be used."""
    wall_s: float


class AlphaItem(Schema):
    """The captions at one strength of the adapters, in numbers; none says how true they are."""

    alpha: float | None
    """`null` where the setting's was used."""
    folder: str
    videos: int
    clips: int
    written: int
    """Clips that this run described; the others were kept by an earlier one."""
    captions: int
    """Captions in the files: those that say nearly the same as the one before are joined."""
    words_each: float
    distinct_words: int
    repeated: float
    """Share of captions that are the same as another one."""


class RecaptionResponse(Schema):
    """The outcome of `recaption`."""

    output: str
    media: str
    """The folder that names of videos are relative to."""
    model: str
    formats: list[str]
    alphas: list[AlphaItem]
    skipped: list[SkippedVideo]
    wall_s: float
