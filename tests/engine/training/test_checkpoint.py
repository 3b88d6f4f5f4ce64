import resource
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from engine.errors import DiskFullError, WeightsError
from engine.training.checkpoint import (
    FILE,
    PREVIOUS,
    load_checkpoint,
    save_state,
    set_aside,
    training_state,
)
from tests.support.disk_log import record_disk

PLAN = {"n_steps": 10, "rate": 0.1}


def learnt(width: int = 3) -> tuple[nn.Linear, AdamW]:
    torch.manual_seed(1)
    model = nn.Linear(width, 200)
    optimiser = AdamW(model.parameters())
    model(torch.ones(1, width)).sum().backward()
    optimiser.step()
    return model, optimiser


def test_weights_optimiser_and_step_come_back(tmp_path: Path) -> None:
    model, optimiser = learnt()
    assert load_checkpoint(tmp_path, model, optimiser, plan=PLAN) == 0
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    other = nn.Linear(3, 200)
    again = AdamW(other.parameters())
    assert load_checkpoint(tmp_path, other, again, plan=PLAN) == 7
    assert torch.equal(other.weight, model.weight)
    for old, new in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(again.state[new]["exp_avg"], optimiser.state[old]["exp_avg"])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_number_that_an_older_checkpoint_does_not_know_has_its_former_meaning(
    tmp_path: Path,
) -> None:
    model, optimiser = learnt()
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    newer = {**PLAN, "accumulate": 1}
    older = {"accumulate": 1, "n_steps": 99}
    assert load_checkpoint(tmp_path, model, optimiser, plan=newer, older_defaults=older) == 7
    with pytest.raises(WeightsError, match=r"accumulate differs \(1 there, 2 here\)"):
        load_checkpoint(
            tmp_path, model, optimiser, plan={**PLAN, "accumulate": 2}, older_defaults=older
        )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_named_in_one_sentence(tmp_path: Path, share: float) -> None:
    model, optimiser = learnt()
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is damaged \(cut short\)"):
        load_checkpoint(tmp_path, model, optimiser, plan=PLAN)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    model, optimiser = learnt()
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    content = bytearray((tmp_path / FILE).read_bytes())
    at = content.index(model.weight.detach().numpy().tobytes()) + 40
    content[at] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged"):
        load_checkpoint(tmp_path, model, optimiser, plan=PLAN)


def test_what_no_run_has_written_is_refused(tmp_path: Path) -> None:
    model, optimiser = learnt()
    torch.save({"weights": 1}, tmp_path / FILE)
    with pytest.raises(WeightsError, match="another run: version differs"):
        load_checkpoint(tmp_path, model, optimiser, plan=PLAN)
    with zipfile.ZipFile(tmp_path / FILE, "w") as file:
        file.writestr("readme", "nothing")
    with pytest.raises(WeightsError, match="no checkpoint of a run"):
        load_checkpoint(tmp_path, model, optimiser, plan=PLAN)


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, training_state(*learnt()), 7, plan=PLAN)
    with pytest.raises(WeightsError, match="other parts or shapes"):
        load_checkpoint(tmp_path, *learnt(4), plan=PLAN)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    model, optimiser = learnt()
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DiskFullError, match="step 8"):
            save_state(tmp_path, training_state(model, optimiser), 8, plan=PLAN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_checkpoint(tmp_path, model, optimiser, plan=PLAN) == 7
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_checkpoint_is_flushed_before_it_replaces_the_one_before(tmp_path: Path) -> None:
    model, optimiser = learnt()
    with record_disk(tmp_path) as log:
        save_state(tmp_path, training_state(model, optimiser), 1, plan={})
    temporary = f".{FILE}.part"
    assert log.entries == [
        ("fsync", temporary),
        ("rename", temporary, FILE),
        ("fsync", f"{tmp_path.name}/"),
    ]


def test_an_earlier_run_is_kept_under_another_name(tmp_path: Path) -> None:
    model, optimiser = learnt()
    set_aside(tmp_path)
    save_state(tmp_path, training_state(model, optimiser), 7, plan=PLAN)
    set_aside(tmp_path)
    assert load_checkpoint(tmp_path, model, optimiser, plan=PLAN) == 0
    assert (tmp_path / PREVIOUS).is_file()
