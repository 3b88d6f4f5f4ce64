"""Wall clocks with their origin and zone, the track that is read, and files that grow."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Forward only."""
    for column in (
        sa.Column("start_source", sa.String(), nullable=True),
        sa.Column("start_is_local", sa.Boolean(), nullable=True),
        sa.Column("timezone", sa.String(), nullable=True),
        sa.Column("file_name", sa.String(), nullable=True),
        sa.Column("video_track", sa.Integer(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("body_digest", sa.String(), nullable=True),
        sa.Column("has_grown", sa.Boolean(), nullable=True),
    ):
        op.add_column("videos", column)
    videos = sa.table("videos", sa.column("start_at"), sa.column("start_source", sa.String()))
    # Until here a wall clock came from whoever added the video, and from nowhere else.
    op.execute(videos.update().where(videos.c.start_at.is_not(None)).values(start_source="user"))
