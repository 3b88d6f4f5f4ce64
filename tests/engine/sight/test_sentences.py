"""Sentence vectors: the network against transformers' own, and what the cosine says."""

import pytest
import torch

from engine.errors import WeightsError
from engine.sight.sentences import Bert, SentenceEncoder


def random_bert() -> "tuple[torch.nn.Module, dict[str, torch.Tensor]]":
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=16,
        initializer_range=0.5,
    )
    theirs = transformers.BertModel(config).eval()
    return theirs, dict(theirs.state_dict())


def test_states_equal_transformers_for_texts_of_different_lengths() -> None:
    theirs, weights = random_bert()
    ours = Bert(weights, n_heads=3).eval()
    ids = torch.randint(1, 50, (3, 9))
    mask = torch.arange(9)[None] < torch.tensor([9, 4, 1])[:, None]
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        states = ours(ids, mask)
    assert (states - expected)[mask].abs().max() < 1e-4


def test_a_weight_without_a_place_is_refused() -> None:
    _, weights = random_bert()
    weights["encoder.layer.0.attention.self.extra"] = torch.zeros(1)
    with pytest.raises(WeightsError, match="extra"):
        Bert(weights, n_heads=3)


def test_a_missing_weight_is_named() -> None:
    _, weights = random_bert()
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(WeightsError, match=r"layer\.1\.output\.dense\.bias"):
        Bert(weights, n_heads=3)


def test_texts_of_one_meaning_are_near_and_a_batch_changes_nothing() -> None:
    encoder = SentenceEncoder()
    texts = ["a dog", "a puppy", "the stock market fell on Monday by more than three percent"]
    together = encoder.encode(texts)
    alone = torch.cat([encoder.encode([text]) for text in texts])
    assert (together - alone).abs().max() < 1e-5
    assert together[0] @ together[1] > 0.6 > 0.3 > together[0] @ together[2]
    assert encoder.encode([]).shape == (0, 384)
