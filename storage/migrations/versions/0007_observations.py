"""Observations, and full-text search over their words and those of captions.

Captions get a key of their own: the index refers to rows by number, and a vacuum of SQLite
renumbers rows that have none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Forward only."""
    _renew_captions()
    _add_observations()
    for table in ("captions", "observations"):
        if op.get_bind().dialect.name == "sqlite":
            _index_sqlite(table)
        else:
            op.execute(
                f"CREATE INDEX ix_{table}_fts ON {table} "
                "USING gin (to_tsvector('english'::regconfig, words))"
            )


def _renew_captions() -> None:
    op.rename_table("captions", "captions_before")
    if op.get_bind().dialect.name != "sqlite":
        # Names of constraints are those of a whole schema on PostgreSQL.
        op.execute("ALTER TABLE captions_before DROP CONSTRAINT pk_captions")
        op.execute("ALTER TABLE captions_before DROP CONSTRAINT fk_captions_video_id")
    op.create_table(
        "captions",
        sa.Column("id", _serial(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_captions_video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_captions")),
        sa.UniqueConstraint(
            "video_id",
            "fingerprint",
            "ordinal",
            name=op.f("uq_captions_video_id_fingerprint_ordinal"),
        ),
    )
    columns = "video_id, fingerprint, ordinal, start_s, end_s, text, words, model, created_at"
    op.execute(
        f"INSERT INTO captions ({columns}) SELECT {columns} FROM captions_before "
        "ORDER BY video_id, fingerprint, ordinal"
    )
    op.drop_table("captions_before")


def _add_observations() -> None:
    op.create_table(
        "observations",
        sa.Column("id", _serial(), nullable=False),
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("peak_s", sa.Double(), nullable=False),
        sa.Column("track", sa.Integer(), nullable=True),
        sa.Column("boxes", sa.JSON(), nullable=False),
        sa.Column("colours", sa.JSON(), nullable=False),
        sa.Column("heading", sa.String(), nullable=False),
        sa.Column("n_seen", sa.Integer(), nullable=False),
        sa.Column("n_looked", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("vector_model", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_observations_video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observations")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_observations_video_id_kind_start_s", "observations", ["video_id", "kind", "start_s"]
    )
    op.create_table(
        "observed",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("start_s", sa.Double(), nullable=False),
        sa.Column("end_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_observed_video_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("video_id", "kind", name=op.f("pk_observed")),
    )


def _index_sqlite(table: str) -> None:
    """Keep the words once, in the table, and the index beside it; a cascade fires triggers too."""
    op.execute(
        f"CREATE VIRTUAL TABLE {table}_fts USING fts5(words, content='{table}', "
        "content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')"
    )
    add = f"INSERT INTO {table}_fts (rowid, words) VALUES (new.id, new.words);"
    drop = (
        f"INSERT INTO {table}_fts ({table}_fts, rowid, words) VALUES ('delete', old.id, old.words);"
    )
    for event, action in {
        "INSERT": add,
        "DELETE": drop,
        "UPDATE OF words": f"{drop} {add}",
    }.items():
        name = f"{table}_fts_{event.split()[0].lower()}"
        op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {action} END")
    op.execute(f"INSERT INTO {table}_fts ({table}_fts) VALUES ('rebuild')")


def _serial() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
