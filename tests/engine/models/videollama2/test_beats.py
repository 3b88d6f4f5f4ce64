"""Filter banks against a loop over frames and bins, and the tower against its parts."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.models.layers.towers import Tower
from engine.models.tiny import randomise
from engine.models.videollama2.beats import BeatsConfig, BeatsTower, distance_buckets, filter_banks
from engine.models.videollama2.checkpoint import load_net, save_net
from engine.models.videollama2.model import VARIANTS
from engine.models.videollama2.net import build

TINY = BeatsConfig(
    embed_dim=16,
    encoder_layers=2,
    encoder_embed_dim=32,
    encoder_ffn_embed_dim=48,
    encoder_attention_heads=4,
    conv_pos=16,
    conv_pos_groups=4,
    num_buckets=32,
    max_distance=64,
)


def _mel(hertz: float) -> float:
    return 1127.0 * math.log(1.0 + hertz / 700.0)


def _slow_row(samples: torch.Tensor) -> list[float]:
    """One row of filter banks in float64, one mel band after the other."""
    frame = samples.double() * 32768
    frame = frame - frame.mean()
    emphasised = frame.clone()
    emphasised[0] -= 0.97 * frame[0]
    emphasised[1:] -= 0.97 * frame[:-1]
    n = torch.arange(400, dtype=torch.float64)
    window = (0.5 - 0.5 * torch.cos(2 * math.pi * n / 399)) ** 0.85
    padded = torch.cat([emphasised * window, torch.zeros(112, dtype=torch.float64)])
    power = torch.fft.fft(padded).abs() ** 2
    edges = torch.linspace(_mel(20.0), _mel(8000.0), 130, dtype=torch.float64).tolist()
    row = []
    for low, peak, high in zip(edges, edges[1:], edges[2:], strict=False):
        energy = 0.0
        for idx in range(256):
            mel = _mel(idx * 31.25)
            if low < mel < high:
                weight = (mel - low) / (peak - low) if mel <= peak else (high - mel) / (high - peak)
                energy += weight * power[idx].item()
        row.append(math.log(max(energy, torch.finfo(torch.float32).eps)))
    return row


def test_filter_banks_equal_the_definition() -> None:
    torch.manual_seed(0)
    samples = torch.randn(1000) * 0.1
    banks = filter_banks(samples)
    assert banks.shape == (1 + (1000 - 400) // 160, 128)
    for idx, start in ((0, 0), (3, 480)):
        expected = torch.tensor(_slow_row(samples[start : start + 400]))
        torch.testing.assert_close(banks[idx], expected, atol=1e-3, rtol=0)


def test_thirty_seconds_give_the_released_shape() -> None:
    banks = filter_banks(torch.zeros(480_000))
    assert banks.shape == (2998, 128)
    assert banks.unique().tolist() == pytest.approx([-15.9424], abs=1e-4)


def test_less_than_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one frame"):
        filter_banks(torch.zeros(399))


def test_a_tone_is_loudest_in_its_own_band() -> None:
    time_s = torch.arange(16_000) / 16_000
    banks = filter_banks(0.5 * torch.sin(2 * math.pi * 1000 * time_s))
    step = (_mel(8000.0) - _mel(20.0)) / 129
    assert banks.mean(0).argmax().item() == round((_mel(1000.0) - _mel(20.0)) / step) - 1


def test_buckets_are_exact_when_near_and_signed() -> None:
    buckets = distance_buckets(torch.arange(-100, 101)[None], 32, 64)[0].tolist()
    near = {distance: buckets[100 + distance] for distance in range(-7, 8)}
    assert near == {d: abs(d) + (16 if d > 0 else 0) for d in range(-7, 8)}
    assert buckets[0] == 15
    assert buckets[-1] == 31


def test_tower_gives_eight_tokens_for_every_sixteen_rows() -> None:
    torch.manual_seed(0)
    tower = BeatsTower(TINY).eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
        banks = filter_banks(torch.randn(11_200) * 0.1)
        tokens = tower(banks)
        changed = tower(banks + torch.nn.functional.one_hot(torch.tensor(0), 128) * 3)
    assert banks.shape[0] == 68
    assert tokens.shape == (4 * 8, 32)
    assert not torch.allclose(tokens, changed)


def test_released_tower_has_the_published_parameters() -> None:
    with torch.device("meta"):
        tower = BeatsTower(BeatsConfig())
    count = sum(parameter.numel() for parameter in tower.parameters())
    # Checkpoints repeat the shared table for each layer and bring a classifier that is not used.
    repeated, classifier = 11 * 320 * 12, 527 * 768 + 527
    assert round((count - repeated + classifier) / 1e6, 1) == 90.7


def test_config_keeps_sizes_and_leaves_what_training_needs() -> None:
    config = BeatsConfig.from_json({"encoder_layers": 3, "encoder_layerdrop": 0.05})
    assert config == BeatsConfig(encoder_layers=3)


@pytest.mark.parametrize("embed_dim", [16, 32])
def test_a_checkpoint_of_either_shape_fits_strictly(embed_dim: int) -> None:
    """Patches as wide as the encoder need no projection, and released code then makes none."""
    tower = BeatsTower(replace(TINY, embed_dim=embed_dim)).eval()
    names = set(tower.state_dict())
    projection = {"post_extract_proj.weight", "post_extract_proj.bias"}
    assert projection & names == (projection if embed_dim == 16 else set())
    torch.manual_seed(0)
    with torch.inference_mode():
        for parameter in tower.parameters():
            parameter.normal_(0.0, 0.1)
        tokens = tower(torch.randn(32, 128))
    assert tokens.shape == (16, TINY.encoder_embed_dim)
    assert tokens.isfinite().all()


def test_a_checkpoint_whose_patches_are_as_wide_as_its_encoder_loads(tmp_path: Path) -> None:
    tiny = VARIANTS["tiny"]
    assert tiny.hearing is not None
    wide = replace(tiny.hearing.tower, embed_dim=tiny.hearing.tower.encoder_embed_dim)
    config = replace(tiny, hearing=replace(tiny.hearing, tower=wide))
    net = build(config, torch.device("cpu"), torch.float32)
    randomise(net, seed=0)
    save_net(net, tmp_path, variant="tiny", tower=Tower(config.tower))
    loaded = load_net(tmp_path, torch.device("cpu"), torch.float32)
    banks = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded.tokens_of(banks), net.tokens_of(banks))
