"""Player and timeline as one: pointer and keys, marks of a clip, zoom, what stands in the lanes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from app.config.settings import load_settings
from app.services.benchmarks.web import RunningServer, draw_clip
from app.services.context import ServiceContext
from app.services.evidence_check import check_evidence
from app.services.wall_clock import ClockChange, change_clock
from app.worker.foreground import ingest_now
from engine.records import Observation, Observed, TimeSpan
from storage.files import HomeFolder
from tests.browser.stage import open_page, open_stage, ready, sign_in

SECONDS = 60.0
TIME = "document.querySelector('video')?.currentTime"
VIEW = "document.querySelector('.tl-plot').getAttribute('viewBox')"


@pytest.fixture(scope="module")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A recording of a camera in which a person was seen once, and one that no camera made."""
    work = tmp_path_factory.mktemp("timeline")
    context = ServiceContext(load_settings({"sight.observers": []}, home=work / "home"))
    draw_clip(work / "gate.mp4", seed=42, seconds=SECONDS, height_px=180)
    (row,) = ingest_now(context, [str(work / "gate.mp4")]).videos
    video = context.catalog.videos.resolve(row.video_id).id
    seen = Observation(
        video=video,
        kind="object",
        span=TimeSpan(start_s=30.0, end_s=40.0),
        label="person",
        text="",
        confidence=0.9,
        model="by hand",
        peak_s=32.0,
    )
    whole = TimeSpan(start_s=0.0, end_s=SECONDS)
    context.catalog.observations.replace(
        video,
        "object",
        [seen],
        Observed(
            video=video, kind="object", model="by hand", labels=frozenset({"person"}), span=whole
        ),
    )
    camera = context.catalog.cameras.add(name="Gate", address="rtsp://127.0.0.1:9/live")
    context.catalog.cameras.change(camera.id, enabled=False)
    context.catalog.videos.set_camera(video, camera.id)
    gate = context.catalog.videos.get(video)
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    change_clock(context, gate, ClockChange(start_at=noon, timezone="UTC"))
    draw_clip(work / "drawn.mp4", seed=7, seconds=20.0, height_px=180)
    ingest_now(context, [str(work / "drawn.mp4")])
    context.close()
    with open_stage(work / "home", observers=[]) as opened:
        yield opened


@pytest.fixture
def page(server: RunningServer, browser: Any, state: Any) -> Iterator[Any]:
    """The page of the camera's recording, which is ready to play."""
    with open_page(browser, server, state, height=900) as opened:
        open_video(opened, "gate")
        yield opened


def open_video(page: Any, name: str) -> None:
    """Open a video by its name, and wait until it can be played."""
    ready(page, "/ui/jobs")
    videos = page.evaluate("fetch('/api/v1/videos').then((answer) => answer.json())")["videos"]
    key = next(video["video_id"] for video in videos if video["name"] == name)
    ready(page, f"/ui/watch?v={key}")
    page.wait_for_function("document.querySelector('video')?.readyState >= 1")


@pytest.fixture(scope="module")
def state(server: RunningServer, browser: Any) -> Any:
    """Cookies of this server."""
    return sign_in(browser, server)


def at(page: Any, share: float) -> tuple[float, float]:
    """The place of a share of the timeline's width."""
    box = page.locator(".tl-over").bounding_box()
    return box["x"] + share * box["width"], box["y"] + box["height"] / 3


def test_click_seeks_the_player_and_the_head_follows(page: Any) -> None:
    page.mouse.click(*at(page, 0.5))
    page.wait_for_function(f"{TIME} > 29")
    assert page.evaluate(TIME) == pytest.approx(SECONDS / 2, abs=0.5)
    head, whole = (page.locator(part).bounding_box() for part in (".tl-head", ".tl-over"))
    assert head["x"] - whole["x"] == pytest.approx(whole["width"] / 2, rel=0.02)
    said = page.get_attribute(".tl-over", "aria-valuetext")
    # By the wall clock of the camera.
    assert said.startswith("12:00:30")
    assert "person" in page.inner_text(".timeline .lane")


def test_pointer_shows_the_still_and_what_was_seen_there(page: Any) -> None:
    box = page.locator(".timeline .lane.object").bounding_box()
    page.mouse.move(at(page, 35 / SECONDS)[0], box["y"] + box["height"] / 2)
    still = page.wait_for_selector(".tl-peek img[src*='/frame.jpg?t=3']")
    page.wait_for_function("(image) => image.naturalWidth > 0", arg=still)
    assert page.inner_text(".tl-peek span") == "person"


def test_drag_marks_a_clip_that_can_be_saved(page: Any) -> None:
    mark(page)
    assert page.inner_text("[data-part=span]").startswith("0:15.0\N{EN DASH}0:30")
    with page.expect_download() as saved:
        page.click("[data-act=cut]")
    assert saved.value.suggested_filename.endswith(".mp4")
    page.click("[data-act=clear]")
    assert not page.is_visible("[data-part=clip]")


def mark(page: Any) -> None:
    """Mark what lies between a quarter and a half of the video."""
    page.mouse.move(*at(page, 0.25))
    page.mouse.down()
    page.mouse.move(*at(page, 0.5), steps=4)
    page.mouse.up()


def test_marked_part_of_a_camera_is_exported_as_signed_evidence(page: Any, tmp_path: Path) -> None:
    assert not page.locator("#lw-evidence .row").count()
    mark(page)
    with page.expect_download() as saved:
        page.click("#lw-evidence >> text=Export evidence")
    assert saved.value.suggested_filename == "evidence 2026-03-01 12.00.15.zip"
    saved.value.save_as(tmp_path / "evidence.zip")
    with ZipFile(tmp_path / "evidence.zip") as packed:
        packed.extractall(tmp_path / "evidence")
    checked = check_evidence(tmp_path / "evidence", HomeFolder(tmp_path / "nowhere"))
    assert checked.clips == 1
    page.click("[data-act=clear]")
    page.wait_for_selector("#lw-evidence .row", state="detached")


def test_video_that_no_camera_made_says_why_there_is_no_evidence(page: Any) -> None:
    open_video(page, "drawn")
    mark(page)
    page.wait_for_selector("#lw-evidence :text('drawn is no recording of a camera')")
    assert not page.locator("#lw-evidence a").count()


def test_keys_mark_and_the_timeline_shows_it(page: Any) -> None:
    page.focus("video")
    page.keyboard.press("l")
    page.wait_for_function(f"{TIME} > 9.9")
    page.keyboard.press("[")
    page.keyboard.press("l")
    page.wait_for_function(f"{TIME} > 19.9")
    page.keyboard.press("]")
    box = page.locator(".tl-chosen").bounding_box()
    whole = page.locator(".tl-over").bounding_box()
    assert box["width"] / whole["width"] == pytest.approx(10 / SECONDS, abs=0.01)
    page.keyboard.press("Escape")
    assert not page.is_visible(".tl-chosen")


def test_zoom_by_keys_and_back(page: Any) -> None:
    whole = page.evaluate(VIEW)
    page.focus(".tl-over")
    page.keyboard.press("End")
    page.wait_for_function(f"{TIME} > 59")
    page.keyboard.press("+")
    start, _, length, _ = page.evaluate(VIEW).split(" ")
    assert float(length) == pytest.approx(SECONDS / 4, abs=0.1)
    assert float(start) > SECONDS / 2
    page.click("text=Show all")
    assert page.evaluate(VIEW) == whole.replace(".000", "")


def test_arrows_of_the_timeline_go_five_seconds(page: Any) -> None:
    page.focus(".tl-over")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{TIME} > 9.5")
    assert page.evaluate(TIME) == pytest.approx(10, abs=0.5)
