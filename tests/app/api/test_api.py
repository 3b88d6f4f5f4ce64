"""What pages and programs get: answers, streams, conversations, searches, probes, errors."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.services.ingest_jobs import enqueue_ingest
from app.worker.handlers import open_worker
from tests.support.site import Site

QUESTION = "What color is the car?"


def events(text: str) -> Iterator[tuple[str, object]]:
    """The server-sent events of an answer."""
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        yield name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_streamed_answer_is_its_words_then_the_same_document(site: Site) -> None:
    body = {"question": QUESTION, "videos": [site.gate], "recall": "all"}
    answer = site.viewer.post("/api/v1/ask", json=body, headers={"accept": "text/event-stream"})
    told = list(events(answer.text))
    assert (told[0][0], told[-1][0]) == ("plan", "done")
    document = told[-1][1]
    assert isinstance(document, dict)
    words = "".join(str(data) for name, data in told if name == "token")
    assert words.strip() == document["answer"]
    assert document["searched_s"] == pytest.approx(24, abs=1)
    whole = site.viewer.post("/api/v1/ask", json=body).json()
    assert whole["answer"] == document["answer"]
    assert whole["evidence"] == document["evidence"]


def test_conversation_is_kept_for_its_owner_alone(site: Site) -> None:
    body = {"question": QUESTION, "videos": [site.gate]}
    first = site.viewer.post("/api/v1/ask", json=body).json()
    talk = first["conversation_id"]
    site.viewer.post("/api/v1/ask", json={**body, "conversation_id": talk})
    kept = site.viewer.get(f"/api/v1/conversations/{talk}").json()
    assert [turn["question"] for turn in kept["turns"]] == [QUESTION, QUESTION]
    # What is reloaded is what was shown.
    shared = {*kept["turns"][0]} & {*first}
    assert {"answer", "answered_by", "evidence", "nearest", "searched", "timing"} <= shared
    assert {name: kept["turns"][0][name] for name in shared} == {
        name: first[name] for name in shared
    }
    assert site.admin.get(f"/api/v1/conversations/{talk}").status_code == 404
    assert site.viewer.delete(f"/api/v1/conversations/{talk}").status_code == 204


def test_all_means_all_that_the_user_may_see(site: Site) -> None:
    for hit in site.viewer.post("/api/v1/search", json={"query": "a car"}).json()["hits"]:
        assert hit["video_id"] == site.gate
    seen = site.admin.post("/api/v1/search", json={"query": "a car"}).json()["hits"]
    assert {hit["video_id"] for hit in seen} == {site.gate, site.yard}


def test_moment_like_a_frame_is_not_that_frame(site: Site) -> None:
    like = {"video_id": site.gate, "time_s": 3}
    found = site.viewer.post("/api/v1/search", json={"like": like}).json()
    assert found["hits"]
    assert all(not hit["start_s"] <= 3 < hit["end_s"] for hit in found["hits"])


def test_timeline_is_every_chunk_with_its_likeness(site: Site) -> None:
    strip = site.viewer.get(f"/api/v1/videos/{site.gate}/timeline?q=a+red+car").json()
    video = site.viewer.get(f"/api/v1/videos/{site.gate}").json()
    assert len(strip["chunks"]) == video["chunks"]
    assert strip["chunks"][0]["start_s"] == 0
    assert max(chunk["similarity"] for chunk in strip["chunks"]) == pytest.approx(1)
    assert all(0 <= chunk["activity_shown"] <= 1 for chunk in strip["chunks"])


def test_chat_completions_answer_with_proof(site: Site) -> None:
    video = {"type": "video_url", "video_url": {"url": f"video://{site.gate}#t=2,10"}}
    text = {"type": "text", "text": QUESTION}
    body = {"model": "longwatch", "messages": [{"role": "user", "content": [video, text]}]}
    answer = site.viewer.post("/v1/chat/completions", json=body).json()
    assert answer["object"] == "chat.completion"
    assert answer["longwatch"]["searched_s"] == pytest.approx(8, abs=0.1)
    assert all(item["video_id"] == site.gate for item in answer["longwatch"]["evidence"])
    streamed = site.viewer.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert streamed.endswith("data: [DONE]\n\n")
    pieces = [json.loads(line[6:]) for line in streamed.split("\n\n")[:-2]]
    words = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces)
    assert words.strip() == answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("url", ["https://evil.example/x.mp4", "file:///etc/passwd", "video://"])
def test_chat_fetches_nothing(site: Site, url: str) -> None:
    part = {"type": "video_url", "video_url": {"url": url}}
    content = [part, {"type": "text", "text": QUESTION}]
    body = {"messages": [{"role": "user", "content": content}]}
    answer = site.viewer.post("/v1/chat/completions", json=body)
    assert answer.status_code == 422
    assert "video://ID" in answer.json()["error"]["message"]


def test_probe_run_is_a_job_whose_cells_can_be_looked_into(site: Site) -> None:
    order = {"lengths": [8, 16], "depths": [0, 1], "seeds": 1, "haystack": site.gate}
    job = site.admin.post("/api/v1/probes", json=order).json()
    open_worker(site.services).run(until_idle=True)
    run = site.admin.get("/api/v1/probes").json()["runs"][0]
    assert run["job"]["job_id"] == job["job_id"]
    assert run["job"]["state"] == "done", run["job"]["error"]
    assert [(cell["length_frames"], cell["depth"]) for cell in run["cells"]] == [
        (8, 0),
        (8, 1),
        (16, 0),
        (16, 1),
    ]
    (trial,) = site.admin.get(f"/api/v1/probes/{run['run_id']}/cells/3").json()["trials"]
    assert trial["planted_s"] == 15
    assert trial["is_right"] == (run["cells"][3]["answers_right"] == 1)
    assert site.admin.get(f"/api/v1/probes/{run['run_id']}/cells.csv").text.count("\n") == 5
    assert site.viewer.get(f"/api/v1/probes/{run['run_id']}").status_code == 200
    site.admin.delete(f"/api/v1/probes/{run['run_id']}")


def test_many_questions_at_once_are_not_crossed(site: Site) -> None:
    bodies = [{"question": QUESTION, "videos": [video]} for video in (site.gate, site.yard)]
    alone = [site.admin.post("/api/v1/ask", json=body).json() for body in bodies]
    with ThreadPoolExecutor(10) as pool:
        asked = list(
            pool.map(lambda n: site.admin.post("/api/v1/ask", json=bodies[n % 2]).json(), range(10))
        )
    for n, answer in enumerate(asked):
        assert answer["answer"] == alone[n % 2]["answer"]
        assert {item["video_id"] for item in answer["evidence"]} <= set(bodies[n % 2]["videos"])


def test_captions_are_ordered_by_an_admin_and_read_by_who_may_see(site: Site) -> None:
    address = f"/api/v1/videos/{site.yard}/captions"
    assert site.viewer.post(address).status_code == 403
    assert site.viewer.get(address).status_code == 404
    job = site.admin.post(address).json()
    assert (job["kind"], job["video_id"]) == ("caption", site.yard)
    assert site.admin.post(address).json()["job_id"] == job["job_id"]
    open_worker(site.services).run(until_idle=True)
    n_chunks = site.services.catalog.videos.get(site.yard).n_chunks
    captions = site.admin.get(address).json()["captions"]
    assert [item["chunk"] for item in captions] == list(range(n_chunks))
    assert site.admin.get(f"{address}?find=nevermore").json()["captions"] == []


def test_jobs_can_be_stopped_and_tried_again(site: Site) -> None:
    video = site.services.catalog.videos.get(site.yard)
    job = enqueue_ingest(site.services, video)
    stopped = site.admin.post(f"/api/v1/jobs/{job.id}/cancel").json()
    assert stopped["state"] == "cancelled"
    assert site.admin.get(f"/api/v1/videos/{site.yard}").json()["status"] == "cancelled"
    assert site.admin.post(f"/api/v1/jobs/{job.id}/retry").json()["state"] == "queued"
    open_worker(site.services).run(until_idle=True)
    assert site.admin.get(f"/api/v1/videos/{site.yard}").json()["status"] == "ready"


def test_clock_is_corrected_and_removed_over_http(site: Site) -> None:
    path = f"/api/v1/videos/{site.yard}"
    change = {"start_at": "2024-07-02T18:00:00", "timezone": "Europe/Berlin"}
    video = site.admin.patch(path, json=change).json()
    assert (video["start_at"], video["start_source"]) == ("2024-07-02T18:00:00.000+02:00", "user")
    evening = {"time_of_day": "18:00-18:01", "videos": [site.yard]}
    for hit in site.admin.post("/api/v1/search", json={"query": "a car", **evening}).json()["hits"]:
        assert hit["start_at"].startswith("2024-07-02T18:00:")
        assert hit["start_source"] == "user"
    body = {"question": QUESTION, "recall": "all", **evening}
    assert site.admin.post("/api/v1/ask", json=body).json()["searched_s"] == pytest.approx(
        24, abs=1
    )
    body["time_of_day"] = "16:00-16:01"
    assert site.admin.post("/api/v1/ask", json=body).status_code == 404
    bare = site.admin.patch(path, json={"start_at": None, "timezone": None}).json()
    assert (bare.get("start_at"), bare["start_source"]) == (None, "none")
    assert bare["name"] == video["name"]


def test_tags_are_set_over_http_and_filter_the_list(site: Site) -> None:
    path = f"/api/v1/videos/{site.yard}"
    tagged = site.admin.patch(path, json={"tags": ["Night", "case 7"]}).json()
    assert tagged["tags"] == ["case 7", "Night"]
    listed = site.admin.get("/api/v1/videos?tag=night&limit=1").json()
    assert [video["video_id"] for video in listed["videos"]] == [site.yard]
    assert (listed["total"], listed["next"]) == (1, None)
    assert site.admin.get("/api/v1/videos?tag=day").json()["videos"] == []
    assert site.admin.get("/api/v1/videos?sort=size").status_code == 422
    assert site.viewer.get("/api/v1/videos?tag=night").json()["total"] == 0
    assert site.viewer.patch(path, json={"tags": ["mine"]}).status_code == 403
    assert site.admin.patch(path, json={"name": "yard"}).json()["tags"] == ["case 7", "Night"]
    assert site.admin.patch(path, json={"tags": []}).json()["tags"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/api/v1/ask", {"question": ""}, 422, "input_refused"),
        ("/api/v1/ask", {"question": " "}, 422, "input_refused"),
        ("/api/v1/ask", {"question": "x" * 4001}, 413, "limit_exceeded"),
        ("/api/v1/ask", {"question": "x", "surprise": 1}, 422, "malformed"),
        ("/api/v1/ask", {"question": "x", "videos": ["nothing"]}, 404, "not_found"),
        ("/api/v1/ask", {"question": "x", "after": 1e6}, 404, "not_found"),
        ("/api/v1/search", {}, 422, "input_refused"),
        ("/api/v1/search", {"query": "x", "time_of_day": "22:00-06:00"}, 404, "not_found"),
        ("/api/v1/search", {"query": "x", "time_of_day": "late"}, 422, "input_refused"),
        ("/api/v1/probes", {"lengths": [8], "seeds": 0}, 422, "input_refused"),
    ],
)
def test_failure_is_one_sentence_with_a_code(
    site: Site, path: str, body: dict[str, object], status: int, code: str
) -> None:
    answer = site.admin.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_metrics_count_what_is_there(site: Site) -> None:
    text = site.admin.get("/metrics").text
    assert 'longwatch_videos{status="ready"} 2.0' in text


def test_process_tells_that_it_lives_and_is_ready(site: Site) -> None:
    assert site.anonymous.get("/healthz").json() == {"status": "ok"}
    assert site.anonymous.get("/readyz").json() == {
        "database": "ok",
        "model": "ok",
        "latents": "ok",
    }
