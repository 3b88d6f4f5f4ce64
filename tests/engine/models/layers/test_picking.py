"""Choice of the next id: greedy, and draws that a seed repeats."""

import torch
from torch import Tensor

from engine.models.layers.picking import Picker
from engine.protocols import Sampling


def _picks(sampling: Sampling, logits: Tensor, n: int = 1) -> list[int]:
    picker, picked = Picker(sampling, logits), []
    for _ in range(n):
        picker.draw_noise()
        picked.append(int(picker.pick(logits)))
    return picked


def test_greedy_takes_the_largest() -> None:
    assert _picks(Sampling(), torch.tensor([0.1, 3.0, 2.9])) == [1]


def test_a_seed_repeats_and_another_differs() -> None:
    logits = torch.zeros(1000)
    draws = [_picks(Sampling(temperature=1.0, seed=seed), logits) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_a_draw_is_the_one_that_torch_makes_of_the_same_seed() -> None:
    logits = torch.randn(500, generator=torch.Generator().manual_seed(5))
    random = torch.Generator().manual_seed(7)
    chances, order = (logits / 0.8).softmax(-1).sort(descending=True)
    chances[chances.cumsum(-1) - chances >= 0.9] = 0
    drawn = [int(order[torch.multinomial(chances, 1, generator=random)]) for _ in range(20)]
    assert _picks(Sampling(temperature=0.8, top_p=0.9, seed=7), logits, 20) == drawn


def test_top_p_never_draws_from_the_tail() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    assert set(_picks(Sampling(temperature=1.0, top_p=0.6, seed=0), logits, 200)) == {0, 1}


def test_the_first_choice_stays_however_small_top_p_is() -> None:
    logits = torch.tensor([0.0, 1.0, 0.9])
    assert set(_picks(Sampling(temperature=1.0, top_p=1e-6, seed=0), logits, 50)) == {1}


def test_a_low_temperature_sharpens() -> None:
    logits = torch.tensor([0.0, 1.0, 0.5])
    assert set(_picks(Sampling(temperature=0.01, seed=0), logits, 50)) == {1}
