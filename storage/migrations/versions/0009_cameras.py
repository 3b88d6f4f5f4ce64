"""Cameras, who may see them, their recordings, and the videos that are parts of their timelines."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Forward only."""
    op.create_table(
        "cameras",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("folded_name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=True),
        sa.Column("fps", sa.Double(), nullable=True),
        sa.Column("watch", sa.JSON(), nullable=False),
        sa.Column("records", sa.Boolean(), nullable=False),
        sa.Column("segment_days", sa.Double(), nullable=True),
        sa.Column("segment_bytes", sa.BigInteger(), nullable=True),
        sa.Column("still_days", sa.Double(), nullable=True),
        sa.Column("still_bytes", sa.BigInteger(), nullable=True),
        sa.Column("latent_days", sa.Double(), nullable=True),
        sa.Column("latent_bytes", sa.BigInteger(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_note", sa.String(), nullable=False),
        sa.Column("last_frame_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("n_connects", sa.Integer(), nullable=False),
        sa.Column("frames_dropped", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cameras")),
        sa.UniqueConstraint("folded_name", name=op.f("uq_cameras_folded_name")),
    )
    op.create_table(
        "camera_grants",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("camera_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_camera_grants_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["camera_id"],
            ["cameras.id"],
            name=op.f("fk_camera_grants_camera_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "camera_id", name=op.f("pk_camera_grants")),
    )
    op.create_index(op.f("ix_camera_grants_camera_id"), "camera_grants", ["camera_id"])
    op.create_table(
        "segments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("camera_id", sa.String(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["camera_id"], ["cameras.id"], name=op.f("fk_segments_camera_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_segments_video_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("camera_id", "name", name=op.f("uq_segments_camera_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_segments_camera_id_start_at", "segments", ["camera_id", "start_at"])
    op.create_index("ix_segments_video_id_start_s", "segments", ["video_id", "start_s"])
    # No foreign key: SQLite adds one to a table only by making it anew, and what refers to videos
    # would be deleted with the old one.
    op.add_column("videos", sa.Column("camera_id", sa.String(), nullable=True))
    op.create_index(op.f("ix_videos_camera_id"), "videos", ["camera_id"])
