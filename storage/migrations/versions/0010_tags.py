"""Tags of videos as people write them, and counts of observations by label."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Forward only; until here no video has one."""
    op.add_column("videos", sa.Column("tags", sa.JSON(), nullable=True))
    # What was observed in which video is counted from this index alone.
    op.create_index(
        "ix_observations_video_id_kind_label", "observations", ["video_id", "kind", "label"]
    )
