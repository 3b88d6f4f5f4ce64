"""Where configs of preprocessors stand, and which of them counts."""

import json
from pathlib import Path

import pytest

from engine.errors import NotFoundError
from engine.models.layers.preprocessor_files import find_preprocessor, read_preprocessor


def test_the_config_of_the_whole_processor_counts_first(tmp_path: Path) -> None:
    assert find_preprocessor(tmp_path, "video", "image") is None
    with pytest.raises(NotFoundError, match=r"no preprocessor_config\.json"):
        read_preprocessor(tmp_path, "video", "image")
    (tmp_path / "preprocessor_config.json").write_text('{"from": "image file"}')
    assert read_preprocessor(tmp_path, "video", "image") == {"from": "image file"}
    assert find_preprocessor(tmp_path, "video") is None
    (tmp_path / "video_preprocessor_config.json").write_text('{"from": "video file"}')
    assert read_preprocessor(tmp_path, "video", "image") == {"from": "video file"}
    whole = {"image_seq_len": 4}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    assert read_preprocessor(tmp_path, "image") == {"from": "image file"}
    whole |= {"image_processor": {"from": "part"}, "video_processor": {"from": "other part"}}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    assert read_preprocessor(tmp_path, "image") == {"from": "part"}
    assert read_preprocessor(tmp_path, "video", "image") == {"from": "other part"}
