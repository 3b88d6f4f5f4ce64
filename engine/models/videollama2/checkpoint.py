"""VideoLLaMA 2's checkpoint folders: key map, strict loader and writer.

A folder may be a full release, adapters with what was trained beside them, or the connector of a
first training stage; the two latter need the folder of the model below.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers import decoder as decoders
from engine.models.layers import lora
from engine.models.layers.config_fit import config_fits
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.expert_files import ExpertFiles
from engine.models.layers.tied_head import tied_key_map
from engine.models.layers.towers import (
    Tower,
    TowerConfig,
    TowerFiles,
    find_tower,
    load_tower,
    pixels_of,
)
from engine.models.layers.weights import (
    fill,
    keys_of,
    read_config,
    read_file,
    read_tensors,
    save,
    shape_of,
    under,
    write_json,
)
from engine.models.videollama2.beats import BeatsConfig
from engine.models.videollama2.connectors import is_known, known_kinds
from engine.models.videollama2.net import (
    RELEASED_WINDOW_S,
    HearingConfig,
    VideoLlama2Config,
    VideoLlama2Net,
    build,
)
from engine.models.videollama2.prompts import RELEASED_FRAMES

KEY_MAP = (
    *under("", decoders.KEY_MAP, "decoder."),
    # Ablations: one linear layer, or several that are counted.
    ("model.mm_projector.weight", "connector.layers.weight"),
    ("model.mm_projector.bias", "connector.layers.bias"),
    ("model.mm_projector.*.weight", "connector.layers.*.weight"),
    ("model.mm_projector.*.bias", "connector.layers.*.bias"),
    ("model.mm_projector.**", "connector.**"),
    ("model.mm_projector_a.**", "audio_projector.**"),
    ("model.audio_tower.predictor.*", ""),
    ("model.audio_tower.**", "audio_tower.**"),
    ("model.vision_tower.vision_tower.vision_model.embeddings.position_ids", ""),
    ("model.vision_tower.vision_tower.**", "tower.**"),
)
ADAPTERS = "adapter_model.safetensors"
CONNECTOR = "mm_projector.bin"
"""Files of a folder that holds adapters, or a connector, in place of a whole model."""
TOWER_NAME = "tower"
"""Folder of the stand-alone tower in checkpoints that we write."""


def read(folder: Path, files: TowerFiles | None, *, base: Path | None = None) -> VideoLlama2Config:
    """Read the family's config from a checkpoint folder and the files of its tower.

    Args:
        folder: With config.json.
        files: Of the tower; `None` where the config itself states its sizes.
        base: Where the decoder's weights lie, if not in the folder.
    Raises:
        WeightsError: It asks for what no release of ours uses.
    """
    raw = read_config(folder)
    _refuse_others(raw)
    tower = _stated_tower(raw) if files is None else files.config.vision_only()
    model_type = str(raw.get("model_type", ""))
    return VideoLlama2Config(
        decoder=_decoder(base or folder, raw),
        tower=tower,
        pixels=pixels_of(tower) if files is None else files.pixels,
        connector=raw.get("mm_projector_type", "stc_connector"),
        chunk_frames=raw.get("num_frames") or RELEASED_FRAMES,
        select_layer=raw.get("mm_vision_select_layer", -2),
        hearing=_hearing(base or folder, raw) if raw.get("mm_audio_tower") else None,
        is_qwen="qwen" in model_type,
    )


def find_files(folder: Path, given: Path | None = None) -> TowerFiles | None:
    """Find the stand-alone tower that a checkpoint names; `None` if its config states the sizes.

    Raises:
        WeightsError: It is not there, and not a tower whose sizes are known.
    """
    raw = read_config(folder)
    if given is None and isinstance(raw.get("vision_config"), dict):
        return None
    return find_tower(folder, str(raw.get("mm_vision_tower")), given)


def load_net(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    base: Path | None = None,
    experts: ExpertBudget | None = None,
) -> VideoLlama2Net:
    """Load the weights of a checkpoint folder, strictly.

    Args:
        folder: A full release, adapters with what was trained beside them, or a connector alone.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The tower's folder, if not the one that the config names.
        base: Where the weights come from that the folder does not hold.
        experts: Bytes of experts that stay near; `None` holds all of them on the device.
    Raises:
        WeightsError: Keys missing, left over, or of another shape.
        InputRefusedError: A budget was given, and there are no experts; or adapters, which are
            fused into all of them.
    """
    if base is None and _is_part(folder):
        below = read_config(folder).get("_name_or_path", "another model")
        raise WeightsError(
            f"{folder} holds only what was trained on top of {below}",
            hint="give the folder of that model too",
        )
    with config_fits(folder, "VideoLLaMA 2"):
        files = find_files(folder, tower)
        config = read(folder, files, base=base)
        source = None if experts is None else _expert_files(folder, base, config.decoder, dtype)
        net = build(config, device, dtype, without_experts=source is not None)
    rows = config.decoder.vocab_size
    filled = fill(
        net,
        stored_tensors(folder, base) if source is None else _beside(source, folder),
        tied_key_map(KEY_MAP, base or folder) if config.decoder.is_tied else KEY_MAP,
        source=str(folder),
        cut_rows={"decoder.embed.weight": rows, "decoder.head.weight": rows},
        optional=r"tower\..*",
    )
    _complete_tower(net, filled, files, folder)
    if source is not None and experts is not None:
        net.expert_files = source
        net.experts = source.attach(net.decoder, experts, device)
    return net


def stored_tensors(folder: Path, base: Path | None = None) -> Iterator[tuple[str, Tensor]]:
    """Read all tensors of a model: a folder's own, adapters fused, and the rest from its base."""
    if base is None:
        return chain(read_tensors(folder), _audio_file(folder))
    if (folder / ADAPTERS).is_file():
        return _adapted(folder, base)
    own = dict(read_file(folder / CONNECTOR) if _is_part(folder) else read_tensors(folder))
    return chain(own.items(), read_tensors(base, wanted=lambda key: key not in own))


def _expert_files(
    folder: Path, base: Path | None, config: DecoderConfig, dtype: torch.dtype
) -> ExpertFiles:
    """Find the experts that a budget may leave in their files."""
    if not config.n_experts:
        raise InputRefusedError(
            f"a budget of experts is set, but {folder.name} has none",
            hint="leave that budget out",
        )
    if base is not None:
        raise InputRefusedError(
            f"a budget of experts is set, but {folder.name} is only a part of a model",
            hint="merge it into its base first, or hold all experts on the device",
        )
    return ExpertFiles(folder, config, dtype)


def _beside(source: ExpertFiles, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Read a release without its experts, of which shapes alone are checked."""
    rest = read_tensors(folder, wanted=lambda key: not source.holds(key))
    return chain(source.headers(), rest, _audio_file(folder))


def _is_part(folder: Path) -> bool:
    """Tell whether a folder holds adapters, or a connector, and no whole model."""
    if (folder / ADAPTERS).is_file():
        return True
    return (folder / CONNECTOR).is_file() and not any(folder.glob("*model*.safetensors"))


def _adapted(folder: Path, base: Path) -> Iterator[tuple[str, Tensor]]:
    """Fuse adapters into their base at the strength they were trained with."""
    halves = read_file(folder / ADAPTERS)
    named = ((key.removeprefix("base_model.model."), half) for key, half in halves)
    alpha = float(read_config(folder, "adapter_config.json")["lora_alpha"])
    adapted, own = lora.adapters(named, source=str(folder)), dict[str, Tensor]()
    beside = folder / "non_lora_trainables.bin"
    if beside.is_file():
        for key, tensor in read_file(beside):
            # peft's wrapper puts `base_model.model.` before the model's own `model.`.
            bare = key.removeprefix("base_model.")
            own[bare.removeprefix("model.") if bare.startswith("model.model.") else bare] = tensor
    rest = read_tensors(base, wanted=lambda key: key not in own)
    return lora.fuse(chain(own.items(), rest), adapted, alpha, source=str(folder))


def _audio_file(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Read the audio tower from its own file, where the shards do not hold it."""
    named = read_config(folder).get("mm_audio_tower")
    if not named or any(key.startswith("model.audio_tower.") for key in keys_of(folder)):
        return
    path = folder / Path(named).name
    if not path.is_file():
        raise WeightsError(
            f"{folder} holds no audio tower, neither in its shards nor as {path.name}"
        )
    prefix = "model.audio_tower."
    for key, value in read_file(path):
        # BEATs' own releases wrap the tensors and bring their config beside them.
        if key == "model" and isinstance(value, Mapping):
            yield from ((prefix + inner, tensor) for inner, tensor in value.items())
        elif isinstance(value, Tensor):
            yield prefix + key.removeprefix(prefix), value


def save_net(
    net: VideoLlama2Net, folder: Path, *, variant: str, tower: Tower, n_shards: int = 1
) -> None:
    """Write config and weights as released, and a full tower with its text side beside them.

    Args:
        net: Its tower goes under the checkpoint's own keys.
        folder: Exists.
        variant: Written into the config.
        tower: Stand-alone; with a text side it gives the joint space.
        n_shards: More than one writes an index.
    """
    save(net, folder, KEY_MAP, n_shards=n_shards)
    write_json(folder / "config.json", _to_json(net.config, variant))
    beside = folder / TOWER_NAME
    beside.mkdir(exist_ok=True)
    save(tower, beside, (("**", "**"),))
    write_json(beside / "config.json", tower.config.to_json())
    write_json(beside / "preprocessor_config.json", net.config.pixels.to_json())


def _to_json(config: VideoLlama2Config, variant: str) -> dict[str, Any]:
    kind = "qwen2" if config.is_qwen else "mixtral" if config.decoder.n_experts else "mistral"
    fields = {
        "architectures": [f"Videollama2{kind.capitalize()}ForCausalLM"],
        "model_type": f"videollama2_{kind}",
        "variant": variant,
        **config.decoder.to_json(),
        "mm_vision_tower": TOWER_NAME,
        "mm_hidden_size": config.tower.vision["hidden_size"],
        "mm_projector_type": config.connector,
        "mm_vision_select_layer": config.select_layer,
        "mm_vision_select_feature": "patch",
        "num_frames": config.chunk_frames,
    }
    if config.hearing is not None:
        fields |= {
            "mm_audio_tower": "audio_tower.bin",
            "mm_projector_a_type": f"mlp{config.hearing.n_projections}x_gelu",
            "mm_hidden_size_a": config.hearing.tower.encoder_embed_dim,
            "audio_config": asdict(config.hearing.tower),
            "audio_window_s": config.hearing.window_s,
        }
    return fields


def _decoder(folder: Path, raw: Mapping[str, Any]) -> DecoderConfig:
    """Read the decoder's sizes; configs overstate the vocabulary, so the embedding's rows count."""
    config = DecoderConfig.from_json(raw)
    shape = shape_of(folder, "model.embed_tokens.weight")
    return replace(config, vocab_size=min(shape[0], config.vocab_size)) if shape else config


def _hearing(folder: Path, raw: Mapping[str, Any]) -> HearingConfig:
    # Derived configs name the projector's kind wrongly; its keys do not lie.
    # A config alone, by which memory is planned, stands for a release.
    is_bare = not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin"))
    n_linear = sum(
        key.startswith("model.mm_projector_a.") and key.endswith("weight")
        for key in (() if is_bare else keys_of(folder))
    )
    return HearingConfig(
        tower=BeatsConfig.from_json(raw.get("audio_config", {})),
        n_projections=n_linear or 2,
        window_s=raw.get("audio_window_s", RELEASED_WINDOW_S),
    )


def _stated_tower(raw: Mapping[str, Any]) -> TowerConfig:
    is_siglip = "siglip" in str(raw.get("mm_vision_tower", "")).lower()
    return TowerConfig(kind="siglip" if is_siglip else "clip", vision=dict(raw["vision_config"]))


def _complete_tower(
    net: VideoLlama2Net, filled: Mapping[str, bool], files: TowerFiles | None, folder: Path
) -> None:
    """Fill the tower from its own folder when the checkpoint leaves it out altogether."""
    ours = [name for name in filled if name.startswith("tower.")]
    missing = [name for name in ours if not filled[name]]
    if not missing:
        return
    if len(missing) < len(ours):
        raise WeightsError(f"{folder} lacks some of its tower's weights: {missing[0]}, ...")
    if files is None or files.folder is None:
        raise WeightsError(
            f"{folder} brings no weights of its vision tower, nor is there a folder with them",
            hint="put the tower's folder beside the weights",
        )
    load_tower(net.tower, files.folder)


def _refuse_others(raw: Mapping[str, Any]) -> None:
    """Refuse a config that asks for anything else, by its first such field."""
    kind = raw.get("mm_projector_type", "stc_connector")
    if not is_known(kind):
        raise WeightsError(
            f"config.json has mm_projector_type {kind!r}; supported: {known_kinds()}"
        )
    feature = raw.get("mm_vision_select_feature", "patch")
    if feature not in ("patch", None):
        raise WeightsError(
            f"config.json has mm_vision_select_feature {feature!r}; supported: 'patch'"
        )
