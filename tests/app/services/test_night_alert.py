"""Somebody at night, before a camera that films: one alert, soon, with all that it should bring."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from app.schemas.alerts import AlertCondition
from app.schemas.cameras import CameraFields
from app.services.access import find_video
from app.services.alerts import alert_picture, list_alerts
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.services.library import export_clip
from app.services.observe import LIVE_STEP_S
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filmed_s, filming, wait_until
from tests.support.clock_camera import FPS, open_clock_camera
from tests.support.visits import read_clock, write_watched_room
from tests.support.watched import add_rules

VISIT_S = (8.0, 15.0)
"""Over the ends of two chunks of four seconds."""


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(
        tmp_path / "home", checkpoint, allow_network=True, sight__observers=["objects"]
    )
    yield opened
    opened.close()


def test_person_at_night_is_alerted_once_while_the_camera_films(
    library: ServiceContext, tmp_path: Path
) -> None:
    room = write_watched_room(tmp_path / "room.mkv", [VISIT_S], length_s=60, light=0.2)
    add_rules(library, night=person("22:00-06:00"), day=person("08:00-20:00"))
    with open_clock_camera((room, room)) as camera:
        fields = CameraFields(timezone=zone_where_it_is(23), watch=["objects"])
        yard = add_camera(library, "Yard", camera.address, fields)
        with filming(library):
            wait_until(lambda: list_alerts(library).alerts)
            (alert,) = list_alerts(library).alerts
            raised_after_s = datetime.fromisoformat(alert.raised_at).timestamp() - camera.began_at
            clip = tmp_path / "clip.mp4"
            video = find_video(library, alert.video_id)
            export_clip(library, video, (alert.start_s, alert.end_s), clip)
            wait_until(lambda: filmed_s(library, yard) >= 20)
            assert filmed_s(library, yard) < LIVE_STEP_S, "only the gate can have called them"
    # Once: neither again at the next chunk, nor by the rule of the day.
    (whole,) = list_alerts(library).alerts
    assert (whole.alert_id, whole.rule, whole.camera) == (alert.alert_id, "night", "Yard")
    assert whole.end_s > alert.end_s, "it went on behind the chunk that raised it"
    assert raised_after_s < VISIT_S[0] + LIVE_STEP_S
    assert alert.start_at is not None
    began_at = datetime.fromisoformat(alert.start_at)
    assert abs(began_at.timestamp() - camera.shown_at(0) - VISIT_S[0]) <= 1
    assert began_at.hour in {22, 23, 0}
    assert alert.reason.startswith("person, seen ")
    assert alert.judged_by == "observations"
    assert alert.has_picture
    picture = Image.open(io.BytesIO(alert_picture(library, alert.alert_id)))
    shown_s = [read_clock(np.asarray(picture)) / FPS]
    with av.open(clip) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    shown_s += [read_clock(frames[0]) / FPS, read_clock(frames[-1]) / FPS]
    # A clip begins at the keyframe before.
    assert all(VISIT_S[0] - 1 <= time_s < VISIT_S[1] for time_s in shown_s)


def test_somebody_who_goes_by_is_alerted_before_the_room_is_looked_at_again(
    library: ServiceContext, tmp_path: Path
) -> None:
    # Nothing changes behind the visit, so that the next frame would be one of a heartbeat.
    heartbeat_s = library.engine.sampling.heartbeat_s
    assert heartbeat_s >= 20
    room = write_watched_room(
        tmp_path / "room.mkv", [(10.0, 12.0)], length_s=90, light=0.2, has_clock=False
    )
    add_rules(library, night=person("22:00-06:00"))
    with open_clock_camera((room, room)) as camera:
        fields = CameraFields(timezone=zone_where_it_is(23), watch=["objects"])
        add_camera(library, "Yard", camera.address, fields)
        with filming(library):
            wait_until(lambda: list_alerts(library).alerts)
    (alert,) = list_alerts(library).alerts
    raised_after_s = datetime.fromisoformat(alert.raised_at).timestamp() - camera.shown_at(0) - 10
    assert raised_after_s < heartbeat_s


def zone_where_it_is(hour: int) -> str:
    """Return a zone in which this hour of the day has begun."""
    ahead = (hour - datetime.now(UTC).hour) % 24
    # Signs of these names are those of POSIX: Etc/GMT-3 is three hours ahead.
    return f"Etc/GMT-{ahead}" if ahead <= 14 else f"Etc/GMT+{24 - ahead}"


def person(hours: str) -> AlertCondition:
    return AlertCondition(kind="object", words="a person", hours=hours, cooldown_s=0)
