"""Still images beside a question, kept with its conversation."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Forward only; nothing of earlier versions changes."""
    op.create_table(
        "turn_images",
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("jpeg", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id", "ordinal"],
            ["turns.conversation_id", "turns.ordinal"],
            name=op.f("fk_turn_images_conversation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "ordinal", "place", name=op.f("pk_turn_images")),
    )
