"""Every chunk in words: whatever the family, however often the run is cut off."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.config.settings import load_settings
from app.services.captions import enqueue_captions, list_captions
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import caption_now, ingest_now
from app.worker.handlers import open_worker
from engine.errors import NotFoundError
from engine.media.encode import write_video
from engine.models.pllava import model as pllava
from engine.models.video_xl import model as video_xl
from engine.pipeline.caption import INSTRUCTION
from engine.records import Caption
from engine.synthetic import grammar
from storage.full_text import words_of
from storage.records import JobRow

CHUNKS = 3


@pytest.fixture(scope="module", params=[pllava, video_xl], ids=["pllava", "video_xl"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    request.param.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "yard.mp4"
    rng = np.random.default_rng(3)
    write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(12)), 1.0)
    return path


def open_library(home: Path, checkpoint: Path) -> ServiceContext:
    # Few words: the tiny checkpoints have nothing to say.
    flags = {"model": str(checkpoint), "limits.answer_tokens": 12}
    return ServiceContext(load_settings(flags, home=home))


@pytest.fixture
def service(tmp_path: Path, checkpoint: Path, clip: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path, checkpoint)
    ingest_now(opened, [str(clip)])
    yield opened
    opened.close()


def test_every_chunk_has_one_caption_and_its_span(service: ServiceContext) -> None:
    steps = []
    run = caption_now(service, "yard", steps.append)
    assert (run.status, run.captions, run.written) == ("done", CHUNKS, CHUNKS)
    assert (steps[-1].done, steps[-1].total) == (CHUNKS, CHUNKS)
    row = service.catalog.videos.resolve("yard")
    assert row.fingerprint is not None
    chunks = service.catalog.chunks.list(row.id, row.fingerprint)
    captions = service.catalog.captions.list(row.id)
    assert [one.ref for one in captions] == [chunk.ref for chunk in chunks]
    assert {one.model for one in captions} == {row.model}


def test_run_that_was_cut_off_goes_on_with_the_same_words(
    service: ServiceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = service.catalog.videos.resolve("yard")
    job = enqueue_captions(service, video)
    assert enqueue_captions(service, video) == job
    add, written = service.catalog.captions.add, []

    def killed_at_the_second(caption: Caption, *, holder: JobRow) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(caption)
        add(caption, holder=holder)

    monkeypatch.setattr(service.catalog.captions, "add", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        caption_now(service, "yard", lambda step: None)
    assert service.catalog.captions.list(video.id) == tuple(written)
    monkeypatch.undo()
    run = caption_now(service, "yard", lambda step: None)
    assert (run.captions, run.written) == (CHUNKS, CHUNKS - 1)
    cut_off = service.catalog.captions.list(video.id)
    assert cut_off[0] == written[0]
    again = caption_now(service, "yard", lambda step: None)
    assert (again.captions, again.written) == (CHUNKS, 0)


def test_worker_of_the_server_does_the_same(service: ServiceContext) -> None:
    video = service.catalog.videos.resolve("yard")
    enqueue_captions(service, video)
    open_worker(service).run(until_idle=True)
    assert len(service.catalog.captions.list(video.id)) == CHUNKS


def test_captions_are_found_in_the_one_list_of_moments(service: ServiceContext) -> None:
    video = service.catalog.videos.resolve("yard")
    with pytest.raises(NotFoundError, match="no captions"):
        list_captions(service, "yard")
    scope = resolve_scope(service)
    assert search(service, "a brown dog", scope, kinds=["caption"]).hits == []
    caption_now(service, "yard", lambda step: None)
    first, *_ = service.catalog.captions.list(video.id)
    dog = Caption(
        ref=first.ref, fingerprint=first.fingerprint, model=first.model, text="A dog runs."
    )
    service.catalog.captions.add(dog)
    (half,) = search(service, "a brown dog", scope, kinds=["caption"]).hits
    assert (half.text, half.start_s, half.confirmed) == ("A dog runs.", 0.0, False)
    best = search(service, "dog runs", scope).hits[0]
    assert (best.kind, best.text, best.confirmed) == ("caption", "A dog runs.", True)
    found = list_captions(service, "yard", "dog")
    assert [one.text for one in found.captions] == ["A dog runs."]
    assert list_captions(service, "yard", "zebra").captions == []


def test_commands_speak_json(
    service: ServiceContext, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path), "--json"]
    assert main(["caption", "yard", "--model", str(checkpoint), *common]) == 0
    run = json.loads(capsys.readouterr().out)
    assert run["captions"] == run["written"] == CHUNKS
    assert main(["captions", "yard", *common]) == 0
    listed = json.loads(capsys.readouterr().out)["captions"]
    assert [item["chunk"] for item in listed] == [0, 1, 2]
    assert {"start_s", "end_s", "start", "end", "text", "video"} <= set(listed[0])
    assert main(["captions", "nowhere", *common]) == 2


def test_instruction_is_one_that_nano_knows() -> None:
    assert INSTRUCTION in grammar.TEMPLATES["describe"]
    assert words_of(INSTRUCTION) == ("describe", "what", "you", "see")
