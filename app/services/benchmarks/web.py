"""Ten people asking at once while a video is read, and the upload of a large file.

Figures: latencies of answers and of a page's own request while nobody asks and while everybody
does, and the memory of the server around an upload. The server is a process of its own with the
shipped model; everything is drawn.
"""

import base64
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from app.config.settings import FILE_NAME
from engine.media.encode import write_video
from engine.synthetic.questions import Question, questions
from engine.synthetic.story import draw_story

# What the pages send too; a larger part waits in memory for longer.
PART_BYTES: Final = 8 << 20
_SIGN_IN_LINK = re.compile(r"http\S+/sign-in\?token=\S+")
# The folder that holds `app`, so that the child runs this package and no other.
_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """`longwatch serve` in a process of its own."""

    address: str
    link: str
    """Signs an admin in, once."""
    home: Path
    process: "subprocess.Popen[str]"


def measure(
    *,
    model: str | None = None,
    minutes: float = 20.0,
    n_people: int = 10,
    n_questions: int = 3,
    upload_mib: int = 2048,
) -> dict[str, Any]:
    """Start a server, ask while it reads and while it does not, and upload a large file.

    Args:
        model: Not used: the questions are about drawn clips, which the shipped model knows.
        minutes: Length of the clip that is read meanwhile.
        n_people: How many ask at once.
        n_questions: How many different questions they ask.
        upload_mib: Size of the upload.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        known = draw_clip(work / "short.mp4", seed=42, seconds=120.0, height_px=180)
        texts = [question.text for question in known][:n_questions]
        draw_clip(work / "long.mp4", seed=7, seconds=minutes * 60, fps=2.0, height_px=180)
        settings = f"[paths]\nmedia_roots = [{json.dumps(str(work))}]\n"
        with (
            start_server(work / "home", settings=settings) as server,
            sign_in(server) as client,
        ):
            short = _add(client, work / "short.mp4")
            _wait_for(client, short)
            _ask(client, short, texts[0])
            quiet_ms = [_page_ms(client) for _ in range(20)]
            idle = _crowd(client, short, texts, n_people)
            long = _add(client, work / "long.mp4")
            _wait_for(client, long, n_chunks=1)
            reading = _crowd(client, short, texts, n_people)
            status = client.get(f"/api/v1/videos/{long}").json()["status"]
            _wait_for(client, long)
            # What observers hold belongs to no upload.
            _wait_until_idle(client)
            return {
                "page_ms_alone": statistics.median(quiet_ms),
                "asking": idle,
                "asking_while_reading": {
                    **reading,
                    "was_reading_to_the_end": status == "ingesting",
                },
                "upload": _upload(client, server, upload_mib << 20),
            }


def draw_clip(
    path: Path, *, seed: int, seconds: float, fps: float = 5.0, height_px: int = 360
) -> tuple[Question, ...]:
    """Write a drawn recording; return what can be asked about it."""
    story = draw_story(
        seed, seconds, fps, height_px=height_px, width_px=height_px * 16 // 9, events_per_minute=6.0
    )
    n_frames = round(seconds * fps)
    write_video(path, (story.frame(index / fps) for index in range(n_frames)), fps)
    return questions(story)


@contextmanager
def start_server(
    home: Path,
    *,
    model: str = "nano",
    settings: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """Start `longwatch serve` on a free port; it is stopped at the end.

    Args:
        home: Of the library.
        settings: TOML that is written into the home folder; nothing is written if left out.
        environment: Of the process; this one's when `None`.
    """
    home.mkdir(parents=True, exist_ok=True)
    if settings:
        (home / FILE_NAME).write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "app", "serve", "--port", "0", "--model", model]
    # Into a file, because nobody reads the log meanwhile, and a full pipe stops the server.
    log = home.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [*command, "--home", str(home)],
            env=None if environment is None else dict(environment),
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        link = _read_link(process, log)
        address = link.split("/sign-in")[0]
        yield RunningServer(address=address, link=link, home=home, process=process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _read_link(process: "subprocess.Popen[str]", log: Path) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := _SIGN_IN_LINK.search(line):
            return match.group()
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")


@contextmanager
def sign_in(server: RunningServer) -> Iterator[httpx.Client]:
    """Open a client with the cookie and the token of a session."""
    with httpx.Client(base_url=server.address, timeout=300) as client:
        token = server.link.partition("token=")[2]
        answer = client.post("/sign-in/link", data={"token": token})
        if not answer.is_redirect:
            raise RuntimeError(f"the link does not sign in: {answer.status_code} {answer.text}")
        client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
        yield client


def _add(client: httpx.Client, path: Path) -> str:
    """Have a file read; return the id of its video."""
    response = client.post("/api/v1/videos", json={"source": str(path)})
    response.raise_for_status()
    return str(response.json()["video_id"])


def _wait_for(client: httpx.Client, video: str, *, n_chunks: int | None = None) -> None:
    """Wait until a video is ready, or has so many chunks."""
    while True:
        row = client.get(f"/api/v1/videos/{video}").json()
        if row["status"] == "failed":
            raise RuntimeError(row["error"])
        if row["status"] == "ready" or (n_chunks and row["chunks"] >= n_chunks):
            return
        time.sleep(0.2)


def _wait_until_idle(client: httpx.Client) -> None:
    """Wait until no job is left."""
    while any(job["state"] in {"queued", "running"} for job in _jobs(client)):
        time.sleep(0.5)


def _jobs(client: httpx.Client) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = client.get("/api/v1/jobs").json()["jobs"]
    return jobs


def _page_ms(client: httpx.Client) -> float:
    """Return how long a page waits for its library."""
    started = time.perf_counter()
    client.get("/api/v1/videos").raise_for_status()
    return (time.perf_counter() - started) * 1000


def _crowd(client: httpx.Client, video: str, texts: list[str], n_people: int) -> dict[str, Any]:
    """Ask all at once, and compare each answer with the one that is given to it alone."""
    alone = {text: _ask(client, video, text)[0] for text in texts}
    assigned = [texts[n % len(texts)] for n in range(n_people)]
    with ThreadPoolExecutor(n_people) as pool:
        futures = [pool.submit(_ask, client, video, text) for text in assigned]
        pages_ms = []
        while not all(future.done() for future in futures):
            pages_ms.append(_page_ms(client))
            time.sleep(0.05)
    answers = [future.result() for future in futures]
    times_s = sorted(answer_s for _, answer_s in answers)
    return {
        "people": n_people,
        "answered": len(answers),
        "crossed": sum(
            answer != alone[text] for (answer, _), text in zip(answers, assigned, strict=True)
        ),
        "answer_s_median": statistics.median(times_s),
        "answer_s_worst": times_s[-1],
        "page_ms_median": statistics.median(pages_ms) if pages_ms else None,
        "page_ms_worst": max(pages_ms, default=None),
    }


def _ask(client: httpx.Client, video: str, question: str) -> tuple[str, float]:
    """Return the words of the answer, and the seconds until they were whole."""
    started = time.perf_counter()
    response = client.post("/api/v1/ask", json={"question": question, "videos": [video]})
    response.raise_for_status()
    return str(response.json()["answer"]), time.perf_counter() - started


def _upload(client: httpx.Client, server: RunningServer, size: int) -> dict[str, Any]:
    """Send zeros in parts; they are refused at the end, as no video, and leave nothing."""
    process = psutil.Process(server.process.pid)
    before_bytes = most_bytes = process.memory_info().rss
    name = base64.b64encode(b"zeros.mp4").decode()
    headers = {"Upload-Length": str(size), "Upload-Metadata": f"filename {name}"}
    address = client.post("/api/v1/uploads", headers=headers).headers["location"]
    started, status = time.perf_counter(), 0
    for offset in range(0, size, PART_BYTES):
        status = client.patch(
            address,
            content=bytes(min(PART_BYTES, size - offset)),
            headers={
                "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
            },
        ).status_code
        most_bytes = max(most_bytes, process.memory_info().rss)
    wall_s = time.perf_counter() - started
    left_behind = [*server.home.glob("uploads/*"), *server.home.glob("media/*")]
    return {
        "bytes": size,
        "wall_s": wall_s,
        "mb_per_s": size / 1e6 / wall_s,
        "rss_growth_mb": (most_bytes - before_bytes) / 1e6,
        "last_status": status,
        "bytes_left_behind": sum(path.stat().st_size for path in left_behind if path.is_file()),
    }
