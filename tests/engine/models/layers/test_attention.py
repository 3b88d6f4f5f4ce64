"""Every form of attention against the formula, written out."""

import pytest
import torch
from torch import Tensor

from engine.models.layers import attention
from engine.models.layers.attention import Current, attend, attention_weights, build_mask


def _plain(q: Tensor, k: Tensor, v: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax attention with repeated heads and a full mask; output and weights."""
    repeat = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
    scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~visible, float("-inf")).softmax(-1)
    return weights @ v, weights.mean(1)


def _case(n_past: int, n_query: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(n_past + n)
    q = torch.randn(2, 6, n_query, 8) * 3
    k, v = torch.randn(2, 2, n_past + n, 8), torch.randn(2, 2, n_past + n, 8)
    return q, k, v


def _with_past(n_past: int, current: Tensor) -> Tensor:
    return torch.cat((torch.ones(current.shape[0], n_past, dtype=torch.bool), current), 1)


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("n_past", [0, 1, 37])
@pytest.mark.parametrize("n", [1, 2, 19])
@pytest.mark.parametrize("kind", ["all", "causal", "mask"])
def test_attention_is_the_formula(
    kind: str, n: int, n_past: int, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "DENSE_ENTRIES", 0 if is_long else 1 << 30)
    visible = {
        "all": torch.ones(n, n, dtype=torch.bool),
        "causal": torch.ones(n, n, dtype=torch.bool).tril(),
        "mask": torch.ones(5, n, dtype=torch.bool).tril(n - 5) | torch.eye(5, n).bool(),
    }[kind]
    visible[:, 0] = True
    current: Current = visible
    if kind in ("all", "causal"):
        current = "all" if kind == "all" else "causal"
    q, k, v = _case(n_past, visible.shape[0], n)
    mask = build_mask(n_past, current, n, 3, like=q)
    expected, _ = _plain(q, k, v, _with_past(n_past, visible))
    torch.testing.assert_close(attend(q, k, v, mask), expected, atol=1e-5, rtol=1e-5)


def test_blocks_of_keys_give_the_same_as_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK_KEYS", 7)
    q, k, v = _case(0, 20, 20)
    folded = q.reshape(2, 2, 60, 8)
    mask = torch.zeros(60, 20).masked_fill(
        ~torch.ones(20, 20, dtype=torch.bool).tril().repeat(3, 1), float("-inf")
    )
    out, lse = attention._blockwise(folded, k, v, mask)
    kernel, kernel_lse = attention._with_lse(q, k, v, mask, False)
    torch.testing.assert_close(out.reshape(q.shape), kernel, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse.reshape(2, 6, 20), kernel_lse, atol=1e-5, rtol=1e-5)


def test_weights_are_the_mean_over_heads() -> None:
    q, k, v = _case(11, 4, 4)
    visible = torch.ones(4, 4, dtype=torch.bool).tril()
    mask = build_mask(11, visible, 4, 3, like=q, is_exact=True)
    _, expected = _plain(q, k, v, _with_past(11, visible))
    torch.testing.assert_close(attention_weights(q, k, mask), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["causal", "mask"])
def test_an_accelerator_merges_as_the_processor_does(kind: str, dtype: torch.dtype) -> None:
    q, k, v = _case(3000, 300, 300)
    visible = torch.ones(300, 300, dtype=torch.bool).tril()
    expected, _ = _plain(q, k, v, _with_past(3000, visible))
    device = torch.device("cuda")
    q, k, v = (part.to(device, dtype) for part in (q, k, v))
    current: Current = "causal" if kind == "causal" else visible.to(device)
    ours = attend(q, k, v, build_mask(3000, current, 300, 3, like=q)).float().cpu()
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=tolerance)
