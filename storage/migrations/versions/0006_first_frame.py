"""The moment of a file's first frame on the clock that players count by."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Forward only."""
    op.add_column("videos", sa.Column("first_frame_s", sa.Double(), nullable=True))
