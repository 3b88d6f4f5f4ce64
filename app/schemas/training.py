"""Results of `train` and `vico`."""

from pydantic import BaseModel


class TrainResponse(BaseModel):
    """What a training run left, and the last scores it measured."""

    recipe: str
    output: str
    steps: int
    measured: dict[str, float]
    skipped: int
    """Samples that could not be used; each was named while the run began."""
    model: str | None
    """The checkpoint folder, where the recipe makes one."""
    curves: list[str]
    """A picture for every stage; a JSON file of the same series lies beside each."""


class SkippedVideo(BaseModel):
    """A video that could not be used, and why."""

    video: str
    reason: str


class VicoResponse(BaseModel):
    """What `vico` wrote: questions about the order of what videos show."""

    output: str
    media: str
    """The folder that names of videos in `output` are relative to."""
    captions_file: str | None
    """Where the model's captions are kept; nothing where they were given."""
    model: str | None
    videos: int
    """Those with questions."""
    captions: int
    captions_written: int
    """In this run; the others were kept from an earlier one."""
    clues: int
    questions: int
    kinds: dict[str, int]
    letters: dict[str, int]
    """How often each letter is right."""
    skipped: list[SkippedVideo]
    bad_captions: list[str]
    """Lines of captions files that could not be used."""
    wall_s: float
