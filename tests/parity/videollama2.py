"""VideoLLaMA 2: DAMO-NLP-SG/VideoLLaMA2 at c0bb03a (video) and 8cedfbd (audio).

transformers 4.44.2, float32, eager attention. Tolerance 1e-4 absolute, with two exceptions:
filter banks 1e-3, where the logarithm of nearly empty bands magnifies float32 rounding, and their
bfloat16 rounding 0.125, one step at this size, since a value on the edge may fall to either side.
Towers are fed the case's own rounded banks. Ids, indices and prompts must be equal. Weights go
through the loader of real checkpoints.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.models.layers.preprocess import PixelConfig, prepare
from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID, splice, splice_batch
from engine.models.layers.weights import fill, read_file
from engine.models.videollama2.beats import SAMPLE_RATE_HZ, BeatsConfig, BeatsTower, filter_banks
from engine.models.videollama2.checkpoint import KEY_MAP, load_net
from engine.models.videollama2.net import VideoLlama2Net
from engine.models.videollama2.prompts import LAYOUTS, RELEASED_FRAMES
from engine.models.videollama2.stc import SAMPLERS, StcConnector
from tests.parity._case import (
    Quantity,
    checkpoint,
    config_of,
    difference,
    drawn_frames,
    mismatches,
)
from tests.support.paper_sampling import (
    videollama2_audio_windows,
    videollama2_frames,
    videollama2_frames_by_second,
)

CPU = torch.device("cpu")
BANKS_TOLERANCE, BFLOAT16_STEP = 1e-3, 0.125
TAG_IDS = {"<image>": -200, "<video>": -201, "<audio>": -202}
"""Upstream's ids of the tags, which no vocabulary has."""
FRAMES_LIMIT = 32
"""Upstream drops every frame from here on without a word."""


def recognises(folder: Path) -> bool:
    """Tell by the fields of the case's config, or the names of its prompts."""
    return _kind(folder) is not None


@torch.inference_mode()
def run(folder: Path) -> Mapping[str, Quantity]:
    """Compare every expected number of a case with ours."""
    runs = {
        "full": _full,
        "connector": _connector,
        "beats": _beats,
        "track": _track,
        "preprocess": _preprocess,
        "prompts": _prompts,
    }
    return runs[_kind(folder) or ""](folder)


def _kind(folder: Path) -> str | None:
    if (folder / "prompts.json").is_file():
        return "prompts" if "special_tokens" in _read(folder / "prompts.json") else None
    config = config_of(folder)
    if str(config.get("model_type", "")).startswith("videollama2"):
        return "full"
    if config.get("mm_projector_type") in SAMPLERS and "grid" in config:
        return "connector"
    if "clip" in config and "siglip" in config:
        return "preprocess"
    fields = {"encoder_embed_dim": "beats", "clips_per_video": "track"}
    return next((kind for field, kind in fields.items() if field in config), None)


def _full(folder: Path) -> Mapping[str, Quantity]:
    expected = load_file(folder / "tensors.safetensors")
    with checkpoint(folder) as home:
        case = _Case(load_net(home, CPU, torch.float32), expected)
    quantities = case.parts()
    for name, ids, tokens in case.prompts():
        merged = case.merge(ids, tokens)
        quantities[f"logits_{name}"] = Quantity(
            difference(case.logits(merged)[None], expected[f"logits_{name}"])
        )
        if f"inputs_embeds_{name}" in expected:
            embeds = expected[f"inputs_embeds_{name}"]
            quantities[f"embeds_{name}"] = Quantity(difference(merged[None], embeds))
        if f"attention_mask_{name}" in expected:
            ones = torch.ones(1, merged.shape[0]).long()
            quantities[f"mask_{name}"] = mismatches(ones, expected[f"attention_mask_{name}"])
        greedy = "greedy_ids_av" if name == "av" else "greedy_ids" if name == "video" else ""
        if greedy in expected:
            n_ids = expected[greedy].shape[1]
            quantities["greedy"] = mismatches(case.greedy(merged, n_ids)[None], expected[greedy])
    return quantities | (case.batch() if "batch_input_ids" in expected else {})


class _Case:
    """One net and the tensors that it should reproduce."""

    def __init__(self, net: VideoLlama2Net, expected: Mapping[str, Tensor]) -> None:
        self.net, self.expected = net, expected
        self.video = self._see("video")
        # A stream takes an image as a clip of one frame; upstream repeats it to a clip's length.
        self.image = self._see("image") if "image" in expected else None
        self.audio = self._hear(expected["fbank_bf16_as_f32"][0]) if self.hears else None

    @property
    def hears(self) -> bool:
        """Whether the case brings sound."""
        return "fbank_bf16_as_f32" in self.expected

    def parts(self) -> dict[str, Quantity]:
        """Compare the output of towers and projectors."""
        expected, net = self.expected, self.net
        features, _ = net.tower.run(expected["video"], net.config.select_layer, with_vectors=False)
        ours = {"vision_features": features, "video_tokens": self.video[None]}
        if self.image is not None:
            ours["image_tokens"] = self.image[None]
        quantities = {}
        if self.audio is not None:
            assert net.audio_tower is not None
            banks = expected["fbank_bf16_as_f32"][0]
            ours["audio_features"] = net.audio_tower(banks)[None]
            ours["audio_tokens"] = self.audio[None]
            if "waveform_int16" in expected:
                own = filter_banks(_floats(expected["waveform_int16"].flatten()))
                rounded = own.bfloat16().float()
                quantities["banks"] = Quantity(difference(rounded, banks), BFLOAT16_STEP)
        return quantities | {
            name: Quantity(difference(tensor, expected[name])) for name, tensor in ours.items()
        }

    def prompts(self) -> list[tuple[str, Tensor, Tensor]]:
        """List the kinds of input that the case holds: name, ids, and the tokens of its tag."""
        none, kinds = torch.zeros(0, self.video.shape[1]), dict[str, tuple[str, Tensor]]()
        kinds["video"] = kinds["video_only"] = ("video", self.video)
        kinds["text"] = ("text", none)
        if self.image is not None:
            kinds["image"] = ("image", self.image)
        if self.audio is not None:
            silence = torch.full_like(self.expected["fbank_bf16_as_f32"][0], 0)
            silence += filter_banks(torch.zeros(400))[0].bfloat16().float()
            kinds["av"] = ("video", torch.cat((self.video, self.audio)))
            kinds["av_silent"] = ("video", torch.cat((self.video, self._hear(silence))))
            kinds["audio_only"] = ("audio", self.audio)
        return [
            (name, self.expected[f"input_ids_{ids}"][0], tokens)
            for name, (ids, tokens) in kinds.items()
            if f"logits_{name}" in self.expected
        ]

    def merge(self, ids: Tensor, tokens: Tensor) -> Tensor:
        """Embed a prompt."""
        return splice(self.net.decoder.embed, self._opened(ids, ids, len(tokens))[0], tokens)

    def logits(self, rows: Tensor) -> Tensor:
        """Compute the logits of every row."""
        decoder = self.net.decoder
        return decoder.logits(decoder.extend(rows[None], decoder.buffer(rows.shape[0])))[0]

    def greedy(self, rows: Tensor, n_ids: int) -> Tensor:
        """Decode the first ids of the answer."""
        decoder, ids = self.net.decoder, list[int]()
        memory = decoder.buffer(rows.shape[0])
        hidden = decoder.extend(rows[None], memory)
        for _ in range(n_ids):
            ids.append(int(decoder.logits(hidden[0, -1]).argmax()))
            hidden = decoder.extend(decoder.embed(torch.tensor([ids[-1:]])), memory)
        return torch.tensor(ids)

    def batch(self) -> dict[str, Quantity]:
        """Compare labels around the tags of a batch, and its loss."""
        expected, samples, labels = self.expected, [], []
        # Features follow the order of the samples, whatever their tags say: a video, then images.
        others = self.video if self.image is None else self.image
        rows = zip(expected["batch_input_ids"], expected["batch_labels_in"], strict=True)
        for row, (ids, targets) in enumerate(rows):
            tokens = others if row else self.video
            opened, stretched = self._opened(ids, targets, len(tokens))
            samples.append((opened, tokens))
            labels.append(stretched)
        batch = splice_batch(self.net.decoder.embed, samples, labels, max_tokens=10**9)
        # The mask that upstream feeds grows in front, so its padding still stands at the end.
        logits = torch.stack([self.logits(rows) for rows in batch.embeddings])
        loss = F.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORED_LABEL
        )
        return {
            "batch_labels": mismatches(batch.labels, expected["batch_labels_expanded"]),
            "batch_loss": Quantity(difference(loss.reshape(1), expected["batch_loss"])),
        }

    def _see(self, name: str) -> Tensor:
        pixels = self.expected[name]
        if name == "image":
            pixels = pixels.expand(self.net.config.chunk_frames, -1, -1, -1)
        projected, _ = self.net.visual_tokens(pixels)
        return self.net.compress(projected)

    def _hear(self, banks: Tensor) -> Tensor:
        return self.net.tokens_of(banks)

    def _opened(self, ids: Tensor, values: Tensor, n_tokens: int) -> tuple[Tensor, Tensor]:
        """Make room in ids for the tag's tokens, and stretch values alike."""
        is_tag = torch.isin(ids, torch.tensor(list(TAG_IDS.values())))
        repeats = torch.where(is_tag, n_tokens, 1)
        opened = ids.masked_fill(is_tag, PLACEHOLDER_ID).repeat_interleave(repeats)
        return opened, values.repeat_interleave(repeats)


def _connector(folder: Path) -> Mapping[str, Quantity]:
    config, expected = config_of(folder), load_file(folder / "tensors.safetensors")
    net = StcConnector(config["mm_projector_type"], config["mm_hidden_size"], config["hidden_size"])
    tensors = read_file(folder / "weights.safetensors")
    named = ((f"model.mm_projector.{key}", tensor) for key, tensor in tensors)
    fill(nn.ModuleDict({"connector": net}), named, KEY_MAP, source=str(folder))
    # clip frame row col channel -> clip frame patch channel
    clips = expected["input"].flatten(2, -2)
    acts: dict[str, list[Tensor]] = {"act_s1": [], "act_sampler": [], "act_s2": []}
    hooks = [
        getattr(net, key.removeprefix("act_")).register_forward_hook(
            lambda _module, _inputs, output, held=held: held.append(output)
        )
        for key, held in acts.items()
    ]
    quantities = {"output": Quantity(difference(net(clips), expected["output"]))}
    for hook in hooks:
        hook.remove()
    for key, held in acts.items():
        if key in expected:
            quantities[key] = Quantity(difference(torch.cat(held), expected[key]))
    return quantities


def _beats(folder: Path) -> Mapping[str, Quantity]:
    config, expected = config_of(folder), load_file(folder / "tensors.safetensors")
    tower = BeatsTower(BeatsConfig.from_json(config))
    width, n_in = config["hidden_size"], config["encoder_embed_dim"]
    projector = nn.Sequential(nn.Linear(n_in, width), nn.GELU(), nn.Linear(width, width))
    parts = nn.ModuleDict({"audio_tower": tower, "audio_projector": projector})
    tensors = read_file(folder / "weights.safetensors")
    named = ((f"model.{key}", tensor) for key, tensor in tensors)
    fill(parts, named, KEY_MAP, source=str(folder))
    worst: dict[str, float] = {}
    for row, waveform in enumerate(expected["waveform_int16"]):
        own = filter_banks(_floats(waveform))
        banks = expected["fbank_bf16_as_f32"][row]
        layers: list[Tensor] = []
        hook = tower.encoder.layers[0].register_forward_hook(
            lambda _module, _inputs, output, held=layers: held.append(output)
        )
        encoded = tower(banks)
        hook.remove()
        ours = {
            "fbank": own,
            "fbank_bf16_as_f32": own.bfloat16().float(),
            "patch_embedding": tower.patches(banks),
            "encoder_input": tower.encoder.place(tower.embed(banks)),
            "layer0_output": layers[0],
            "encoder_output": encoded,
            "audio_tokens": projector(encoded),
        }
        for name, tensor in ours.items():
            worst[name] = max(worst.get(name, 0.0), difference(tensor, expected[name][row]))
    rows = expected["fbank_of_silence"].shape[0]
    silence = filter_banks(torch.zeros(400 + 160 * (rows - 1)))
    worst["fbank_of_silence"] = difference(silence, expected["fbank_of_silence"])
    looser = {"fbank": BANKS_TOLERANCE, "fbank_bf16_as_f32": BFLOAT16_STEP}
    return {
        name: Quantity(error, looser[name]) if name in looser else Quantity(error)
        for name, error in worst.items()
    }


def _track(folder: Path) -> Mapping[str, Quantity]:
    """Compare the sound of a video, as upstream's evaluation feeds it."""
    config, expected = config_of(folder), load_file(folder / "tensors.safetensors")
    n_target = round(config["target_seconds"] * config["sample_rate"])
    cut = {"n_windows": config["clips_per_video"], "window_s": float(config["clip_duration"])}
    quantities = {"windows": _windows(_read(folder / "clip_times.json"), cut)}
    for name, rows in expected.items():
        label = name.removeprefix("fbank_").removesuffix("_rows")
        if name.endswith("_rows"):
            track = _floats(expected[f"waveform_{label}_int16"])
            banks = _heard(track, n_target, cut).bfloat16().float()
            shape = [1, *banks.shape]
            quantities[f"shape_{label}"] = _equal([shape], [config["full_fbank_shape"]])
            step = -(-banks.shape[0] // rows.shape[0])
            quantities[label] = Quantity(difference(banks[::step], rows), BFLOAT16_STEP)
    if "fbank_missing_track_unique" in expected:
        no_progress = filter_banks(torch.zeros(n_target)).bfloat16().float().unique()
        quantities["missing"] = Quantity(
            difference(no_progress, expected["fbank_missing_track_unique"])
        )
    return quantities


def _heard(track: Tensor, n_target: int, cut: Mapping[str, Any]) -> Tensor:
    windows = videollama2_audio_windows(len(track) / SAMPLE_RATE_HZ, **cut)
    joined = torch.cat([track[slice(*_samples(window, len(track)))] for window in windows])
    return filter_banks(F.pad(joined, (0, max(0, n_target - len(joined))))[:n_target])


def _samples(window: tuple[float, float], n_samples: int) -> tuple[int, int]:
    start, end = (int(edge_s * SAMPLE_RATE_HZ) for edge_s in window)
    return start, min(end, n_samples)


def _windows(times: Mapping[str, Any], cut: Mapping[str, Any]) -> Quantity:
    off = 0
    for duration, expected in times.items():
        windows = videollama2_audio_windows(float(duration), **cut)
        n_samples = int(float(duration) * SAMPLE_RATE_HZ)
        ranges = [list(_samples(window, n_samples)) for window in windows]
        edges = (
            torch.tensor(windows).double() - torch.tensor(expected["start_end_seconds"]).double()
        )
        off += int(ranges != expected["sample_ranges_clipped"]) + int(edges.abs().max() > 1e-6)
        off += int(sum(end - start for start, end in ranges) != expected["concatenated_samples"])
    return Quantity(float(off), 0.0)


def _preprocess(folder: Path) -> Mapping[str, Quantity]:
    config, expected = config_of(folder), load_file(folder / "tensors.safetensors")
    n_frames, quantities = config["num_frames"], dict[str, Quantity]()
    frames = drawn_frames(n_frames, config["height"], config["width"])
    for kind in ("clip", "siglip"):
        fields = config[kind] | {"do_center_crop": kind == "clip"}
        shown = PixelConfig.from_json({**fields, "crop_size": config["size"]})
        padded = PixelConfig.from_json({**fields, "crop_size": config["size"], "fit": "letterbox"})
        quantities[f"{kind}_nopad"] = Quantity(
            difference(prepare(frames, shown), expected[f"{kind}_nopad"])
        )
        quantities[f"{kind}_pad"] = Quantity(
            difference(prepare(frames, padded), expected[f"{kind}_pad"])
        )
        if f"{kind}_nopad_short" in expected:
            # Upstream fills a clip of two frames with black ones; a stream of ours never does.
            short = torch.cat((frames[:2], torch.zeros_like(frames[2:])))
            quantities[f"{kind}_short"] = Quantity(
                difference(prepare(short, shown), expected[f"{kind}_nopad_short"])
            )
    side = max(config["height"], config["width"])
    square = PixelConfig.from_json({**config["clip"], "size": side, "fit": "letterbox"})
    mean, std = (torch.tensor(levels)[:, None, None] for levels in (square.mean, square.std))
    bytes_back = ((prepare(frames[:1], square)[0] * std + mean) * 255).round().to(torch.uint8)
    quantities["square"] = mismatches(bytes_back.permute(1, 2, 0), expected["expanded_frame0"])
    return quantities | _frames(_read(folder / "frame_indices.json"))


def _frames(cases: Mapping[str, Any]) -> dict[str, Quantity]:
    uniform, by_second = cases["uniform"], cases["fps"]
    return {
        "frames": _equal(
            [videollama2_frames(case["duration"], case["num_frames"]) for case in uniform],
            [case["indices"] for case in uniform],
        ),
        "frames_by_second": _equal(
            [videollama2_frames_by_second(case["duration"], case["fps"]) for case in by_second],
            [case["indices"] for case in by_second],
        ),
    }


def _prompts(folder: Path) -> Mapping[str, Quantity]:
    """Compare every string; the question is read from the barest layout."""
    texts = _read(folder / "prompts.json")
    question = texts["legacy_plain"].partition("\n")[2] if "legacy_plain" in texts else ""
    quantities, special = dict[str, Quantity](), texts["special_tokens"]
    quantities["special_tokens"] = _equal(
        [TAG_IDS, IGNORED_LABEL, RELEASED_FRAMES, FRAMES_LIMIT],
        [
            special["indices"],
            special["ignore_index"],
            special["num_frames_default"],
            special["max_frames"],
        ],
    )
    for name, expected in texts.items():
        if name.startswith("legacy_"):
            layout = LAYOUTS[name.removeprefix("legacy_")]
            quantities[name] = _equal([layout.render(question)], [expected])
        elif name.startswith("tokenise_"):
            prompt, tag = expected["prompt"], expected["token"]
            ids = _split_at_tags(prompt, tag, lambda text: [ord(letter) for letter in text])
            quantities[name] = _equal([ids], [expected["input_ids"]])
    return quantities


def _split_at_tags(prompt: str, tag: str, encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Encode a prompt part by part, each tag replaced by its id.

    Args:
        prompt: With any number of tags.
        tag: A key of `TAG_IDS`, or empty to encode the prompt as it is.
        encode: Text to ids without special tokens.
    """
    if not tag:
        return list(encode(prompt))
    first, *rest = (list(encode(part)) for part in prompt.split(tag))
    return first + [token for part in rest for token in (TAG_IDS[tag], *part)]


def _floats(waveform: Tensor) -> Tensor:
    return waveform.float() / 32768


def _equal(ours: list[Any], expected: list[Any]) -> Quantity:
    pairs = zip(ours, expected, strict=True)
    return Quantity(float(sum(mine != theirs for mine, theirs in pairs)), 0.0)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
