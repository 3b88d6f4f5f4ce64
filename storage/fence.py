"""The fence around what a job writes: a worker that has lost it to another changes nothing.

Not fenced are rows that are true whoever writes them: of a recorded file, which is there and would
be lost without its row; of alerts, which are raised by compare-and-set; of jobs, which are looked
up before one is added. Files have no transaction: two workers write the same bytes as latents, and
before any other file is written the fence is checked at the last moment.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.errors import LeaseLostError
from storage.records import JobRow
from storage.tables import JobTable


def check_held(session: Session, holder: JobRow | None) -> None:
    """Refuse what a worker writes for a job that another has by now, in the same transaction.

    Call it while holding the lock of the video that is written to, as everywhere else.

    Args:
        holder: As it was claimed; `None`, or one that was never claimed, is let through.
    Raises:
        LeaseLostError: Another has it, or it was ended or deleted.
    """
    if holder is None or holder.lease is None:
        return
    held = select(JobTable.lease).where(JobTable.id == holder.id, JobTable.state == "running")
    # Until this transaction ends nobody takes the job over.
    if session.scalar(held.with_for_update(read=True)) != holder.lease:
        raise LeaseLostError(f"job {holder.id} is another worker's by now")
