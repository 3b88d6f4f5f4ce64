"""Benchmarks: found in both of their folders, run by name, and their figures kept by machine."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from app.services import benchmarks
from app.services.bench import benchmark_names, results_folder, run_benchmarks, write_figures
from app.services.benchmarks.ingest import QUESTIONS
from engine import plugins
from engine.errors import InputRefusedError, NotFoundError
from engine.evaluation import bench
from storage.vectors import PgVectorTables

SMALLEST = {
    "answer": {"hours": 0.2},
    "decode": {"minutes": 1},
    "growth": {"hours": 0.2},
    "index": {"sizes": (5000,), "dim": 16},
    "ingest": {"minutes": 2},
    "gpu": {},
    "latents": {"lengths": (16,), "needles": 1, "n_chunks": 1},
    "cameras": {"cameras": 1, "seconds": 5},
    "observe": {"minutes": 0.2},
    "library": {
        "videos": 3,
        "chunks": 2,
        "cameras": 2,
        "days": 1,
        "day_chunks": 3,
        "rounds": 1,
    },
    "prefill": {"frames": 10},
    "search": {"minutes": 2, "rounds": 1},
    "start": {"n_rounds": 1},
    "towers": {"cameras": 2, "rounds": 1},
    "training": {"frames": 10},
    "web": {"minutes": 0.5, "n_people": 2, "n_questions": 1, "upload_mib": 1},
}


def test_every_benchmark_is_found() -> None:
    assert benchmark_names() == (
        "answer",
        "cameras",
        "decode",
        "gpu",
        "growth",
        "index",
        "ingest",
        "latents",
        "library",
        "observe",
        "pgvector",
        "prefill",
        "search",
        "start",
        "towers",
        "training",
        "web",
    )


def test_unknown_benchmark_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(NotFoundError, match="no benchmark 'speed'") as caught:
        run_benchmarks("speed", model=None, say=print)
    assert caught.value.hint == f"there are {', '.join(benchmark_names())}"


def test_a_benchmark_of_a_database_is_refused_without_one() -> None:
    with pytest.raises(InputRefusedError, match="measured on a PostgreSQL") as caught:
        run_benchmarks("pgvector", model=None, say=print)
    assert "--database-url" in str(caught.value.hint)


@pytest.mark.scale
def test_vectors_in_a_database_are_measured_and_leave_nothing_behind(postgres_url: str) -> None:
    module = plugins.load(benchmarks, "pgvector", defines=("measure",))
    figures = module.measure(database_url=postgres_url, sizes=(800,), dim=16, n_videos=40)
    assert figures["8e2"]["camera_of_8"]["recall_at_10"] == 1.0
    tables = PgVectorTables(postgres_url, busy_timeout_s=10)
    assert tables.sets() == ()
    tables.close()


def test_figures_of_a_checkout_lie_among_its_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checkout, installed = tmp_path / "checkout", tmp_path / "site-packages"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    assert results_folder(checkout) == checkout / "assets" / "bench"
    assert results_folder(installed) == tmp_path / "bench"


def test_figures_that_were_not_measured_again_stay(tmp_path: Path) -> None:
    write_figures(tmp_path, "2-core Chip", {"decode": {"ratio": 1.0}, "web": {"ratio": 2.0}})
    path = write_figures(tmp_path, "2-core Chip", {"web": {"ratio": 3.0}})
    assert path == tmp_path / "2-core-chip.json"
    document = json.loads(path.read_text())
    assert document["machine"] == "2-core Chip"
    assert document["figures"] == {"decode": {"ratio": 1.0}, "web": {"ratio": 3.0}}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLEST)
def test_benchmark_runs_at_its_smallest_size(name: str) -> None:
    package = bench if name in plugins.names(bench) else benchmarks
    module = plugins.load(package, name, defines=("measure",))
    figures: dict[str, Any] = module.measure(model=None, **SMALLEST[name])
    assert figures
    if name == "web":
        assert figures["asking"]["crossed"] == figures["asking_while_reading"]["crossed"] == 0
        assert figures["upload"]["bytes_left_behind"] == 0
    if name == "ingest":
        assert figures["questions"] == 4 * len(QUESTIONS)
    if name == "decode":
        assert len(set(figures["decode"]["frames"].values())) == 1, "each way gives all frames"
    if name == "prefill":
        assert figures["largest_difference_from_eager"] < 1e-5
    if name == "latents":
        assert figures["native"]["logit_drift_qwen2_biases"] == 0
        assert figures["int3"]["logit_drift_qwen2_biases"] < 0.05
    if name == "gpu":
        # Where no card is, the whole run is rehearsed on small sizes.
        assert figures["is_rehearsal"] is not torch.cuda.is_available()
        assert figures["ingest"]["overlapping"]["chunks"] == figures["ingest"]["plain"]["chunks"]
        assert figures["bf16_against_fp32"]["largest_logit_difference"] < 0.1
    if name == "training":
        assert figures["gradient_difference"] < 1e-4


@pytest.mark.parametrize(
    ("name", "given"),
    [("ingest", {"upstream": Path("clone")}), ("prefill", {"upstream_python": Path("python")})],
)
def test_published_code_that_would_not_be_run_is_refused(name: str, given: dict[str, Path]) -> None:
    with pytest.raises(InputRefusedError, match="beside prefill alone"):
        run_benchmarks(name, model=None, say=print, **given)
