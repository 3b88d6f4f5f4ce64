"""Products of layers: whichever library computes them, they are torch's."""

import platform
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from engine.models.layers import products
from engine.models.layers.products import LEAST_PRODUCTS, Linear, add_linear, linear

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="this torch has no oneDNN",
)


@pytest.fixture
def onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_prefers_onednn", lambda: True)


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


@needs_onednn
@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize("shape", [(1, 512), (300, 512), (2, 150, 512)])
def test_product_is_that_of_torch(shape: tuple[int, ...]) -> None:
    layer = Linear(512, 8192)
    x = rows(*shape)
    assert x.numel() * 8192 >= LEAST_PRODUCTS
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
        part = linear(x, layer.weight[64:4160], None)
        torch.testing.assert_close(part, F.linear(x, layer.weight[64:4160]))


@needs_onednn
@pytest.mark.usefixtures("onednn")
def test_sum_is_added_and_its_summand_left_alone() -> None:
    x, others, weight = rows(300, 256), rows(300, 512), rows(256, 512)
    before = x.clone()
    with torch.inference_mode():
        wanted = x.double() + others.double() @ weight.double().T
        torch.testing.assert_close(
            add_linear(x, others, weight).double(), wanted, rtol=1e-5, atol=2e-4
        )
    assert torch.equal(x, before)


@needs_onednn
@pytest.mark.usefixtures("onednn")
@pytest.mark.parametrize(
    "x",
    [
        rows(512 * 16),
        rows(0, 512 * 16),
        rows(1, 512 * 16).expand(30, -1),
        rows(30, 1).expand(-1, 512 * 16),
        rows(30, 512 * 32)[:, ::2],
        rows(512 * 16, 30).t(),
        rows(15, 2, 512 * 16).transpose(0, 1),
    ],
    ids=["one row", "no rows", "one repeated", "one channel", "gaps", "columns", "turned"],
)
def test_rows_may_lie_anyhow(x: torch.Tensor) -> None:
    weight, bias = rows(512, 512 * 16), rows(512)
    with torch.inference_mode():
        wanted = F.linear(x.contiguous(), weight, bias)
        torch.testing.assert_close(linear(x, weight, bias), wanted, rtol=1e-5, atol=2e-3)


@needs_onednn
@pytest.mark.usefixtures("onednn")
def test_only_whole_matrices_and_biases_leave_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other library takes minutes for some of these, and reads others wrong."""
    weight, bias, x = rows(4096, 512), rows(4096), rows(300, 512)

    def refuse(*_: object) -> None:
        raise AssertionError("this product belongs to torch")

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", refuse)
    with torch.inference_mode():
        for matrix in (
            rows(4096, 600)[:, :512],
            rows(512, 4096).t(),
            rows(1, 512).expand(4096, -1),
        ):
            assert torch.equal(linear(x, matrix, None), F.linear(x, matrix))
        for summand in (rows(8192)[::2], rows(1).expand(4096)):
            assert torch.equal(linear(x, weight, summand), F.linear(x, weight, summand))
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, weight, bias).dtype == torch.bfloat16
        with pytest.raises(AssertionError, match="belongs to torch"):
            linear(x, weight, bias)


@needs_onednn
@pytest.mark.usefixtures("onednn")
def test_rows_do_not_depend_on_those_beside_them() -> None:
    x, weight = rows(700, 512), rows(1024, 512)
    with torch.inference_mode():
        assert torch.equal(linear(x, weight, None)[:300], linear(x[:300], weight, None))


@pytest.mark.usefixtures("onednn")
def test_gradients_and_other_numbers_take_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = Linear(512, 8192), rows(300, 512)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    with torch.inference_mode():
        half = x.bfloat16()
        weight = layer.weight.bfloat16()
        assert torch.equal(linear(half, weight, None), F.linear(half, weight))


def test_library_is_chosen_by_the_processor_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = products._prefers_onednn.__wrapped__
    for vendor in ("GenuineIntel", ""):
        monkeypatch.setattr(products, "_vendor", lambda vendor=vendor: vendor)
        assert not choose()
    monkeypatch.setattr(products, "_vendor", lambda: "AuthenticAMD")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert not choose()


def test_vendor_is_read_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(
        Path, "read_text", lambda *_, **__: "processor\t: 0\nvendor_id\t: AuthenticAMD\n"
    )
    assert products._vendor() == "AuthenticAMD"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert products._vendor() == ""
