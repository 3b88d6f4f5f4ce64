"""InternVideo2: clips of any length, each by itself, and attention against the formula."""

import pytest
import torch

from engine.models.apollo.internvideo2 import InternVideo2, InternVideo2Config, fit_frames


def small(**changes: int) -> InternVideo2:
    config = {"image_px": 30, "patch_px": 14, "n_frames": 4, "width": 32, "n_heads": 2}
    shape = InternVideo2Config(**{**config, "mlp_width": 24, "depth": 2, **changes})
    torch.manual_seed(0)
    tower = InternVideo2(shape)
    torch.nn.init.normal_(tower.positions)
    return tower.eval()


def test_features_lie_on_the_grid_of_whole_patches() -> None:
    assert small()(torch.randn(2, 4, 3, 30, 30)).shape == (2, 4, 2, 2, 32)


def test_clips_do_not_see_each_other() -> None:
    tower, clips = small(), torch.randn(3, 4, 3, 30, 30)
    alone = torch.cat([tower(clip[None]) for clip in clips])
    torch.testing.assert_close(tower(clips), alone, atol=1e-5, rtol=0)


def test_a_later_frame_changes_an_earlier_one() -> None:
    tower, clip = small(), torch.randn(1, 4, 3, 30, 30)
    changed = clip.clone()
    changed[:, 3] += 1
    assert (tower(clip) - tower(changed))[:, 0].abs().max() > 1e-4


def test_a_picture_fills_the_clip() -> None:
    tower, picture = small(), torch.randn(1, 1, 3, 30, 30)
    assert torch.equal(tower(picture), tower(picture.expand(-1, 4, -1, -1, -1)))


@pytest.mark.parametrize(
    ("n_given", "kept"),
    [(1, [0, 0, 0, 0]), (2, [0, 0, 1, 1]), (3, [0, 0, 1, 2]), (5, [0, 1, 2, 3]), (9, [0, 2, 4, 6])],
)
def test_clips_of_other_lengths_repeat_or_skip_frames(n_given: int, kept: list[int]) -> None:
    frames = torch.arange(n_given).float().reshape(1, n_given, 1, 1, 1).expand(-1, -1, 3, 2, 2)
    assert fit_frames(frames, 4)[0, :, 0, 0, 0].tolist() == kept


def test_attention_equals_heads_one_by_one() -> None:
    attention = small().blocks[0].attention
    hidden = torch.randn(1, 5, 32)
    query, key, value = attention.qkv(hidden[0]).chunk(3, dim=-1)
    query, key = attention.query_norm(query), attention.key_norm(key)
    heads = []
    for head in range(2):
        own = slice(16 * head, 16 * (head + 1))
        weights = (query[:, own] @ key[:, own].T / 16**0.5).softmax(-1)
        heads.append(weights @ value[:, own])
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(hidden)[0], expected, atol=1e-5, rtol=0)


def test_heads_must_share_the_width_evenly() -> None:
    with pytest.raises(ValueError, match="does not split"):
        small(n_heads=5)
