"""Commands that measure a model on benchmarks and over long streams: eval, curate, persistence."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import (
    Home,
    Json,
    Model,
    RecallChoice,
    open_library,
    open_screen,
    open_settings,
    parse_offset,
    parsed,
    tell_what_is_kept,
)

cli = typer.Typer()


@cli.command("eval")
def evaluate(
    benchmark: Annotated[
        str | None,
        typer.Argument(
            help="recordings, searches, alerts, or one of the list (default: list them)."
        ),
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", help="Local copy of the benchmark's data.")
    ] = Path("."),
    results: Annotated[
        Path | None, typer.Option("--results", help="File to write the records to.")
    ] = None,
    recall: Annotated[
        RecallChoice | None,
        typer.Option(
            "--recall",
            help="top: the best chunks; all: the full memory (default: by the question's wording).",
        ),
    ] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Ask the questions of a benchmark, or list the benchmarks; an interrupted run continues.

    recordings asks about real footage (manifest.json), searches looks for phrases in it and
    alerts tries rules at night of what they name (searches.json): as any user would, in a library
    of their own below runs.
    """
    screen = open_screen(json=json)
    if benchmark is None:
        from app.services.benchmark_runs import list_benchmarks

        screen.show(list_benchmarks())
        return
    if benchmark in ("recordings", "searches", "alerts"):
        from app.cli.footage import measure_footage

        library = home or Path("runs") / "eval-footage"
        with open_library(library, model=model) as context, screen.progress() as progress:
            answers = results or Path("runs") / "eval-recordings.json"
            document = measure_footage(context, benchmark, root, answers, progress.step)
        screen.show(document)
        return
    from app.services.benchmark_runs import describe_interruption, load_benchmark
    from app.services.benchmark_runs import evaluate as measure

    load_benchmark(benchmark)
    with open_library(home, model=model) as context, screen.progress() as progress:
        # One file a pipeline and recall: records of another would be taken for this one's.
        mode = "" if recall is None else f"-{recall.value}"
        name = f"eval-{benchmark}{mode}-{context.engine.fingerprint[:8]}.jsonl"
        file = results or Path("runs") / name
        with tell_what_is_kept(progress.say, lambda: describe_interruption(file)):
            scores = measure(
                context,
                benchmark,
                root,
                file,
                recall=None if recall is None else recall.value,
                report=progress.step,
            )
        screen.show(scores)


@cli.command()
def curate(
    records: Annotated[
        list[str],
        typer.Argument(
            help="Records of eval, several models of them: video_mme=FILE.",
            metavar="BENCHMARK=FILE",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder to write the questions to.")],
    top: Annotated[int, typer.Option("--top", min=1, help="Most questions that stay.")] = 400,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="JSON lines of id and category, before those of tasks."),
    ] = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Choose the questions that neither words nor one frame answer, as ApolloBench was made.

    They are asked by longwatch eval apollobench.
    """
    from app.services.curation import curate_records

    open_settings(home)
    open_screen(json=json).show(curate_records(records, output, most=top, labels=labels))


@cli.command()
def persistence(
    haystacks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Video files or ingested videos without cards (default: a drawn one).",
            metavar="HAYSTACK",
        ),
    ] = None,
    ages: Annotated[
        str, typer.Option("--ages", help="Times from a fact to its question, with commas.")
    ] = "10m,1h,3h",
    facts: Annotated[int, typer.Option("--facts", min=1, help="Facts of each age.")] = 6,
    hops: Annotated[
        int, typer.Option("--hops", min=1, max=2, help="Cards that a fact is chained over.")
    ] = 1,
    shown: Annotated[
        int, typer.Option("--shown", min=1, max=600, help="Sampled frames that show a card.")
    ] = 1,
    memories: Annotated[
        str,
        typer.Option(
            "--memories", help="summary, uniform, recent, pooled, full: what keeps the stream."
        ),
    ] = "summary",
    ratio: Annotated[
        int | None,
        typer.Option("--ratio", help="Visual tokens per latent of the summary (default: model's)."),
    ] = None,
    recall: Annotated[
        RecallChoice, typer.Option("--recall", help="top: the best chunks; all: the full memory.")
    ] = RecallChoice.top,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the facts.")] = 0,
    results: Annotated[
        Path | None, typer.Option("--results", help="File to write the records to.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Write the curves to this PNG file.")
    ] = None,
    model: Model = None,
    json: Json = False,
    home: Home = None,
) -> None:
    """Measure how long a fact stays answerable in one long stream; an interrupted run continues.

    Cards are shown once in footage that repeats, and asked about when the stream has ended.
    """
    from app.services.persistence import (
        PersistenceOrder,
        describe_interruption,
        parse_memories,
    )
    from app.services.persistence import persistence as measure
    from engine.evaluation.persistence import PersistenceConfig

    config = parsed(
        lambda ages: PersistenceConfig(
            ages_s=tuple(parse_offset(age) for age in ages.split(",")),
            facts=facts,
            hops=hops,
            shown_frames=shown,
            memories=parse_memories(memories),
            ratio=ratio,
            recall="all" if recall is RecallChoice.all else "top",
            seed=seed,
        ),
        ages,
    )
    screen = open_screen(json=json)
    with open_library(home, model=model) as context, screen.progress() as progress:
        name = f"persistence-{context.engine.fingerprint[:8]}.jsonl"
        order = PersistenceOrder(
            config=config,
            results=results or Path("runs") / name,
            haystacks=haystacks or (),
            plot=plot,
        )
        with tell_what_is_kept(progress.say, lambda: describe_interruption(order)):
            document = measure(context, order, progress.step)
    screen.show(document)
