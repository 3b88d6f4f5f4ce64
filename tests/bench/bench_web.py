"""Ten people ask at once while a video is being read; a large file is uploaded in parts.

    python -m tests.bench.bench_web [--minutes 20] [--people 10] [--questions 3] [--upload-mb 2048]

Prints one JSON document: latencies of answers and of a page's own request while nobody asks and
while everybody does, and the memory of the server around an upload. The server is a process of its
own with the shipped model; everything is drawn.
"""

import argparse
import base64
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.browser.stage import Stage, draw_clip, open_stage

PART_BYTES = 8 << 20


def sign_in(stage: Stage) -> httpx.Client:
    """A client with cookie and token."""
    client = httpx.Client(base_url=stage.address, timeout=300)
    client.get(stage.link)
    client.headers["X-CSRF-Token"] = client.get("/api/v1/session").json()["csrf"]
    return client


def add(client: httpx.Client, path: Path) -> str:
    """Have a file read, and return its video."""
    answer = client.post("/api/v1/videos", json={"source": str(path)})
    answer.raise_for_status()
    return str(answer.json()["video_id"])


def wait_for(client: httpx.Client, video: str, *, n_chunks: int | None = None) -> float:
    """Wait until it is ready, or has so many chunks; seconds that took."""
    started = time.perf_counter()
    while True:
        row = client.get(f"/api/v1/videos/{video}").json()
        if row["status"] == "failed":
            raise RuntimeError(row["error"])
        if row["status"] == "ready" or (n_chunks and row["chunks"] >= n_chunks):
            return time.perf_counter() - started
        time.sleep(0.2)


def page_ms(client: httpx.Client) -> float:
    """How long a page waits for its library."""
    started = time.perf_counter()
    client.get("/api/v1/videos").raise_for_status()
    return (time.perf_counter() - started) * 1000


def crowd(client: httpx.Client, video: str, asked: list[tuple[str, str]], people: int) -> dict:
    """Ask all at once, and see whether each answer is the one that is given to it alone."""
    alone = {text: ask(client, video, text)[0] for text, _ in asked}
    jobs = [asked[n % len(asked)] for n in range(people)]
    with ThreadPoolExecutor(people + 1) as pool:
        waits = [pool.submit(ask, client, video, text) for text, _ in jobs]
        pages = []
        while not all(wait.done() for wait in waits):
            pages.append(page_ms(client))
            time.sleep(0.05)
    answers = [wait.result() for wait in waits]
    crossed = sum(said != alone[text] for (said, _), (text, _) in zip(answers, jobs, strict=True))
    times = sorted(seconds for _, seconds in answers)
    return {
        "people": people,
        "answered": len(answers),
        "crossed": crossed,
        "answer_s_median": statistics.median(times),
        "answer_s_worst": times[-1],
        "page_ms_median": statistics.median(pages) if pages else None,
        "page_ms_worst": max(pages, default=None),
    }


def ask(client: httpx.Client, video: str, question: str) -> tuple[str, float]:
    """The answer's words, and the seconds until they were whole."""
    started = time.perf_counter()
    answer = client.post("/api/v1/ask", json={"question": question, "videos": [video]})
    answer.raise_for_status()
    return str(answer.json()["answer"]), time.perf_counter() - started


def upload(client: httpx.Client, stage: Stage, size: int) -> dict:
    """Send zeros in parts; they are refused at the end, as no video, and leave nothing."""
    server = psutil.Process(stage.process.pid)
    before = server.memory_info().rss
    name = base64.b64encode(b"zeros.mp4").decode()
    headers = {"Upload-Length": str(size), "Upload-Metadata": f"filename {name}"}
    address = client.post("/api/v1/uploads", headers=headers).headers["location"]
    part, at, most = bytes(PART_BYTES), 0, before
    started = time.perf_counter()
    status = 0
    while at < size:
        piece = part[: min(PART_BYTES, size - at)]
        status = client.patch(
            address,
            content=piece,
            headers={
                "Upload-Offset": str(at),
                "Content-Type": "application/offset+octet-stream",
            },
        ).status_code
        at += len(piece)
        most = max(most, server.memory_info().rss)
    wall_s = time.perf_counter() - started
    left = sum(path.stat().st_size for path in stage.home.glob("uploads/*"))
    left += sum(path.stat().st_size for path in stage.home.glob("media/*"))
    return {
        "bytes": size,
        "wall_s": wall_s,
        "mb_per_s": size / 1e6 / wall_s,
        "rss_growth_mb": (most - before) / 1e6,
        "last_status": status,
        "bytes_left_behind": left,
    }


def measure(
    *,
    model: str | None = None,
    minutes: float = 20.0,
    people: int = 10,
    questions: int = 3,
    upload_mb: int = 2048,
) -> dict[str, object]:
    """Start a server, let people ask while it reads and while it does not, upload a large file.

    Args:
        model: Not used: the questions are about drawn clips, which the shipped model knows.
        minutes: Length of the clip that is read meanwhile.
        people: Who ask at once.
        questions: That each of them asks.
        upload_mb: Size of the upload.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found = draw_clip(work / "short.mp4", seed=42, seconds=120.0, height_px=180)
        asked = [(one.text, one.answer) for one in found][:questions]
        draw_clip(work / "long.mp4", seed=7, seconds=minutes * 60, fps=2.0, height_px=180)
        with open_stage(work / "home", roots=work) as stage:
            client = sign_in(stage)
            short = add(client, work / "short.mp4")
            wait_for(client, short)
            ask(client, short, asked[0][0])
            quiet = [page_ms(client) for _ in range(20)]
            still = crowd(client, short, asked, people)
            long = add(client, work / "long.mp4")
            wait_for(client, long, n_chunks=1)
            reading = crowd(client, short, asked, people)
            under_way = client.get(f"/api/v1/videos/{long}").json()["status"] == "ingesting"
            wait_for(client, long)
            return {
                "page_ms_alone": statistics.median(quiet),
                "asking": still,
                "asking_while_reading": {**reading, "was_reading_to_the_end": under_way},
                "upload": upload(client, stage, upload_mb << 20),
            }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--people", type=int, default=10)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--upload-mb", type=int, default=2048)
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
