"""The loss of a sequence against the golden case and against streaming; what a sample shows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.weights import slots, translate
from engine.models.video_xl.model import write_tiny
from engine.models.video_xl.net import KEY_MAP, VideoXlNet, load_net
from engine.records import Turn
from engine.training.data.samples import Sample
from engine.training.finetune.stage_config import select_parts
from engine.training.finetune.video_xl import (
    SequencePart,
    TaskSamples,
    VideoXlStage,
    VideoXlTask,
    draw_ratio,
    sequence_loss,
)
from tests.support.short_training import write_data

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[3] / "golden" / "video_xl" / "08_train_loss"
STAGE = VideoXlStage(
    name="some", rates={"decoder.": 1e-3, "projector.": 1e-3}, mixture={}, ratios=(2, 4, 8, 16)
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video_xl")
    write_tiny(folder)
    write_data(folder, {"video": 3, "image": 2})
    return folder


def build_task(home: Path, stage: VideoXlStage = STAGE) -> tuple[VideoXlNet, VideoXlTask]:
    net = load_net(home, CPU, torch.float32)
    module, _ = select_parts(net, stage)
    unused: list[Sample] = []
    samples = TaskSamples(draw=lambda _: unused[0], per_step=1, measured={})
    return net, VideoXlTask(net, Tokenizer.load(home), stage, module, samples)


def sample(home: Path, *names: str, marked: tuple[tuple[str | Path, ...], ...] = ()) -> Sample:
    turns = (Turn(question="ab", answer="cd"),)
    return Sample(
        location="x", media=tuple(home / name for name in names), turns=turns, marked=marked
    )


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_loss_and_gradients_agree_with_the_golden_case(gradient_checkpointing: bool) -> None:
    case = json.loads((GOLDEN / "case.json").read_text())
    expected = load_file(GOLDEN / "tensors.safetensors")
    net = load_net(GOLDEN, CPU, torch.float32)
    embed, labels = net.decoder.embed, expected["labels_expanded"].tolist()
    visual = expected["image_features"].clone().requires_grad_()
    n_before, n_behind = len(expected["prefix_ids"]), len(expected["question_ids"])
    ratios = iter(case["ratio_schedule"])
    loss = sequence_loss(
        net.decoder,
        [
            SequencePart(embed(expected["prefix_ids"]), labels[:n_before]),
            SequencePart(visual, None),
            SequencePart(embed(expected["question_ids"]), labels[-n_behind:]),
        ],
        window=net.config.chunk_tokens,
        ratio_of=lambda _: next(ratios),
        gradient_checkpointing=gradient_checkpointing,
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected["loss"].item(), abs=1e-4)
    assert visual.grad is not None
    torch.testing.assert_close(visual.grad, expected["grad_image_features"], atol=1e-4, rtol=0)
    by_name = slots(net)
    for name, norm in case["grad_norms"].items():
        slot = by_name[str(translate(name, KEY_MAP))]
        gradient = slot.parameter.grad
        ours = 0.0 if gradient is None else float(gradient[slot.rows].norm())
        assert ours == pytest.approx(norm, abs=1e-4), name


def test_without_ratios_the_plain_decoder_runs(home: Path) -> None:
    net, _ = build_task(home)
    rows, labels = torch.randn(20, 48), [IGNORED_LABEL] * 17 + [5, 6, 7]
    parts = [SequencePart(rows[:10], None), SequencePart(rows[10:], labels[10:])]
    loss = sequence_loss(net.decoder, parts, window=16, ratio_of=None)
    memory = net.decoder.buffer(20)
    with torch.no_grad():
        logits = net.decoder.logits(net.decoder.extend(rows[None], memory)[0, 16:19])
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([5, 6, 7])))


def test_the_one_pass_equals_what_the_product_streams(home: Path) -> None:
    net, task = build_task(home)
    given = sample(home, "2.mp4")
    with torch.no_grad():
        ours = task.sample_loss(given, None)
        before, media, behind = task._parts(given)
    from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix

    with torch.inference_mode():
        memory = open_cache(net.decoder, prefill_prefix(net.decoder, before.rows))
        for window in media.rows.split(net.config.chunk_tokens):
            memory.append(
                (compress_chunk(window, memory, interleave(len(window), 8, is_closed=True)),)
            )
        hidden = net.decoder.extend(behind.rows[None], memory.buffer)[0]
        assert before.labels is not None
        assert behind.labels is not None
        sink = net.decoder.buffer(len(before.rows))
        first = net.decoder.extend(before.rows[None], sink)[0]
        logits = net.decoder.logits(torch.cat((first[:-1], hidden[:-1])))
        targets = torch.tensor([*before.labels[1:], *behind.labels[1:]])
        # The row before what is seen predicts nothing, the last one seen the first word behind.
        streamed = F.cross_entropy(logits, targets, ignore_index=IGNORED_LABEL)
    assert behind.labels[0] == IGNORED_LABEL
    torch.testing.assert_close(ours, streamed, atol=1e-4, rtol=1e-4)


def test_a_ratio_divides_its_window_where_any_does() -> None:
    random = np.random.default_rng(0)
    drawn = {draw_ratio((2, 4, 8, 16), 32, random) for _ in range(50)}
    assert drawn == {2, 4, 8, 16}
    assert {draw_ratio((2, 4, 8, 16), 12, random) for _ in range(50)} == {2, 4}
    assert {draw_ratio((2, 4), 7, random) for _ in range(50)} == {2, 4}


def test_samples_of_every_shape_give_gradients_to_what_learns(home: Path) -> None:
    net, task = build_task(home)
    shapes = {
        "video": sample(home, "0.mp4"),
        "text alone": sample(home),
        "images and videos in their places": sample(
            home,
            "0.png",
            "1.mp4",
            marked=(("Is ", home / "0.png", " in ", home / "1.mp4", "?"),),
        ),
        "images in front": sample(home, "0.png", "1.png"),
    }
    for name, shaped in shapes.items():
        net.zero_grad()
        task.sample_loss(shaped, np.random.default_rng(0)).backward()  # type: ignore[no-untyped-call]
        assert net.projector is not None
        has_gradient = net.projector.inner.weight.grad is not None
        assert has_gradient == (name != "text alone"), name
        assert net.decoder.embed.weight.grad is not None, name


def test_frames_are_bounded_over_all_media_of_a_sample(home: Path) -> None:
    few = VideoXlStage(name="few", rates=STAGE.rates, mixture={}, ratios=(2,), max_frames=4)
    _, task = build_task(home, few)
    per_frame = 4
    alone = task._parts(sample(home, "2.mp4"))[1]
    assert len(alone.rows) <= 4 * per_frame
    both = task._parts(sample(home, "1.mp4", "2.mp4"))[1]
    assert len(both.rows) <= 4 * per_frame
