"""Transport of a camera over RTSP, and whether its sound is recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Forward only; until here cameras were asked for TCP alone."""
    op.add_column(
        "cameras", sa.Column("transport", sa.String(), nullable=False, server_default="auto")
    )
    op.add_column(
        "cameras",
        sa.Column("records_sound", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
