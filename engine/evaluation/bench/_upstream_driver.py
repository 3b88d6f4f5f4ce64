"""The published code of Video-XL, run by an interpreter of its own: features, then a question.

A script: that interpreter has torch, numpy and what `videoxl` imports, among it a release of
transformers which is years older than ours, and nothing of this package.
`python _upstream_driver.py ORDER.json` runs what stands there and writes what came out.
"""

import contextlib
import importlib
import json
import sys
import time
from pathlib import Path


def main(order_path: str) -> None:
    """Run an order, as `_upstream.run_upstream` writes it."""
    order = json.loads(Path(order_path).read_text(encoding="utf-8"))
    # In place of this folder, whose modules are not meant.
    sys.path[0] = order["code"]
    import numpy as np
    import torch

    published = importlib.import_module("videoxl.model.language_model.llava_qwen")
    torch.set_num_threads(order["threads"])
    model = published.LlavaQwenForCausalLM.from_pretrained(
        order["checkpoint"], torch_dtype=torch.float32, attn_implementation=order["attention"]
    )
    vocab_size = model.config.vocab_size
    # As its own loader does: the row that is added stands for every token of the features.
    model.resize_token_embeddings(vocab_size + 1)
    model.config.torch_dtype = torch.float32
    model.eval()
    features = torch.from_numpy(np.load(order["features"]))
    n_prefix = len(order["prefix"])

    def read(visual: torch.Tensor) -> torch.Tensor:
        """Return the logits of the last position."""
        n_visual = len(visual)
        ids = torch.tensor([[*order["prefix"], *[vocab_size] * n_visual, *order["question"]]])
        model.memory.reset()
        logits: torch.Tensor = model(
            input_ids=ids,
            image_features=visual,
            beacon_skip_first=n_prefix,
            beacon_skip_last=n_prefix + n_visual,
            use_cache=True,
            return_dict=True,
        ).logits
        return logits[0, -1, :vocab_size]

    with torch.no_grad():
        read(features[: order["n_first"]])
        before = _forget_peak()
        started = time.process_time()
        logits = read(features)
        cpu_s = time.process_time() - started
    answer = {
        "cpu_s": cpu_s,
        "peak_bytes": max(1, _bytes_of("VmHWM") - before),
        "logits": logits.float().tolist(),
    }
    Path(order["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _forget_peak() -> int:
    """Let the peak count from now on, where the system can; return the bytes held now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _bytes_of("VmRSS")


def _bytes_of(name: str) -> int:
    """Return a size of this process as Linux states it, where alone the code runs."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(sys.argv[1])
