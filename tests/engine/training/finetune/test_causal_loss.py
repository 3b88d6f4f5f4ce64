"""The loss of spliced samples: equal to decoding step by step, blind to padding."""

import pytest
import torch
import torch.nn.functional as F

from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.splice import IGNORED_LABEL, PaddedBatch
from engine.training.finetune.causal_loss import causal_loss, run_causal

SHAPE = DecoderConfig(
    vocab_size=16, width=16, mlp_width=24, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=4
)


def decoder() -> Decoder:
    torch.manual_seed(0)
    return Decoder(SHAPE).eval()


def test_one_pass_equals_decoding_token_by_token() -> None:
    model, rows = decoder(), torch.randn(1, 9, 16)
    buffer, stepped = model.buffer(9), []
    with torch.no_grad():
        for idx in range(9):
            stepped.append(model.extend(rows[:, idx : idx + 1], buffer))
    whole = run_causal(model, rows)
    torch.testing.assert_close(whole, torch.cat(stepped, dim=1), atol=1e-5, rtol=0)


def test_loss_is_that_of_the_labelled_tokens_alone() -> None:
    model, rows = decoder(), torch.randn(1, 6, 16)
    labels = torch.tensor([[IGNORED_LABEL] * 3 + [5, 7, 2]])
    batch = PaddedBatch(rows, labels, torch.ones(1, 6, dtype=torch.bool))
    logits = model.logits(run_causal(model, rows))[0, 2:5]
    expected = F.cross_entropy(logits, torch.tensor([5, 7, 2]))
    torch.testing.assert_close(causal_loss(model, batch), expected)


def test_padding_behind_changes_nothing() -> None:
    model, rows = decoder(), torch.randn(1, 4, 16)
    labels = torch.tensor([[IGNORED_LABEL, 3, 4, 5]])
    short = PaddedBatch(rows, labels, torch.ones(1, 4, dtype=torch.bool))
    padded = PaddedBatch(
        F.pad(rows, (0, 0, 0, 3)),
        F.pad(labels, (0, 3), value=IGNORED_LABEL),
        torch.tensor([[True] * 4 + [False] * 3]),
    )
    torch.testing.assert_close(causal_loss(model, short), causal_loss(model, padded))


def test_a_batch_without_labels_is_a_mistake() -> None:
    labels = torch.full((1, 4), IGNORED_LABEL)
    batch = PaddedBatch(torch.randn(1, 4, 16), labels, torch.ones(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least one label"):
        causal_loss(decoder(), batch)
