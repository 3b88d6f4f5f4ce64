"""Needle probes: a grid of cells, stored cell by cell so that it can be watched as it grows."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from engine.errors import NotFoundError
from engine.probe_records import ProbeCell, ProbeResult
from engine.records import Recall
from storage.database import Database
from storage.fence import check_held
from storage.records import JobId, JobRow, Json, ProbeRunId, ProbeRunRow
from storage.tables import ProbeCellTable, ProbeRunTable


class Probes:
    """Probe runs and their cells."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self, result: ProbeResult, *, settings: Json | None = None, holder: JobRow | None = None
    ) -> ProbeRunRow:
        """Add a run with the cells it has; later ones follow by `add_cell`.

        Args:
            holder: The job that makes it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            check_held(session, holder)
            row = ProbeRunTable(
                job_id=None if holder is None else holder.id,
                haystack=result.haystack,
                model=result.model,
                compression_ratio=result.compression_ratio,
                recall=result.recall,
                settings=dict(settings or {}),
                wall_s=result.wall_s,
                created_at=self._now(),
            )
            row.cells = [_cell_row(ordinal, cell) for ordinal, cell in enumerate(result.cells)]
            session.add(row)
            session.flush()
            return _run(row)

    def add_cell(
        self,
        run: ProbeRunId,
        cell: ProbeCell,
        *,
        wall_s: float,
        trials: Sequence[Json] = (),
        holder: JobRow | None = None,
    ) -> int:
        """Append a cell to a run.

        Args:
            wall_s: Time of the whole run so far.
            trials: For each needle: what was asked, answered and retrieved.
            holder: The job that makes the run, as it was claimed.
        Returns:
            Number of cells that the run has now.
        Raises:
            NotFoundError: The run was removed meanwhile.
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = session.get(ProbeRunTable, run, with_for_update=True)
            if row is None:
                raise _no_run(run)
            check_held(session, holder)
            row.wall_s = wall_s
            n_cells = session.scalar(
                select(func.count()).select_from(ProbeCellTable).where(ProbeCellTable.run_id == run)
            )
            ordinal = n_cells or 0
            added = _cell_row(ordinal, cell)
            added.run_id = run
            added.trials = [dict(trial) for trial in trials]
            session.add(added)
            return ordinal + 1

    def get(self, run: ProbeRunId) -> ProbeRunRow:
        """Return the run of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _run(_row(session, run))

    def trials(self, run: ProbeRunId, cell: int) -> tuple[Json, ...]:
        """Return the trials of a cell, one a needle.

        Args:
            run: Any.
            cell: Its position in the grid, from 0.
        Raises:
            NotFoundError: The run has no such cell.
        """
        with self._database.reading() as session:
            row = session.get(ProbeCellTable, (run, cell))
            if row is None:
                raise NotFoundError(f"no cell {cell} in probe run {run}")
            return tuple(row.trials)

    def list(
        self, *, limit: int | None = None, job: JobId | None = None
    ) -> tuple[ProbeRunRow, ...]:
        """Return runs, newest first; those of one job if it is given."""
        query = select(ProbeRunTable).order_by(ProbeRunTable.id.desc()).limit(limit)
        if job is not None:
            query = query.where(ProbeRunTable.job_id == job)
        with self._database.reading() as session:
            return tuple(map(_run, session.scalars(query)))

    def remove(self, run: ProbeRunId) -> None:
        """Delete a run with its cells."""
        with self._database.writing() as session:
            session.execute(delete(ProbeRunTable).where(ProbeRunTable.id == _row(session, run).id))


def _row(session: Session, run: ProbeRunId) -> ProbeRunTable:
    row = session.get(ProbeRunTable, run)
    if row is None:
        raise _no_run(run)
    return row


def _no_run(run: ProbeRunId) -> NotFoundError:
    return NotFoundError(f"no probe run {run}")


def _cell_row(ordinal: int, cell: ProbeCell) -> ProbeCellTable:
    return ProbeCellTable(
        ordinal=ordinal,
        length_frames=cell.length_frames,
        length_s=cell.length_s,
        depth=cell.depth,
        n=cell.n,
        answers_right=cell.answers_right,
        evidence_hit_at_1=cell.evidence_hit_at_1,
        evidence_hit_at_5=cell.evidence_hit_at_5,
    )


def _cell(row: ProbeCellTable) -> ProbeCell:
    return ProbeCell(
        length_frames=row.length_frames,
        length_s=row.length_s,
        depth=row.depth,
        n=row.n,
        answers_right=row.answers_right,
        evidence_hit_at_1=row.evidence_hit_at_1,
        evidence_hit_at_5=row.evidence_hit_at_5,
    )


def _run(row: ProbeRunTable) -> ProbeRunRow:
    return ProbeRunRow(
        id=ProbeRunId(row.id),
        result=ProbeResult(
            haystack=row.haystack,
            model=row.model,
            compression_ratio=row.compression_ratio,
            recall=cast(Recall, row.recall),
            cells=tuple(map(_cell, row.cells)),
            wall_s=row.wall_s,
        ),
        settings=row.settings,
        job=None if row.job_id is None else JobId(row.job_id),
        created_at=row.created_at,
    )
