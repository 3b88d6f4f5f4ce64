"""What is copied beside the weights of a new checkpoint."""

from pathlib import Path

from engine.training.finetune.export import copy_other_files

SOURCE = (
    "README.md",
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "tower/model.safetensors",
    "tower/config.json",
)


def checkpoint(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name}: {name}")
    return folder


def files(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_all_but_weights_and_card_is_copied_and_a_tower_of_its_own_whole(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "old", *SOURCE)
    target = checkpoint(tmp_path / "new", "model.safetensors", "config.json")
    copy_other_files(source, target)
    assert files(target) == {
        "config.json": "new: config.json",
        "model.safetensors": "new: model.safetensors",
        "tower/model.safetensors": "old: tower/model.safetensors",
        "tower/config.json": "old: tower/config.json",
    }
