from dataclasses import replace

import torch

from engine.models.layers.decoder import Decoder
from engine.models.tiny import DECODER, randomise
from tests.bench.weight_formats import FORMATS, drift, figures
from tests.support.turned_matrices import turn_matrices


def test_scores_that_are_the_same_do_not_drift() -> None:
    scores = torch.randn(3, 20)
    assert drift(scores, scores) == {
        "mean_difference": 0.0,
        "spread_of_native": round(float(scores.std(1).mean()), 3),
        "divergence_nats": 0.0,
        "same_first_word": 1.0,
    }
    assert drift(scores, -scores)["same_first_word"] == 0.0


def test_fewer_bits_are_fewer_bytes_of_layers() -> None:
    decoders = {}
    for weights in FORMATS:
        decoder = Decoder(replace(DECODER, width=64)).requires_grad_(False)
        randomise(decoder, seed=0)
        turn_matrices(decoder, weights)
        decoders[weights] = decoder
    rows = figures(decoders, 2)
    sizes = [rows[weights]["layers_mb"] for weights in FORMATS]
    assert sizes == sorted(sizes, reverse=True)
    assert rows["native"]["times_native"] == 1.0
