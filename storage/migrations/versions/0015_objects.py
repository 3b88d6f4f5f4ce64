"""The list of objects in an object store, should one be configured."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Forward only; nothing of earlier versions changes."""
    op.create_table(
        "objects",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("written_ns", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_objects")),
    )
    op.create_index("ix_objects_folder", "objects", ["folder"])
    op.create_index("ix_objects_state", "objects", ["state"])
    op.create_table(
        "object_folders",
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=False),
        sa.Column("tree", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("folder", name=op.f("pk_object_folders")),
    )
    op.create_index("ix_object_folders_parent", "object_folders", ["parent"])
    op.create_index("ix_object_folders_tree_version", "object_folders", ["tree", "version"])
