"""Connectors: frame-wise lifting equals whole clips, and the token grid is what it says."""

import pytest
import torch

from engine.models.videollama2.stc import SAMPLERS, StcConnector


@pytest.mark.parametrize("kind", SAMPLERS)
@pytest.mark.parametrize(("n_frames", "side"), [(4, 6), (5, 7), (2, 4)])
def test_folding_projected_frames_equals_the_whole_clip(
    kind: str, n_frames: int, side: int
) -> None:
    torch.manual_seed(0)
    connector = StcConnector(kind, 8, 8).eval()
    patches = torch.randn(n_frames, side * side, 8)
    with torch.inference_mode():
        whole = connector(patches[None])[0]
        projected = torch.cat([connector.project_frames(frame[None]) for frame in patches])
        torch.testing.assert_close(connector.downsample(projected), whole, atol=1e-5, rtol=1e-4)
    frames, rows, cols = connector.grid_of(n_frames, side)
    assert whole.shape == (frames * rows * cols, 8)


@pytest.mark.parametrize(("kind", "n_frames"), [(k, n) for k in SAMPLERS for n in (2, 3, 4, 5)])
def test_frames_left_over_are_the_ones_that_change_nothing(kind: str, n_frames: int) -> None:
    torch.manual_seed(0)
    connector = StcConnector(kind, 8, 8).eval()
    projected = torch.randn(n_frames, 16, 8)
    changed = projected.clone()
    changed[-1] += 1.0
    with torch.inference_mode():
        is_unseen = torch.equal(connector.downsample(projected), connector.downsample(changed))
    assert is_unseen == (connector.frames_left_over(n_frames) > 0)


@pytest.mark.parametrize(
    ("kind", "n_frames", "side", "tokens"),
    [
        ("stc_connector", 8, 24, 845),
        ("stc_connector", 16, 24, 1521),
        ("stc_connector_v35", 16, 27, 1352),
        ("stc_connector_v35", 32, 27, 2704),
    ],
)
def test_released_sizes_give_the_published_token_counts(
    kind: str, n_frames: int, side: int, tokens: int
) -> None:
    frames, rows, cols = StcConnector(kind, 4, 4).grid_of(n_frames, side)
    assert frames * rows * cols == tokens


@pytest.mark.parametrize(
    ("tower_width", "width", "millions"), [(1024, 4096, 489.2), (1152, 3584, 376.9)]
)
def test_released_sizes_have_the_published_parameters(
    tower_width: int, width: int, millions: float
) -> None:
    with torch.device("meta"):
        connector = StcConnector("stc_connector", tower_width, width)
    assert len(connector.state_dict()) == 113
    count = sum(parameter.numel() for parameter in connector.parameters())
    assert round(count / 1e6, 1) == millions


def test_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="stc_connector_v35"):
        StcConnector("stc_connector_v36", 8, 8)


def test_connector_without_stages_keeps_its_width() -> None:
    with pytest.raises(ValueError, match="keeps its width"):
        StcConnector("spatial_pool", 8, 12)


def test_patches_that_form_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square"):
        StcConnector("stc_connector", 8, 8).project_frames(torch.zeros(2, 12, 8))
