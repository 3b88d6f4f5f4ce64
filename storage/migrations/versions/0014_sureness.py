"""Observations by sureness, and full-text search over print and speech alone.

A search asks for the surest rows of a label over all videos, and for words among what was read and
said; of a library of thousands of videos neither may read every row of a thing.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

_SAID = "kind IN ('text', 'speech')"


def upgrade() -> None:
    """Forward only; nothing of earlier versions changes."""
    op.create_index(
        "ix_observations_kind_label_confidence", "observations", ["kind", "label", "confidence"]
    )
    if op.get_bind().dialect.name != "sqlite":
        op.execute(
            "CREATE INDEX ix_observations_said_fts ON observations "
            f"USING gin (to_tsvector('english'::regconfig, words)) WHERE {_SAID}"
        )
        return
    op.execute(
        "CREATE VIRTUAL TABLE said_fts USING fts5(words, content='observations', "
        "content_rowid='id', tokenize='porter unicode61 remove_diacritics 2')"
    )
    add = "INSERT INTO said_fts (rowid, words) VALUES (new.id, new.words);"
    drop = "INSERT INTO said_fts (said_fts, rowid, words) VALUES ('delete', old.id, old.words);"
    for event, row, action in (
        ("INSERT", "new", add),
        ("DELETE", "old", drop),
        ("UPDATE OF words", "new", f"{drop} {add}"),
    ):
        name = f"said_fts_{event.split()[0].lower()}"
        op.execute(
            f"CREATE TRIGGER {name} AFTER {event} ON observations "
            f"WHEN {row}.{_SAID} BEGIN {action} END"
        )
    op.execute(
        f"INSERT INTO said_fts (rowid, words) SELECT id, words FROM observations WHERE {_SAID}"
    )
