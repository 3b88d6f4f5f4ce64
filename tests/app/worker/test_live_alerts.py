"""A rule fires while a camera films, behind the chunk that shows it, and a receiver hears of it."""

import threading
import time
from pathlib import Path

from app.config.settings import load_settings
from app.schemas.alerts import AlertCondition, CreateAlertRuleRequest
from app.schemas.destinations import CreateDestinationRequest
from app.services.alert_rules import add_rule
from app.services.alerts import list_alerts
from app.services.context import ServiceContext
from app.services.destinations import add_destination
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.services.observe import LIVE_STEP_S
from app.worker.alerts import alerts_running
from app.worker.handlers import open_worker
from tests.support.camera import open_camera
from tests.support.receivers import open_web_receiver
from tests.support.visits import LENGTH_S, VISITS_S, as_stream, write_visits

PATIENCE_S = 200.0


def test_visit_is_alerted_before_the_next_look_at_everything(tmp_path: Path) -> None:
    # Shorter than what lies between two looks of all eyes: only the gate can have called them.
    assert LENGTH_S < LIVE_STEP_S
    part = as_stream(write_visits(tmp_path / "lobby.mp4", length_s=LENGTH_S + 10))
    held = threading.Event()
    context = ServiceContext(
        load_settings(
            {"sight.observers": ["objects"], "allow_network": True}, home=tmp_path / "home"
        )
    )
    condition = AlertCondition(
        kind="object", words="a person", cooldown_s=0, destinations=["phone"]
    )
    with open_web_receiver() as web, open_camera([part] * 2, held=held) as camera:
        add_destination(
            context,
            CreateDestinationRequest(name="phone", kind="webhook", address=web.address),
        )
        add_rule(context, CreateAlertRuleRequest(name="visit", condition=condition))
        video = add_source(context, camera.address(""))
        enqueue_ingest(context, video)
        worker = open_worker(context)
        thread = threading.Thread(target=worker.run)
        with alerts_running(context):
            thread.start()
            try:
                deadline = time.monotonic() + PATIENCE_S
                while len(web.posts) < len(VISITS_S):
                    assert time.monotonic() < deadline, "no alert while the camera filmed"
                    time.sleep(0.2)
                row = context.catalog.videos.get(video.id)
                assert row.status == "ingesting"
                assert row.ingested_s < LIVE_STEP_S
                alerts = list_alerts(context).alerts[::-1]
            finally:
                worker.stop()
                held.set()
                thread.join()
    assert [alert.start_s for alert in alerts] == [start_s for start_s, _ in VISITS_S]
    assert all(alert.has_picture for alert in alerts)
    assert [post.document["data"]["start_s"] for post in web.posts] == [
        alert.start_s for alert in alerts
    ]
    context.close()
