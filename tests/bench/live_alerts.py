"""How soon an alert is there: from when somebody is in the picture of a live camera to its row.

    python -m tests.bench.live_alerts CLIP --visits 6.0 22.7 50.2 --light 1 0.1

A recording is sent over HTTP in real time, by day and darkened, as one camera each of a library of
its own. The whole product films them, with every observer of the settings and a rule for a person
at night, in a zone in which it is night now. Darkened is a share of the light with noise on it, as
a sensor has it; it is not a recording of a night.
"""

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from app.config.settings import load_settings
from app.schemas.alerts import AlertCondition, AlertItem
from app.schemas.cameras import CameraFields
from app.services.alerts import list_alerts
from app.services.bench import machine_name
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.worker.alerts import alerts_running
from app.worker.handlers import open_worker
from tests.support.clock_camera import open_clock_camera
from tests.support.watched import add_rules

NOISE = 3.0
"""Standard deviation of a darkened picture's noise, in steps of 8 bits."""
SLACK_S = 2.0
"""How much earlier an event may begin than was written down by eye."""
BEHIND_S = 45.0
"""How long is waited behind the end of the clip."""
WARM_UP_S = 15.0
"""What stands before the clip, its first picture: a camera is connected to meanwhile."""


def darken(clip: Path, path: Path, light: float) -> float:
    """Write a clip with a share of its light, as cameras encode; return its length (s)."""
    generator = np.random.default_rng(0)

    def darkened(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        if light == 1:
            return pixels
        noise = generator.normal(0, NOISE, pixels.shape)
        return np.clip(pixels * light + noise, 0, 255).astype(np.uint8)

    with av.open(clip) as source, av.open(path, "w") as out:
        shown = source.streams.video[0]
        fps = round(shown.average_rate or 10)
        stream = out.add_stream("libx264", rate=fps, options={"bf": "0", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        stream.gop_size = fps
        n = 0
        for frame in source.decode(shown):
            pixels = frame.to_ndarray(format="rgb24")
            for _ in range(round(WARM_UP_S * fps) if n == 0 else 1):
                drawn = av.VideoFrame.from_ndarray(darkened(pixels), format="rgb24")
                drawn.pts, n = n, n + 1
                out.mux(stream.encode(drawn))
        out.mux(stream.encode(None))
    return n / fps


def measure(
    clip: Path, visits_s: Sequence[float], lights: Sequence[float], home: Path | None = None
) -> dict[str, object]:
    """Film a clip at every light at a time, and return how late each visit was alerted (s).

    Args:
        home: Of a library that stays; one that is deleted when `None`.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        paths = [Path(folder) / f"{light:g}.mkv" for light in lights]
        length_s = max(darken(clip, path, light) for path, light in zip(paths, lights, strict=True))
        home = home or Path(folder) / "home"
        context = ServiceContext(load_settings({"allow_network": True}, home=home))
        night = AlertCondition(kind="object", words="a person", hours="22:00-06:00", cooldown_s=0)
        add_rules(context, night=night)
        ahead = (23 - datetime.now(UTC).hour) % 24
        zone = f"Etc/GMT-{ahead}" if ahead <= 14 else f"Etc/GMT+{24 - ahead}"
        began_at = {}
        for path, light in zip(paths, lights, strict=True):
            camera = stack.enter_context(open_clock_camera((path, path)))
            began_at[f"light {light:g}"] = camera.began_at
            add_camera(context, f"light {light:g}", camera.address, CameraFields(timezone=zone))
        worker = open_worker(context)
        thread = threading.Thread(target=worker.run)
        with alerts_running(context):
            thread.start()
            time.sleep(length_s + BEHIND_S)
            worker.stop()
            thread.join()
        alerts = list_alerts(context, limit=200).alerts
        context.close()
    return {
        name: _delays(
            [alert for alert in alerts if alert.camera == name],
            [at + WARM_UP_S + time_s for time_s in visits_s],
        )
        for name, at in began_at.items()
    }


def _delays(alerts: Sequence[AlertItem], visits_at: Sequence[float]) -> dict[str, object]:
    delays_s: list[float | None] = []
    ends_at = [*visits_at[1:], float("inf")]
    for begins_at, ends in zip(visits_at, ends_at, strict=True):
        of_visit = [
            alert for alert in alerts if begins_at - SLACK_S <= _at(alert.start_at) < ends - SLACK_S
        ]
        raised = (datetime.fromisoformat(alert.raised_at).timestamp() for alert in of_visit)
        delays_s.append(round(min(raised) - begins_at, 1) if of_visit else None)
    found = [delay for delay in delays_s if delay is not None]
    return {
        "visits": len(visits_at),
        "alerts": len(alerts),
        "delays_s": delays_s,
        "median_s": statistics.median(found) if found else None,
    }


def _at(start_at: str | None) -> float:
    assert start_at is not None, "a camera has a clock"
    return datetime.fromisoformat(start_at).timestamp()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--visits", type=float, nargs="+", required=True, help="Beginnings (s).")
    parser.add_argument("--light", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--home", type=Path, help="A library to keep what was filmed in.")
    chosen = parser.parse_args()
    loads = [os.getloadavg()[0]]
    figures = measure(chosen.clip, chosen.visits, chosen.light, chosen.home)
    loads.append(os.getloadavg()[0])
    said = {"machine": machine_name(), "load": loads, "clip": chosen.clip.name, **figures}
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
