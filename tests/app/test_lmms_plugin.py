"""The model that lmms-eval gets, against its own interface where it is installed, else a stand-in.

The stand-in has what our class touches: the abstract methods, the cache hook and the task table of
lmms-eval 0.7.3.
"""

import abc
import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from engine.errors import InputRefusedError, MissingCapabilityError
from engine.models.video_xl import model as video_xl
from tests.support.benchmark_copies import draw_clip

MODULES = ("app.lmms_plugin.model", "app.lmms_plugin.manifest")


class CacheHook:
    """Remembers what was given to it."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any, str]] = []

    def add_partial(self, method: str, request: Any, reply: str) -> None:
        """Keep one reply."""
        self.kept.append((method, request, reply))


class StandIn(abc.ABC):
    """`lmms_eval.api.model.lmms` as far as it is used."""

    is_simple = True

    def __init__(self) -> None:
        self.cache_hook = CacheHook()
        self.task_dict: dict[str, Any] = {}

    @abc.abstractmethod
    def loglikelihood(self, requests: Any) -> Any:
        """Abstract there."""

    @abc.abstractmethod
    def generate_until(self, requests: Any) -> Any:
        """Abstract there."""

    @abc.abstractmethod
    def generate_until_multi_round(self, requests: Any) -> Any:
        """Abstract there."""


@dataclass(frozen=True)
class Request:
    """An instance of lmms-eval, of which its arguments are read."""

    args: tuple[Any, ...]


@dataclass(frozen=True)
class Manifest:
    """`ModelManifest` of lmms-eval."""

    model_id: str
    simple_class_path: str
    aliases: tuple[str, ...]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Our module, imported over lmms-eval or its stand-in."""
    if importlib.util.find_spec("lmms_eval") is None:
        contents: dict[str, dict[str, Any]] = {
            "lmms_eval": {},
            "lmms_eval.api": {},
            "lmms_eval.api.model": {"lmms": StandIn},
            "lmms_eval.api.instance": {"Instance": Request},
            "lmms_eval.models": {},
            "lmms_eval.models.registry_v2": {"ModelManifest": Manifest},
        }
        for name, names in contents.items():
            module = ModuleType(name)
            vars(module).update(names)
            monkeypatch.setitem(sys.modules, name, module)
    for name in MODULES:
        sys.modules.pop(name, None)
    yield importlib.import_module("app.lmms_plugin.model")
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def model(plugin: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """A model over a tiny checkpoint."""
    video_xl.write_tiny(tmp_path / "tiny")
    opened = plugin.LongwatchModel(
        pretrained=str(tmp_path / "tiny"), home=str(tmp_path / "home"), fps="1", batch_size=1
    )
    yield opened
    opened.clean()


def ask(model: Any, text: str, visuals: list[Any], **options: Any) -> Request:
    """A request about a document that the task's table holds."""
    documents = model.task_dict.setdefault("films", {}).setdefault("test", [])
    documents.append(visuals)
    return Request((text, options, lambda doc: doc, len(documents) - 1, "films", "test"))


def test_replies_come_in_the_order_of_the_requests(model: Any, tmp_path: Path) -> None:
    first, second = (str(draw_clip(tmp_path / name)) for name in ("a.mp4", "b.mp4"))
    requests = [
        ask(model, "What is shown?", [second], max_new_tokens=4),
        ask(model, "Which colour is it?", [first], max_new_tokens=4),
        ask(model, "And here?", [second], max_new_tokens=4),
    ]
    replies = model.generate_until(requests)
    # Alone, each gets the same reply, so that none was given to another.
    assert replies == [model.generate_until([request])[0] for request in requests]
    assert all(isinstance(reply, str) for reply in replies)


def test_words_alone_are_answered_and_end_where_the_task_says(model: Any) -> None:
    (whole,) = model.generate_until([ask(model, "What is it?", [], max_new_tokens=6)])
    assert whole
    (cut,) = model.generate_until(
        [ask(model, "What is it?", [], max_new_tokens=6, until=[whole[1:2]])]
    )
    assert cut == whole.split(whole[1:2])[0]


def test_what_cannot_be_served_is_refused_with_a_sentence(
    model: Any, plugin: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(MissingCapabilityError, match="films gives ints"):
        model.generate_until([ask(model, "What?", [1])])
    with pytest.raises(InputRefusedError, match=r"gone\.mp4 is missing"):
        model.generate_until([ask(model, "What?", [str(tmp_path / "gone.mp4")])])
    with pytest.raises(NotImplementedError, match="generate_until"):
        model.loglikelihood([])
    with pytest.raises(NotImplementedError):
        model.generate_until_multi_round([])
    with pytest.raises(ValueError, match="batch_size must be 1"):
        plugin.LongwatchModel(batch_size=4)
    with pytest.raises(ValueError, match="recall must be"):
        plugin.LongwatchModel(recall="some")


def test_the_entry_point_leads_to_the_class(plugin: ModuleType) -> None:
    project = tomllib.loads(
        (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    module, _, name = project["entry-points"]["lmms_eval.models"]["longwatch"].partition(":")
    manifest = getattr(importlib.import_module(module), name)()
    assert manifest.model_id == "longwatch"
    module, _, name = manifest.simple_class_path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is plugin.LongwatchModel
    assert plugin.LongwatchModel.is_simple
