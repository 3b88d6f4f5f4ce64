"""Still images beside a question: read with limits, shown to models that read them."""

import base64
import io
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.cli.main import main
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.images import read_addresses, read_files
from app.services.scope import resolve_scope
from app.worker.foreground import ingest_now
from engine.errors import (
    InputRefusedError,
    LimitExceededError,
    MediaRefusedError,
    UnreachableError,
)
from engine.models.smolvlm.model import write_tiny
from tests.app.services.conftest import open_library


def picture(size: tuple[int, int] = (60, 40)) -> bytes:
    packed = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(packed, "PNG")
    return packed.getvalue()


def address(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "smolvlm"
    write_tiny(folder)
    return folder


def test_files_and_addresses_are_read_in_the_sandbox(
    context: ServiceContext, tmp_path: Path
) -> None:
    content = picture()
    path = tmp_path / "a.png"
    path.write_bytes(content)
    (from_file,) = read_files(context, [str(path)])
    (from_address,) = read_addresses(context, [address(content)])
    assert np.array_equal(from_file, from_address)
    assert from_file.shape == (40, 60, 3)


def test_what_cannot_be_read_is_named(context: ServiceContext, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"no file .*gone\.png"):
        read_files(context, [str(tmp_path / "gone.png")])
    for url in ("https://example.org/a.png", "file:///etc/passwd", "data:text/html;base64,AAAA"):
        with pytest.raises(InputRefusedError, match="nothing is fetched"):
            read_addresses(context, [url])
    with pytest.raises(InputRefusedError, match="image 1 is not whole"):
        read_addresses(context, ["data:image/png;base64,@@@"])
    with pytest.raises(MediaRefusedError, match="image 2"):
        read_addresses(context, [address(picture()), address(b"no picture")])
    with pytest.raises(LimitExceededError, match="number of images"):
        read_addresses(context, [address(b"")] * 9)
    with pytest.raises(LimitExceededError, match="size of the images"):
        read_addresses(context, [address(bytes(17 << 20))])


def test_questions_about_images_alone_and_beside_video(
    tmp_path: Path, smolvlm: Path, clip: Path
) -> None:
    with closing(open_library(tmp_path, smolvlm)) as context:
        pictures = read_addresses(context, [address(picture()), address(picture((20, 90)))])
        alone = ask(context, "what is seen?", (), pictures=pictures)
        assert (alone.images, alone.searched_s, alone.evidence) == (2, 0.0, [])
        assert alone.answered_by == "model"
        ingest_now(context, [str(clip)])
        beside = ask(context, "what is seen?", resolve_scope(context), pictures=pictures)
        assert (beside.images, beside.answered_by) == (2, "model")
        assert beside.recalled_chunks > 0
        assert beside.searched_s > 0


def test_command_asks_about_images_of_an_empty_library(
    tmp_path: Path, smolvlm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    common = ["--home", str(tmp_path / "home"), "--json"]
    asked = ["ask", "what is seen?", "--image", str(path), *common]
    assert main([*asked, "--model", str(smolvlm)]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert main([*asked, "--model", "nano"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert "video_xl/nano reads no still images" in error["message"]
    gone = ["ask", "what?", "--image", str(tmp_path / "gone.png"), *common]
    assert main([*gone, "--model", str(smolvlm)]) == 3
