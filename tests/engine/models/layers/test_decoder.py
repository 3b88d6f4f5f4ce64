"""The decoder against transformers, and its cached steps against one full pass."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from engine.models.layers.decoder import KEY_MAP, Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.weights import fill

SIZES = {
    "vocab_size": 101,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rope_theta": 1e6,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}


def _both(kind: str, *, tied: bool) -> tuple[torch.nn.Module, Decoder]:
    torch.manual_seed(0)
    if kind == "qwen2":
        theirs = Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=tied)).eval()
    else:
        theirs = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=tied)).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    ours = Decoder(DecoderConfig.from_json(theirs.config.to_dict())).eval()
    tensors = [(k, v) for k, v in theirs.state_dict().items() if not (tied and "lm_head" in k)]
    fill(ours, tensors, KEY_MAP, source=kind)
    return theirs, ours


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_decoder_equals_transformers(kind: str, tied: bool) -> None:
    theirs, ours = _both(kind, tied=tied)
    ids = torch.randint(0, SIZES["vocab_size"], (1, 23))
    with torch.inference_mode():
        hidden = ours.extend(ours.embed(ids), ours.buffer(32))
        expected = theirs(ids).logits
        torch.testing.assert_close(ours.logits(hidden), expected, atol=1e-4, rtol=1e-4)


def test_cached_steps_equal_one_full_pass() -> None:
    _, ours = _both("qwen2", tied=False)
    x = torch.randn(2, 19, ours.config.width)
    with torch.inference_mode():
        whole = ours.extend(x, ours.buffer(19, batch=2))
        memory = ours.buffer(2, batch=2)
        parts = [ours.extend(part, memory) for part in x.split([7, 1, 1, 9, 1], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_attention_weights_sum_to_one_over_all_keys() -> None:
    _, ours = _both("qwen2", tied=False)
    attn_weights: list[torch.Tensor] = []
    with torch.inference_mode():
        ours.extend(
            torch.randn(1, 9, 48), ours.buffer(9), attn_weights=attn_weights, n_query_rows=2
        )
    assert len(attn_weights) == 3
    assert attn_weights[0].shape == (1, 2, 9)
    torch.testing.assert_close(attn_weights[0].sum(-1), torch.ones(1, 2))
    assert attn_weights[0][0, 0, -1] == 0
