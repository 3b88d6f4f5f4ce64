"""The engine behind lmms-eval's interface of simple models: videos and text in, text out.

Each video is read once, however many questions there are about it, and by any later run over the
same library. Source of the interface: lmms-eval 0.7.3, api/model.py and models/simple.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms

from app.config.settings import load_settings
from app.services.benchmark_runs import answer_about
from app.services.context import ServiceContext
from engine.errors import InputRefusedError, MissingCapabilityError
from engine.protocols import Sampling

MAX_NEW_TOKENS = 64
"""Where a task states none."""


class LongwatchModel(lmms):  # type: ignore[misc]
    """A Longwatch library as a model; everything not named here comes from its settings."""

    is_simple = True

    def __init__(
        self,
        pretrained: str = "nano",
        home: str | None = None,
        fps: float | int | str | None = None,
        ratio: int | str | None = None,
        recall: Literal["top", "overview", "all"] | None = None,
        device: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | str | None = None,
    ) -> None:
        """Open a library.

        Args:
            pretrained: nano, a checkpoint folder, or org/name[@revision].
            home: Folder of the library; as everywhere when `None`.
            fps: Sampled frames a second.
            ratio: Visual tokens per latent.
            recall: Chunks that every question recalls; `None` decides by its wording.
            device: A name that torch knows.
            batch_size: Accepted as 1: questions are asked one after the other.
            max_batch_size: Accepted for the same reason.
        """
        super().__init__()
        if int(batch_size) != 1 or int(max_batch_size or 1) != 1:
            raise ValueError(f"batch_size must be 1, not {batch_size}")
        if recall not in (None, "top", "overview", "all"):
            raise ValueError(f"recall must be top, overview or all, not {recall!r}")
        flags = {
            "model": pretrained,
            "sampling.fps": None if fps is None else float(fps),
            "stream.compression_ratio": None if ratio is None else int(ratio),
            "device": device,
        }
        self._recall = recall
        self._context = ServiceContext(
            load_settings(flags, home=None if home is None else Path(home))
        )

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answer every request, in their order; requests about one video follow each other."""
        asked_of = [self._videos(request) for request in requests]
        replies = [""] * len(requests)
        for idx in sorted(range(len(requests)), key=lambda idx: asked_of[idx]):
            text, options, *_ = requests[idx].args
            replies[idx] = self._answer(asked_of[idx], text, options)
            self.cache_hook.add_partial("generate_until", (text, options), replies[idx])
        return replies

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Refuse: an engine of memory and retrieval answers, and scores no text of others.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("longwatch answers; take a task with output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        """Refuse tasks of several rounds.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("longwatch answers each question by itself")

    def clean(self) -> None:
        """Close the library."""
        self._context.close()

    def _videos(self, request: Instance) -> tuple[str, ...]:
        """Return the paths of the videos of a request; none where it has words alone."""
        _, _, doc_to_visual, doc_id, task, split = request.args
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        others = [visual for visual in visuals or () if not isinstance(visual, str)]
        if others:
            raise MissingCapabilityError(
                f"{task} gives {type(others[0]).__name__}s, and longwatch reads video files",
                hint="take a task of videos",
            )
        return tuple(visuals or ())

    def _answer(self, videos: Sequence[str], text: str, options: Mapping[str, Any]) -> str:
        sampling = Sampling(
            max_tokens=int(options.get("max_new_tokens") or MAX_NEW_TOKENS),
            temperature=float(options.get("temperature") or 0.0),
            top_p=float(options.get("top_p") or 1.0),
        )
        paths = [Path(video) for video in videos]
        missing = next((path for path in paths if not path.exists()), None)
        if missing is not None:
            raise InputRefusedError(f"{missing} is missing")
        reply = answer_about(self._context, paths, text, recall=self._recall, sampling=sampling)
        until = options.get("until") or ()
        for end in (until,) if isinstance(until, str) else until:
            reply = reply.split(end)[0] if end else reply
        return reply
