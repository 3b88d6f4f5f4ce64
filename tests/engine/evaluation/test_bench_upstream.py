"""The published code beside the engine, with a stand-in for it that is laid out the same."""

import sys
from pathlib import Path

import pytest
import torch

from engine.errors import InputRefusedError, MissingCapabilityError
from engine.evaluation.bench import prefill
from engine.evaluation.bench._upstream import find_upstream, run_upstream
from engine.models.layers.decoder_config import DecoderConfig

STAND_IN = """
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file

from engine.evaluation.reference_video_xl import ReferenceVideoXl


class LlavaQwenForCausalLM:
    def __init__(self, folder, attention):
        self.raw = json.loads((Path(folder) / "config.json").read_text())
        self.config = SimpleNamespace(vocab_size=self.raw["vocab_size"])
        weights = {}
        for file in Path(folder).glob("*.safetensors"):
            weights |= load_file(file)
        self.weights, self.is_eager = weights, attention == "eager"
        self.memory = SimpleNamespace(reset=self.forget)

    def forget(self):
        self.net = ReferenceVideoXl(self.weights, self.raw, is_eager=self.is_eager)

    @classmethod
    def from_pretrained(cls, folder, *, torch_dtype, attn_implementation):
        return cls(folder, attn_implementation)

    def resize_token_embeddings(self, n):
        self.n_rows = n

    def eval(self):
        return self

    def __call__(
        self, *, input_ids, image_features, beacon_skip_first, beacon_skip_last, **_
    ):
        ids = input_ids[0].tolist()
        between = ids[beacon_skip_first:beacon_skip_last]
        assert between == [self.n_rows - 1] * len(image_features)
        self.net.read_text(ids[:beacon_skip_first])
        for chunk in torch.split(image_features, self.raw["beacon_window"]):
            self.net.read_chunk(chunk, self.raw["beacon_ratio"][0])
        logits = self.net.read_text(ids[beacon_skip_last:])
        return SimpleNamespace(logits=torch.nn.functional.pad(logits, (0, 1))[None])
"""
SIZES = DecoderConfig(
    vocab_size=64,
    width=32,
    mlp_width=48,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    head_dim=8,
    rope_theta=1e6,
    qkv_bias=True,
    has_vst=True,
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone" / "Video-XL" / "videoxl" / "videoxl" / "model" / "language_model"
    folder.mkdir(parents=True)
    (folder / "llava_qwen.py").write_text(STAND_IN)
    return tmp_path / "clone"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_published_code_reads_the_same_weights_and_features(clone: Path, attention: str) -> None:
    net = prefill.random_net(SIZES)
    visual = torch.randn(2 * prefill.CHUNK_TOKENS, 32, generator=torch.Generator().manual_seed(1))
    found = run_upstream(
        find_upstream(clone, None),
        net,
        visual,
        prefix=[1, 2, 3],
        question=[4, 5],
        n_first=144,
        attention="eager" if attention == "eager" else "sdpa",
        threads=1,
    )
    with torch.inference_mode():
        ours = prefill.read_with_engine(net, visual, prefix=[1, 2, 3], question=[4, 5])
    torch.testing.assert_close(torch.tensor(found["logits"]), ours, atol=1e-5, rtol=1e-5)
    assert found["cpu_s"] > 0
    assert found["peak_bytes"] > 0


def test_code_that_does_not_run_says_its_last_line(clone: Path) -> None:
    (file,) = clone.rglob("llava_qwen.py")
    file.write_text("import a_package_of_long_ago")
    with pytest.raises(MissingCapabilityError, match="a_package_of_long_ago") as caught:
        run_upstream(
            find_upstream(clone, Path(sys.executable)),
            prefill.random_net(SIZES),
            torch.zeros(8, 32),
            prefix=[1],
            question=[2],
            n_first=8,
            attention="sdpa",
            threads=1,
        )
    assert "interpreter" in (caught.value.hint or "")


def test_folder_without_the_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="no package videoxl"):
        find_upstream(tmp_path, None)


def test_interpreter_that_is_none_is_refused(clone: Path) -> None:
    with pytest.raises(InputRefusedError, match="no Python interpreter"):
        find_upstream(clone, clone / "python")
