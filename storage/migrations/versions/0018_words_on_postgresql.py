"""Full text on PostgreSQL finds what that of SQLite finds.

The configuration `english` leaves out words that people search for (out, no, off, up), has another
stemmer, and tells "café" from "cafe". Words get one of their own: Porter's stems, no stop words,
letters without their marks. On SQLite nothing changes.
"""

from alembic import op

revision = "0018"
down_revision = "0017"

_MARKS = "[\u0300-\u036f]+"
_DOCUMENT = (
    "to_tsvector('longwatch'::regconfig, "
    f"regexp_replace(normalize(words, NFD), '{_MARKS}', '', 'g'))"
)
_INDEXES = {
    "ix_captions_fts": ("captions", ""),
    "ix_observations_fts": ("observations", ""),
    "ix_observations_said_fts": ("observations", " WHERE kind IN ('text', 'speech')"),
}


def upgrade() -> None:
    """Forward only."""
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(
        "CREATE TEXT SEARCH DICTIONARY longwatch_stems (TEMPLATE = snowball, LANGUAGE = porter)"
    )
    op.execute("CREATE TEXT SEARCH CONFIGURATION longwatch (COPY = simple)")
    op.execute(
        "ALTER TEXT SEARCH CONFIGURATION longwatch ALTER MAPPING FOR asciiword, word, numword "
        "WITH longwatch_stems"
    )
    for name, (table, where) in _INDEXES.items():
        op.execute(f"DROP INDEX {name}")
        op.execute(f"CREATE INDEX {name} ON {table} USING gin ({_DOCUMENT}){where}")
