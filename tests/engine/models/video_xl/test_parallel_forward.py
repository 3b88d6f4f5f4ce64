"""The parallel pass against streaming, the slow way: values, loss, gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.evaluation.reference_video_xl import ReferenceVideoXl
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build
from engine.models.video_xl.parallel_forward import (
    SequenceSpec,
    _eager,
    _fused,
    build_layout,
    parallel_forward,
)
from tests.support.random_video_xl import initialise

CPU = torch.device("cpu")
PREFIX = [3, 1, 4, 1, 5]


def _both() -> tuple[VideoXlNet, ReferenceVideoXl]:
    config = DecoderConfig(
        vocab_size=50,
        width=40,
        mlp_width=72,
        n_layers=3,
        n_heads=4,
        n_kv_heads=2,
        head_dim=12,
        rope_theta=1e6,
        qkv_bias=True,
        has_vst=True,
    )
    shape = VideoXlConfig(decoder=config, chunk_tokens=64, compression_ratios=(4,), eos_ids=(2,))
    net = initialise(build(shape, CPU, torch.float32), seed=7)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net, _slow(net)


def _slow(net: VideoXlNet) -> ReferenceVideoXl:
    """The slow way on the same parameters, so that its gradients land there too."""
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter[slot.rows] for key, slot in slots(net).items()}
    return ReferenceVideoXl(weights, net.decoder.config.to_json())


def _gradients(net: VideoXlNet, loss: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {
        name: weight.grad.clone()
        for name, weight in net.named_parameters()
        if weight.grad is not None
    }


def _next_token_loss(logits: Tensor, text: list[int]) -> Tensor:
    return F.cross_entropy(logits[:-1], torch.tensor(text[1:]))


def test_parallel_forward_equals_streaming() -> None:
    net, slow = _both()
    visual = torch.randn(70, net.decoder.config.width)
    chunks, texts = ((30, 4), (30, 2), (10, 5)), ([5, 6, 7], [8, 9])
    with torch.no_grad():
        embed = net.decoder.embed
        rows = torch.cat([embed(torch.tensor(PREFIX)), visual])
        rows = torch.cat([rows, *(embed(torch.tensor(text)) for text in texts)])[None]
        spec = SequenceSpec(n_prefix=len(PREFIX), chunks=chunks, texts=(3, 2), is_closed=True)
        logits = net.decoder.logits(parallel_forward(net.decoder, rows, build_layout(spec))[0])
        for i, text in enumerate(texts):
            slow.forget()
            slow.read_text(PREFIX)
            for part, (_, ratio) in zip(visual.split([30, 30, 10]), chunks, strict=True):
                slow.read_chunk(part, ratio, is_closed=True)
            start = len(PREFIX) + 70 + 3 * i
            ours = logits[start : start + len(text)]
            torch.testing.assert_close(ours, slow.read_text(text), atol=2e-4, rtol=2e-4)


def test_gradients_reach_the_first_chunk_through_its_summary() -> None:
    net, _ = _both()
    visual = torch.randn(40, net.decoder.config.width, requires_grad=True)
    embed = net.decoder.embed
    rows = torch.cat([embed(torch.tensor(PREFIX)), visual, embed(torch.tensor([7, 8]))])[None]
    spec = SequenceSpec(n_prefix=len(PREFIX), chunks=((20, 4), (20, 4)), texts=(2,))
    parallel_forward(net.decoder, rows, build_layout(spec))[0, -1].sum().backward()
    assert visual.grad is not None
    assert (visual.grad.abs().sum(-1) > 0).all()


def test_texts_of_one_video_do_not_see_each_other() -> None:
    net, _ = _both()
    visual = torch.randn(16, net.decoder.config.width)
    spec = SequenceSpec(n_prefix=len(PREFIX), chunks=((16, 4),), texts=(2, 3))
    first = []
    with torch.no_grad():
        for second in ([1, 2, 3], [9, 8, 7]):
            embed = net.decoder.embed
            text = embed(torch.tensor([5, 6, *second]))
            rows = torch.cat([embed(torch.tensor(PREFIX)), visual, text])[None]
            first.append(parallel_forward(net.decoder, rows, build_layout(spec))[0, -5:-3])
    assert torch.equal(first[0], first[1])


def test_loss_and_gradients_equal_window_by_window_streaming_at_mixed_ratios() -> None:
    net, slow = _both()
    chunks = ((32, 2), (32, 16), (32, 4), (32, 8), (13, 4), (32, 16), (7, 8))
    text = [5, 6, 7, 8, 9, 3]
    visual = torch.randn(sum(n for n, _ in chunks), net.decoder.config.width, requires_grad=True)
    embed = net.decoder.embed
    rows = torch.cat([embed(torch.tensor(PREFIX)), visual, embed(torch.tensor(text))])[None]
    spec = SequenceSpec(n_prefix=len(PREFIX), chunks=chunks, texts=(len(text),), is_closed=True)
    hidden = parallel_forward(net.decoder, rows, build_layout(spec))[0, -len(text) :]
    ours = _next_token_loss(net.decoder.logits(hidden), text)
    our_gradients = _gradients(net, ours)
    assert visual.grad is not None
    our_visual, visual.grad = visual.grad, None

    slow.read_text(PREFIX)
    for part, (_, ratio) in zip(visual.split([n for n, _ in chunks]), chunks, strict=True):
        slow.read_chunk(part, ratio, is_closed=True)
    streamed = _next_token_loss(slow.read_text(text), text)
    slow_gradients = _gradients(net, streamed)
    assert visual.grad is not None
    torch.testing.assert_close(ours, streamed, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(our_visual, visual.grad, atol=1e-4, rtol=1e-3)
    assert our_gradients.keys() == slow_gradients.keys()
    for name, gradient in slow_gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, atol=2e-4, rtol=1e-3)


def test_text_between_two_videos_stays_in_memory_as_it_is() -> None:
    net, slow = _both()
    first, between, second, text = torch.randn(20, 40), [7, 8, 9], torch.randn(18, 40), [1, 2]
    with torch.no_grad():
        embed = net.decoder.embed
        words = embed(torch.tensor(PREFIX)), embed(torch.tensor(between)), embed(torch.tensor(text))
        rows = torch.cat([words[0], first, words[1], second, words[2]])[None]
        chunks = ((20, 4), (3, 0), (18, 8))
        spec = SequenceSpec(n_prefix=len(PREFIX), chunks=chunks, texts=(2,), is_closed=True)
        hidden = parallel_forward(net.decoder, rows, build_layout(spec))[0]
        slow.read_text(PREFIX)
        slow.read_chunk(first, 4, is_closed=True)
        between_logits = slow.read_text(between)
        slow.read_chunk(second, 8, is_closed=True)
        text_logits = slow.read_text(text)
    start = len(PREFIX) + 20
    for first_row, logits in ((start, between_logits), (len(rows[0]) - 2, text_logits)):
        ours = net.decoder.logits(hidden[first_row : first_row + len(logits)])
        torch.testing.assert_close(ours, logits, atol=2e-4, rtol=2e-4)


def test_text_alone_needs_no_video() -> None:
    net, slow = _both()
    with torch.no_grad():
        rows = net.decoder.embed(torch.tensor([*PREFIX, 7, 8]))[None]
        spec = SequenceSpec(n_prefix=len(PREFIX), chunks=(), texts=(2,))
        hidden = parallel_forward(net.decoder, rows, build_layout(spec))[0]
        expected = slow.read_text([*PREFIX, 7, 8])
    torch.testing.assert_close(net.decoder.logits(hidden), expected, atol=2e-4, rtol=2e-4)


def test_checkpoints_change_no_gradient() -> None:
    net, _ = _both()
    visual, text = torch.randn(64, net.decoder.config.width), [7, 8, 9]
    spec = SequenceSpec(n_prefix=len(PREFIX), chunks=((32, 4), (32, 8)), texts=(3,))
    gradients = []
    for gradient_checkpointing in (False, True):
        words = net.decoder.embed(torch.tensor([*PREFIX, *text]))
        rows = torch.cat((words[:5], visual, words[5:]))[None]
        hidden = parallel_forward(
            net.decoder, rows, build_layout(spec), gradient_checkpointing=gradient_checkpointing
        )
        loss = _next_token_loss(net.decoder.logits(hidden[0, -3:]), text)
        gradients.append(_gradients(net, loss))
    kept, again = gradients
    assert kept.keys() == again.keys()
    assert all(torch.equal(again[name], gradient) for name, gradient in kept.items())


def test_fused_and_eager_attention_agree() -> None:
    spec = SequenceSpec(n_prefix=3, chunks=((12, 4),), texts=(2,))
    q, k, v = torch.randn(2, 4, 15, 8), torch.randn(2, 2, 18, 8), torch.randn(2, 2, 18, 8)
    first, second, _ = build_layout(spec).blocks
    for block, n_keys in ((first, 3), (second, 18)):
        n = block.end - block.start
        case = q[:, :, :n], k[:, :, :n_keys], v[:, :, :n_keys], block
        torch.testing.assert_close(_fused(*case), _eager(*case), atol=1e-5, rtol=1e-5)
