"""Whole files in an object store: S3 and what speaks like it, Google, Azure, or a shared folder.

The only file that imports obstore. An object appears whole or not at all; what the store answers
becomes one of `engine.errors`, in one sentence. A request that failed for a reason that may pass is
repeated with growing pauses, and then given up.
"""

import hashlib
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from engine.errors import (
    MissingCapabilityError,
    NotFoundError,
    SettingsError,
    UnreachableError,
)
from storage.object_errors import first_line, missing_error, store_error
from storage.object_records import ObjectAddress, ObjectRow, StoredObject

SHA256: Final = "sha256"
"""Attribute of an object: the digest of its bytes."""
BLOCK_BYTES: Final = 1 << 20
READ_PATIENCE_S: Final = 5.0
"""Who reads waits for an answer, and is told sooner than a writer that nothing can be had."""
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 10.0
_SCHEMES: Final = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "file"})

_Result = TypeVar("_Result")


class ObjectStore:
    """One bucket, or a part of one below a prefix. Safe for several threads.

    Args:
        address: Where it is; nothing is asked of it yet.
        holds_some: Whether objects are known to lie there. A shared folder without anything in it
            is then one that is not mounted: read, all would be lost, and written, it would be the
            disk below.
    Raises:
        MissingCapabilityError: The package is not installed.
        SettingsError: The address cannot be understood.
    """

    def __init__(
        self, address: ObjectAddress, *, holds_some: Callable[[], bool] = lambda: False
    ) -> None:
        self.where = address.url.rstrip("/")
        """Its address, for messages: it holds no secret."""
        parts = urlsplit(address.url)
        self._scheme = parts.scheme
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._patience_s = address.patience_s
        self._holds_some = holds_some
        self._obstore = _obstore()
        self._store = self._open(address)

    @property
    def can_sign(self) -> bool:
        """Whether browsers can be sent to an object by an address that expires."""
        return self._scheme != "file"

    def check(self) -> None:
        """Ask whether the bucket is there and may be read.

        Raises:
            UnreachableError: It does not answer, refuses, or is not there.
        """
        if self._folder is not None and not self._folder.is_dir():
            # Listed it would be taken for one without objects.
            raise UnreachableError(f"{self.where}: there is no such folder")

        def list_some() -> None:
            next(iter(self._obstore.list(self._store, chunk_size=1)), None)

        self._ask(list_some, "cannot be listed", patience_s=0.0)

    def put(
        self, key: str, file: Path | bytes, sha256: str, *, replaces: bool, patient: bool = True
    ) -> bool:
        """Write an object, whole or not at all.

        Args:
            sha256: Of its bytes; kept beside it where the store can.
            replaces: Whether an object of this key is replaced; else the first writer wins.
            patient: Whether a failure that may pass is tried again.
        Returns:
            Whether this call wrote it; `False` leaves the one that was there.
        Raises:
            DiskFullError: The store, or a quota of it, is full.
            UnreachableError: It does not answer, refuses, or is not there.
        """
        options: dict[str, Any] = {"mode": "overwrite" if replaces else "create"}
        if self._scheme != "file":
            options["attributes"] = {SHA256: sha256}

        def write() -> bool:
            try:
                self._obstore.put(self._store, key, file, **options)
            except self._obstore.exceptions.AlreadyExistsError:
                return False
            return True

        patience_s = self._patience_s if patient else 0.0
        return self._ask(write, f"{key} cannot be written", patience_s=patience_s)

    def read(self, key: str, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)` of an object.

        Raises:
            NotFoundError: There is no such object.
            UnreachableError: The store does not answer, or refuses.
        """
        if start >= end:
            return b""

        def read_range() -> bytes:
            return bytes(self._obstore.get_range(self._store, key, start=start, end=end))

        return self._ask(read_range, f"{key} cannot be read")

    def download(self, key: str, path: Path) -> str:
        """Write the bytes of an object into a file; return their SHA-256.

        Raises:
            NotFoundError: There is no such object.
            OSError: The file cannot be written.
            UnreachableError: The store does not answer, or refuses.
        """

        def stream() -> str:
            digest = hashlib.sha256()
            blocks = self._obstore.get(self._store, key).stream(min_chunk_size=BLOCK_BYTES)
            with path.open("wb") as file:
                for block in blocks:
                    digest.update(block)
                    file.write(block)
            return digest.hexdigest()

        return self._ask(stream, f"{key} cannot be read")

    def examine(self, key: str) -> ObjectRow | None:
        """Return an object as its bytes are, by reading them all.

        Returns:
            `None` where they are not those of which the digest was noted beside it.
        Raises:
            NotFoundError: There is no such object.
            UnreachableError: The store does not answer, or refuses.
        """

        def stream() -> ObjectRow | None:
            digest, n_bytes = hashlib.sha256(), 0
            answer = self._obstore.get(self._store, key)
            for block in answer.stream(min_chunk_size=BLOCK_BYTES):
                digest.update(block)
                n_bytes += len(block)
            sha256 = digest.hexdigest()
            if answer.attributes.get(SHA256) not in {None, sha256}:
                return None
            written_ns = int(answer.meta["last_modified"].timestamp() * 1e9)
            return ObjectRow(key=key, n_bytes=n_bytes, sha256=sha256, written_ns=written_ns)

        return self._ask(stream, f"{key} cannot be read")

    def noted_digest(self, key: str) -> str:
        """Return the SHA-256 that was noted beside an object; its bytes are read where none was.

        Raises:
            NotFoundError: There is no such object.
            UnreachableError: The store does not answer, or refuses.
        """

        def look() -> str | None:
            # A request for all of which nothing is read but what stands before the bytes.
            attributes: Mapping[str, str] = self._obstore.get(self._store, key).attributes
            return attributes.get(SHA256)

        if (noted := self._ask(look, f"{key} cannot be read")) is not None:
            return noted
        row = self.examine(key)
        assert row is not None, "it differs from what was noted, and nothing was"
        return row.sha256

    def size(self, key: str) -> int | None:
        """Return the bytes of an object; `None` where there is none.

        Raises:
            UnreachableError: The store does not answer, or refuses.
        """

        def look() -> int:
            return int(self._obstore.head(self._store, key)["size"])

        try:
            return self._ask(look, f"{key} cannot be looked at")
        except NotFoundError:
            return None

    def delete(self, keys: Collection[str]) -> None:
        """Delete objects; those that are gone already are no failure.

        Raises:
            UnreachableError: The store does not answer, or refuses.
        """
        some = sorted(keys)

        def remove(what: list[str] | str) -> None:
            self._obstore.delete(self._store, what)

        try:
            if some:
                self._ask(lambda: remove(some), f"{some[0]} cannot be deleted", patience_s=0.0)
        except NotFoundError:
            # One that is gone already keeps a folder from going on with the others.
            for key in some:
                with suppress(NotFoundError):
                    self._ask(partial(remove, key), f"{key} cannot be deleted")

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield the objects below a folder with their sizes.

        Raises:
            UnreachableError: The store does not answer, or refuses.
        """
        return ((stored.key, stored.n_bytes) for stored in self.list_stored(prefix))

    def list_stored(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield the objects below a folder with what the store says of each.

        Raises:
            UnreachableError: The store does not answer, or refuses.
        """
        batches = iter(self._obstore.list(self._store, prefix or None))
        while True:
            batch = self._ask(lambda: next(batches, None), "cannot be listed", patience_s=0.0)
            if batch is None:
                return
            for meta in batch:
                yield StoredObject(
                    key=meta["path"], n_bytes=meta["size"], put_at=meta["last_modified"]
                )

    def signed_url(self, key: str, seconds: float) -> str:
        """Return an address by which anyone may read an object for some time.

        Raises:
            UnreachableError: There are no credentials to sign with.
        """

        def sign() -> str:
            return str(self._obstore.sign(self._store, "GET", key, timedelta(seconds=seconds)))

        return self._ask(sign, f"{key} cannot be signed", patience_s=0.0)

    def _open(self, address: ObjectAddress) -> Any:
        if self._scheme not in _SCHEMES:
            raise SettingsError(
                f"objects.url = {address.url!r} cannot be understood",
                hint="write s3://BUCKET/PREFIX, gs://BUCKET, az://CONTAINER or file:///FOLDER",
            )
        try:
            if self._scheme == "file":
                return self._obstore.store.from_url(address.url, mkdir=True)
            second = timedelta(seconds=1)
            options = {
                "timeout": address.timeout_s * second,
                "connect_timeout": min(5.0, address.timeout_s) * second,
                # A server of one's own network may have no certificate.
                "allow_http": (address.endpoint or "").startswith("http://"),
            }
            return self._obstore.store.from_url(
                address.url,
                config=_store_config(self._scheme, address),
                client_options=options,
                # Repeated here: a write too, which is the same write again.
                retry_config={"max_retries": 0},
            )
        except (self._obstore.exceptions.BaseError, ValueError, OSError) as error:
            raise SettingsError(
                f"objects.url = {address.url!r} cannot be used: {first_line(error)}"
            ) from error

    def _ask(
        self, request: Callable[[], _Result], failure: str, *, patience_s: float | None = None
    ) -> _Result:
        """Return what a request returns, repeated while its failure may pass."""
        if patience_s is None:
            patience_s = min(self._patience_s, READ_PATIENCE_S)
        deadline = time.monotonic() + patience_s
        pause_s = _FIRST_PAUSE_S
        while True:
            self._refuse_unmounted()
            try:
                return request()
            except FileNotFoundError as error:
                raise missing_error(self.where, failure, error) from error
            except self._obstore.exceptions.BaseError as error:
                known = self._obstore.exceptions
                refused = (known.PermissionDeniedError, known.UnauthenticatedError)
                translated = store_error(
                    self.where, failure, error, is_refusal=isinstance(error, refused)
                )
                may_pass = type(translated) is UnreachableError and translated.hint is None
                if not may_pass or time.monotonic() + pause_s > deadline:
                    raise translated from error
            # Of many workers that lost the store together not all come back at once.
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def _refuse_unmounted(self) -> None:
        folder = self._folder
        if folder is None or (folder.is_dir() and any(folder.iterdir())):
            return
        if self._holds_some():
            raise UnreachableError(
                f"{self.where}: the folder is empty, and objects are known to lie there",
                hint="is it mounted?",
            )


def _obstore() -> Any:
    try:
        # Late: of use only where a store is configured.
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError as error:
        raise MissingCapabilityError(
            "object stores need a package that is not installed",
            hint="pip install 'longwatch[s3]'",
        ) from error
    return obstore


def _store_config(scheme: str, address: ObjectAddress) -> dict[str, str]:
    config: dict[str, str | None] = {}
    if scheme in {"s3", "s3a"}:
        config = {
            "endpoint": address.endpoint,
            "region": address.region,
            "access_key_id": address.access_key_id,
            "secret_access_key": address.secret_access_key,
            # The store computes it too, and refuses bytes that were damaged on the way.
            "checksum_algorithm": "SHA256",
            # Servers of one's own answer at their address, not at a name for each bucket.
            "virtual_hosted_style_request": None if address.endpoint is None else "false",
        }
    elif scheme != "gs":
        config = {
            "account_name": address.access_key_id,
            "account_key": address.secret_access_key,
            "endpoint": address.endpoint,
        }
    return {name: value for name, value in config.items() if value is not None}
