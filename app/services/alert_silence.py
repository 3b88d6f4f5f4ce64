"""Cameras that send nothing: an hour without a picture is no hour in which nothing happened."""

from datetime import datetime

from app.services.alert_conditions import is_about
from app.services.alert_rules import enabled_rules
from app.services.alert_watch import apply_rule
from app.services.context import ServiceContext
from app.services.recordings import in_filmed_order
from storage.alert_records import AlertRow


def watch_silence(context: ServiceContext, now: datetime) -> tuple[AlertRow, ...]:
    """Raise what rules about missing pictures come to at a moment, of every camera."""
    rules = [rule for rule in enabled_rules(context) if rule[1].kind == "no_picture"]
    if not rules:
        return ()
    videos = context.catalog.videos.list()
    raised: list[AlertRow] = []
    for camera in context.catalog.cameras.list():
        parts = in_filmed_order(row for row in videos if row.camera == camera.id)
        if not camera.enabled or not parts or parts[-1].start_at is None:
            continue
        # The clock of a camera runs on, whether a picture comes or not.
        until_s = max(parts[-1].ingested_s, (now - parts[-1].start_at).total_seconds())
        for rule, condition in rules:
            if is_about(condition, parts[-1], videos):
                raised += apply_rule(context, rule, condition, parts[-1], videos, until_s=until_s)
    return tuple(raised)
