"""The words, the document and the picture that an alert is sent as."""

import json
from dataclasses import dataclass
from typing import Any

from app.schemas.alerts import AlertItem
from app.timefmt import clock_text
from storage.alert_records import DestinationRow

RAISED = "alert.raised"
TEST = "alert.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """An alert as it leaves this machine."""

    key: str
    """Idempotency key: the same over all attempts."""
    alert: AlertItem
    picture: bytes | None
    """JPEG; `None` where none was kept, or the destination gets none."""
    is_repeat: bool
    """Whether an attempt before may have arrived."""
    kind: str = RAISED

    @property
    def source(self) -> tuple[str, str]:
        """Id and name of the camera, or of the recording that belongs to none."""
        alert = self.alert
        return alert.camera_id or alert.video_id, alert.camera or alert.video

    @property
    def title(self) -> str:
        """One line: the rule and the camera."""
        return " ".join(f"{self.alert.rule}: {self.source[1]}".split())

    @property
    def text(self) -> str:
        """A few lines for people."""
        alert = self.alert
        when = (
            f"at {alert.start} of the recording"
            if alert.start_at is None
            else f"{clock_text(alert.start_at)} {alert.start_at[-6:]}"
        )
        lines = [
            f"{alert.reason}, {when}",
            f"Camera: {self.source[1]}",
            f"Clip: /media/{alert.video_id}/clip?start={alert.start_s:.1f}&end={alert.end_s:.1f}",
            f"Seen at: /ui/watch?v={alert.video_id}&t={alert.start_s:.1f}",
        ]
        if self.is_repeat:
            lines.append(f"This may have reached you before, as {self.key}.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Return the alert as JSON, without its picture."""
        return {
            "type": self.kind,
            "id": self.key,
            "timestamp": self.alert.raised_at,
            "redelivery": self.is_repeat,
            "data": self.alert.model_dump(mode="json"),
        }

    def json(self, **more: Any) -> bytes:
        """Return the document with more beside it, as it is sent."""
        return json.dumps({**self.document(), **more}, ensure_ascii=False).encode()


def takes_pictures(destination: DestinationRow) -> bool:
    """Return whether a destination gets stills."""
    return bool(destination.options.get("pictures", True))
