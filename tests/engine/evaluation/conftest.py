"""The engine over the colour model, for everything that is measured."""

from tests.engine.pipeline.conftest import build

__all__ = ["build"]
