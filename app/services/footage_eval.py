"""Real footage against its truth: what `ask` and `search` say of it, as any user would be told."""

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.schemas.ask import AnswerResponse
from app.schemas.evaluation import ShareItem
from app.schemas.footage import FoundItem, RecordingsResponse, SearchesResponse, VerdictsItem
from app.schemas.search import SearchHit
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.vectors import describe_encoders
from engine.evaluation.footage import FootageQuestion, FootageSearch
from engine.evaluation.judging import SLACK_S, Reply, Verdict, hits_moment, judge, kind_of
from engine.evaluation.metrics import wilson
from engine.files import atomic_write_bytes
from engine.records import TimeSpan

Library = Mapping[Path, str]
"""Recordings that were ingested, and the id of each."""

DENIES: Final = ("not found", "no ", "no.", "no,", "none")
"""How an answer begins that says that a thing is not there."""


def measure_questions(
    context: ServiceContext,
    questions: Sequence[FootageQuestion],
    library: Library,
    results: Path,
    *,
    report: ProgressCallback = no_progress,
) -> RecordingsResponse:
    """Ask every question of its own recording, judge the answers, and write them down.

    Args:
        questions: With their true answers.
        library: Holds the recordings of the questions.
        results: JSON file that gets every answer with its verdict, for people to check.
    """
    records, verdicts, n_denied = [], Counter[tuple[str, Verdict]](), 0
    for n_done, question in enumerate(questions):
        report(
            ProgressUpdate(what="questions", done=n_done, total=len(questions), note=question.text)
        )
        scope = resolve_scope(context, [library[question.video]])
        document = ask(context, question.text, scope)
        verdict = judge(question.text, question.answer, question.span, _reply(document))
        verdicts[kind_of(question.text), verdict] += 1
        is_there = not question.answer.lower().startswith("no")
        n_denied += is_there and document.answer.lower().startswith(DENIES)
        records.append(
            {
                "id": question.id,
                "verdict": verdict,
                "wanted": question.answer,
                **document.model_dump(mode="json"),
            }
        )
    results.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(results, json.dumps(records, indent=1).encode())
    totals = {name: sum(n for key, n in verdicts.items() if key[1] == name) for name in _VERDICTS}
    return RecordingsResponse(
        recordings=len({question.video for question in questions}),
        questions=len(questions),
        right=share_item(totals["right"], len(questions)),
        wrong=share_item(totals["wrong"], len(questions)),
        refused=share_item(totals["refused"], len(questions)),
        false_not_found=n_denied,
        kinds=[
            VerdictsItem(
                kind=kind,
                n=sum(verdicts[kind, name] for name in _VERDICTS),
                right=verdicts[kind, "right"],
                wrong=verdicts[kind, "wrong"],
                refused=verdicts[kind, "refused"],
            )
            for kind in sorted({kind for kind, _ in verdicts})
        ],
        knows=[encoder.knows for encoder in describe_encoders(context)],
        results=str(results),
    )


def measure_searches(
    context: ServiceContext,
    searches: Sequence[FootageSearch],
    library: Library,
    *,
    report: ProgressCallback = no_progress,
) -> SearchesResponse:
    """Search for every phrase in all recordings, then in each, and compare with the truth.

    Args:
        searches: With where they are true.
        library: Every recording that counts; what is not true of one is absent from it.
    """
    scopes = {path: resolve_scope(context, [video]) for path, video in library.items()}
    lengths_s = {
        path: context.catalog.videos.get(scope[0][0]).ingested_s for path, scope in scopes.items()
    }
    truth_of = {library[path]: path for path in library}
    everything = [span for scope in scopes.values() for span in scope]
    outcomes_by_kind: dict[str, list[tuple[bool, bool, bool, bool]]] = {}
    chances, times_ms, claims = [], [], Counter[tuple[bool, bool]]()
    for n_done, phrase in enumerate(searches):
        report(ProgressUpdate(what="searches", done=n_done, total=len(searches), note=phrase.query))
        for path, scope in scopes.items():
            hits = search(context, phrase.query, scope, top=1).hits
            claims[path in phrase.truth, any(hit.confirmed for hit in hits)] += 1
        if not phrase.truth:
            continue
        document = search(context, phrase.query, everything, top=5)
        times_ms.append(document.timing.total_ms)
        moments = [_is_moment(phrase, hit, truth_of) for hit in document.hits]
        clips = [truth_of[hit.video_id] in phrase.truth for hit in document.hits]
        outcomes_by_kind.setdefault(phrase.kind, []).append(
            (any(moments[:1]), any(moments), any(clips[:1]), any(clips))
        )
        chances.append(_chance(phrase, lengths_s))
    outcomes = [outcome for group in outcomes_by_kind.values() for outcome in group]
    return SearchesResponse(
        recordings=len(library),
        searches=len(searches),
        moment_at_1=_share_of([outcome[0] for outcome in outcomes]),
        moment_at_5=_share_of([outcome[1] for outcome in outcomes]),
        clip_at_1=_share_of([outcome[2] for outcome in outcomes]),
        clip_at_5=_share_of([outcome[3] for outcome in outcomes]),
        chance_at_1=_mean(chances),
        chance_at_5=_mean([1 - (1 - chance) ** 5 for chance in chances]),
        present_claimed=share_item(claims[True, True], claims[True, True] + claims[True, False]),
        absent_claimed=share_item(claims[False, True], claims[False, True] + claims[False, False]),
        kinds=[
            FoundItem(
                kind=kind,
                n=len(group),
                moment_at_1=_share_of([outcome[0] for outcome in group]),
                moment_at_5=_share_of([outcome[1] for outcome in group]),
            )
            for kind, group in sorted(outcomes_by_kind.items())
        ],
        knows=[encoder.knows for encoder in describe_encoders(context)],
        median_ms=statistics.median(times_ms) if times_ms else 0.0,
    )


_VERDICTS: Final[tuple[Verdict, ...]] = ("right", "wrong", "refused")


def _reply(document: AnswerResponse) -> Reply:
    return Reply(
        text=document.answer,
        is_refusal=document.answered_by == "nothing",
        evidence=tuple(
            TimeSpan(start_s=item.start_s, end_s=item.end_s) for item in document.evidence
        ),
    )


def _is_moment(phrase: FootageSearch, hit: SearchHit, truth_of: Mapping[str, Path]) -> bool:
    truth = phrase.truth.get(truth_of[hit.video_id])
    return truth is not None and hits_moment(hit.peak_s, truth)


def _chance(phrase: FootageSearch, lengths_s: Mapping[Path, float]) -> float:
    """Return the share of all footage that counts as right for a phrase."""
    right_s = sum(
        min(lengths_s[path], sum(span.duration_s + 2 * SLACK_S for span in spans))
        if spans
        else lengths_s[path]
        for path, spans in phrase.truth.items()
    )
    return right_s / sum(lengths_s.values())


def share_item(n_right: int, n: int) -> ShareItem:
    """Return a share with its 95 % interval."""
    low, high = wilson(n_right, n)
    return ShareItem(value=n_right / n if n else 0.0, low=low, high=high)


def _share_of(outcomes: Sequence[bool]) -> ShareItem:
    return share_item(sum(outcomes), len(outcomes))


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0
