"""Questions and searches through the use cases, and where they look."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.main import main
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.services.search import search
from app.worker.foreground import ingest_now
from engine.errors import LimitExceededError, NotFoundError
from tests.app.services.conftest import DURATION_S, open_library


def test_ask_and_search_documents_are_the_contract(
    tmp_path: Path, checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path), "--model", str(checkpoint), "--json"]
    start_at = ["--start-at", "2026-03-01T22:00:00+00:00"]
    assert main(["ingest", str(clip), *start_at, *common]) == 0
    capsys.readouterr()
    assert main(["ask", "What happens?", *common]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert {"question", "answer", "evidence", "searched_s", "recalled_chunks"} <= set(asked)
    assert set(asked["timing"]) == {"retrieve_ms", "first_token_ms", "total_ms"}
    assert asked["searched_s"] == pytest.approx(DURATION_S, abs=0.5)
    assert main(["search", "a door", "--top", "2", *common]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"query", "encoders", "hits", "searched_s", "timing"}
    assert [encoder["name"] for encoder in found["encoders"]] == [f"model:{checkpoint}"]
    assert len(found["hits"]) == 2
    hit = found["hits"][0]
    assert {"rank", "video_id", "video", "start_s", "end_s", "start", "end"} <= set(hit)
    assert (hit["kind"], hit["confirmed"]) == ("vector", hit["score"] > 0.5)
    assert hit["start_s"] <= hit["peak_s"] < hit["end_s"]
    assert hit["start_at"].startswith("2026-03-01T22:00:")


def test_filters_by_offset_and_by_wall_clock_agree(context: ServiceContext, clip: Path) -> None:
    started = datetime(2026, 3, 1, 22, tzinfo=UTC)
    ingest_now(context, [str(clip)], start_at=started)
    by_offset = resolve_scope(context, after=5.0, before=15.0)
    by_clock = resolve_scope(
        context,
        after=datetime(2026, 3, 1, 22, 0, 5, tzinfo=UTC),
        before=datetime(2026, 3, 1, 22, 0, 15, tzinfo=UTC),
    )
    assert by_offset == by_clock
    hits = search(context, "anything", by_offset).hits
    assert hits
    assert all(hit.end_s > 5.0 and hit.start_s < 15.0 for hit in hits)


def test_bounds_that_no_video_reaches_are_said(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    with pytest.raises(NotFoundError, match="bounds"):
        resolve_scope(context, after=3600.0)


def test_other_frame_rate_does_not_hide_what_was_read(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    dense = open_library(tmp_path, checkpoint, sampling__fps=2.0)
    ingest_now(dense, [str(clip)])
    dense.close()
    plain = open_library(tmp_path, checkpoint)
    found = search(plain, "anything", resolve_scope(plain))
    plain.close()
    assert found.hits
    assert found.searched_s == pytest.approx(DURATION_S, abs=0.5)


def test_question_over_the_limit_names_the_setting(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    with pytest.raises(LimitExceededError, match="4000 characters"):
        ask(context, "x" * 4001, resolve_scope(context))
