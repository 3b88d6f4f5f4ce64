"""The document of `longwatch migrate`."""

from app.schemas.common import Schema


class MigratedTable(Schema):
    """A table that was found the same on both sides."""

    table: str
    rows: int
    checksum: str
    """Of all rows, whatever their order; the same on every database."""


class MigrationResponse(Schema):
    """A library whose rows are in another database too."""

    source: str
    """Where the rows are still, without a password."""
    target: str
    """Where they are now as well, without a password."""
    rows: int
    tables: list[MigratedTable]
    message: str
    """What to set so that the library is opened there."""
