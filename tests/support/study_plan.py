"""A study of seconds: two sizes, two decisions."""

from typing import Any

PLAN: dict[str, Any] = {
    "base_seeds": 2,
    "decisions": {
        "tokens_a_frame": [0.5, 2],
        "frame_every_s": [1, 4],
        "stages": ["joint", "two"],
    },
    "encoders": {"only": {"width": 32, "n_layers": 2, "n_heads": 2, "steps": 2}},
    "sizes": {
        "small": {"width": 32, "mlp_width": 48, "n_layers": 1},
        "large": {"width": 48, "mlp_width": 64, "n_layers": 2},
    },
    "mixtures": {"even": {"colour": 1.0, "exist": 1.0}},
    "stages": {
        "joint": [{"steps": 2}],
        "two": [{"steps": 1, "learns": "projector"}, {"steps": 1}],
    },
    "bank": {"clips": 24, "cards": 32, "background": 8, "distractors": 16, "test_clips": 12},
    "training": {"chunks": 8},
    "measure": {"contexts": 16, "questions": 2, "recalled_chunks": [1]},
}
