"""The parallel pass against streaming, the slow way, and what gradients must reach."""

import torch

from engine.families._video_xl_net import KEY_MAP, VideoXlConfig, VideoXlNet, build, initialise
from engine.nn.decoder import DecoderConfig
from engine.nn.one_pass import Course, lay_out, one_pass
from engine.nn.weights import released_names, slots
from tests.slow_video_xl import SlowVideoXl

CPU = torch.device("cpu")
PREFIX = [3, 1, 4, 1, 5]


def _both() -> tuple[VideoXlNet, SlowVideoXl]:
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
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter.detach()[slot.rows] for key, slot in slots(net).items()}
    return net, SlowVideoXl(weights, config.to_json())


def test_one_pass_equals_streaming() -> None:
    net, slow = _both()
    visual = torch.randn(70, net.decoder.config.width)
    chunks, texts = ((30, 4), (30, 2), (10, 5)), ([5, 6, 7], [8, 9])
    with torch.inference_mode():
        embed = net.decoder.embed
        rows = torch.cat([embed(torch.tensor(PREFIX)), visual])
        rows = torch.cat([rows, *(embed(torch.tensor(text)) for text in texts)])[None]
        course = Course(n_prefix=len(PREFIX), chunks=chunks, texts=(3, 2), is_closed=True)
        logits = net.decoder.logits(one_pass(net.decoder, rows, lay_out(course))[0])
        for i, text in enumerate(texts):
            slow.keys, slow.values = [None] * slow.n_layers, [None] * slow.n_layers
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
    course = Course(n_prefix=len(PREFIX), chunks=((20, 4), (20, 4)), texts=(2,))
    one_pass(net.decoder, rows, lay_out(course))[0, -1].sum().backward()
    assert visual.grad is not None
    assert (visual.grad.abs().sum(-1) > 0).all()


def test_texts_of_one_video_do_not_see_each_other() -> None:
    net, _ = _both()
    visual = torch.randn(16, net.decoder.config.width)
    course = Course(n_prefix=len(PREFIX), chunks=((16, 4),), texts=(2, 3))
    first = []
    with torch.inference_mode():
        for second in ([1, 2, 3], [9, 8, 7]):
            embed = net.decoder.embed
            text = embed(torch.tensor([5, 6, *second]))
            rows = torch.cat([embed(torch.tensor(PREFIX)), visual, text])[None]
            first.append(one_pass(net.decoder, rows, lay_out(course))[0, -5:-3])
    assert torch.equal(first[0], first[1])
