"""The entry in lmms-eval's registry of models."""

from lmms_eval.models.registry_v2 import ModelManifest


def manifest() -> ModelManifest:
    """Return the names under which lmms-eval finds the model, and where its class lies."""
    return ModelManifest(
        model_id="longwatch",
        simple_class_path="app.lmms_plugin.model.LongwatchModel",
        aliases=("longwatch_memory",),
    )
