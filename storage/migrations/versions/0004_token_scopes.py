"""Scopes of API tokens, which were stored before but not enforced."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Forward only."""
    tokens = sa.table("tokens", sa.column("kind", sa.String()), sa.column("scopes", sa.JSON()))
    # Tokens handed out so far could do all that their users may, and go on so within the scopes.
    op.execute(tokens.update().where(tokens.c.kind == "api").values(scopes=["read", "write"]))
