"""Grounds of kept answers: who answered, rows behind evidence, and moments not confirmed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Forward only; of answers until here these are unknown."""
    op.add_column("turns", sa.Column("answered_by", sa.String(), nullable=True))
    op.add_column("evidence", sa.Column("is_nearest", sa.Boolean(), nullable=True))
    op.add_column("evidence", sa.Column("observations", sa.JSON(), nullable=True))
