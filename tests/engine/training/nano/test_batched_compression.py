import pytest
import torch

from engine.models.layers.decoder import Decoder, KvTrace
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix
from engine.tensors import KvLatents
from engine.training.nano.batched_compression import (
    compress_chunks,
    keep_whole_chunks,
    run_prefix,
    run_text,
    select_chunks,
)

CONFIG = DecoderConfig(
    vocab_size=40, width=32, mlp_width=48, n_layers=4, n_heads=4, n_kv_heads=2, head_dim=8,
    qkv_bias=True, is_tied=True, has_vst=True,
)  # fmt: skip


def decoder() -> Decoder:
    torch.manual_seed(0)
    net = Decoder(CONFIG)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net.eval()


@pytest.mark.parametrize("past", [None, 0, 1, 2])
@pytest.mark.parametrize("ratios", [(2, 2, 2, 2), (8, 8, 8, 8), (4, 8, 2, 16)])
def test_all_chunks_at_once_equals_chunk_by_chunk(
    past: int | None, ratios: tuple[int, ...]
) -> None:
    net = decoder()
    tokens = torch.randn(2, 4, 16, 32)
    prefix = torch.randn(5, 32)
    with torch.no_grad():
        compressed = compress_chunks(
            net, tokens, run_prefix(net, prefix), ratios, max_past_chunks=past
        )
        slots = max(compressed.n_vst)
        for video in range(2):
            kept = []
            for idx, ratio in enumerate(ratios):
                seen = kept[max(0, idx - past) :] if past is not None else kept
                cache = open_cache(net, prefill_prefix(net, prefix), seen, n_more=64)
                kept.append(compress_chunk(tokens[video, idx], cache, interleave(16, ratio)))
                ours = slice(idx * slots, idx * slots + compressed.n_vst[idx])
                for depth, (keys, values) in enumerate(compressed.kv):
                    torch.testing.assert_close(
                        keys[video, :, ours], kept[-1].keys[depth], atol=2e-5, rtol=1e-4
                    )
                    torch.testing.assert_close(
                        values[video, :, ours], kept[-1].values[depth], atol=2e-5, rtol=1e-4
                    )


@pytest.mark.parametrize("past", [None, 0, 2])
def test_chunks_kept_whole_equal_a_decoder_that_reads_them_in_turn(past: int | None) -> None:
    net = decoder()
    rows, prefix = torch.randn(2, 4, 6, 32), torch.randn(5, 32)
    with torch.no_grad():
        compressed = keep_whole_chunks(net, rows, run_prefix(net, prefix), max_past_chunks=past)
        for video in range(2):
            kept: list[KvLatents] = []
            for idx in range(4):
                seen = kept[max(0, idx - past) :] if past is not None else kept
                cache = open_cache(net, prefill_prefix(net, prefix), seen, n_more=16)
                written = KvTrace([], [])
                net.extend(rows[video, idx : idx + 1], cache.buffer, kv_trace=written)
                keys, values = torch.cat(written.keys), torch.cat(written.values)
                kept.append(KvLatents(keys=keys, values=values))
                for depth, (k, v) in enumerate(compressed.kv):
                    ours = slice(6 * idx, 6 * idx + 6)
                    torch.testing.assert_close(k[video, :, ours], keys[depth], atol=2e-5, rtol=1e-4)
                    torch.testing.assert_close(
                        v[video, :, ours], values[depth], atol=2e-5, rtol=1e-4
                    )


def test_text_over_chosen_chunks_equals_text_over_a_memory_of_them() -> None:
    net = decoder()
    tokens, prefix = torch.randn(2, 3, 16, 32), torch.randn(5, 32)
    ids = torch.randint(0, 40, (1, 6))
    with torch.no_grad():
        sink = run_prefix(net, prefix)
        compressed = compress_chunks(net, tokens, sink, (8, 8, 8))
        picked = select_chunks(compressed, torch.tensor([[1, 0]]), torch.tensor([[0, 2]]))
        question = torch.tensor([[0, 0, 0, 0, 1, 1]])
        offset = torch.tensor([[0, 1, 2, 3, 0, 1]])
        rows = run_text(net, sink, picked, ids, question, offset)
        for start, end in ((0, 4), (4, 6)):
            recalled = []
            for video, chunk in ((1, 0), (0, 2)):
                whole = open_cache(net, prefill_prefix(net, prefix), n_more=64)
                for idx in range(chunk + 1):
                    latents = compress_chunk(tokens[video, idx], whole, interleave(16, 8))
                    whole.append([latents])
                recalled.append(latents)
            buffer = open_cache(net, prefill_prefix(net, prefix), recalled, n_more=64)
            expected = net.extend(net.embed(ids[:, start:end]), buffer.buffer)
            torch.testing.assert_close(rows[:, start:end], expected, atol=2e-5, rtol=1e-4)


def test_the_loss_reaches_the_first_chunk_through_later_ones() -> None:
    net = decoder()
    tokens = torch.randn(1, 3, 16, 32, requires_grad=True)
    sink = run_prefix(net, torch.randn(5, 32))
    compressed = compress_chunks(net, tokens, sink, (4, 4, 4))
    picked = select_chunks(compressed, torch.tensor([[0]]), torch.tensor([[2]]))
    question = torch.zeros(1, 3, dtype=torch.int64)
    run_text(net, sink, picked, torch.tensor([[1, 2, 3]]), question,
              torch.arange(3)[None]).square().sum().backward()  # fmt: skip
    assert tokens.grad is not None
    assert tokens.grad[0, 0].abs().sum() > 0
