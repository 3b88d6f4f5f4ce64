"""Settings of an object store, in front of which the home folder becomes a cache."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, ByteSize, Field, SecretStr

from app.config.section import GIB, MAX_BYTES, Section
from storage.object_records import ObjectAddress

_ORIGINS: Final = {
    "s3": "https://*.amazonaws.com",
    "s3a": "https://*.amazonaws.com",
    "gs": "https://storage.googleapis.com",
    "az": "https://*.blob.core.windows.net",
    "azure": "https://*.blob.core.windows.net",
}
"""Where addresses that expire lead, unless an endpoint is named."""


def _check_url(url: str | None) -> str | None:
    if url is not None and (urlsplit(url).password or urlsplit(url).query):
        raise ValueError("credentials are settings of their own, no part of the address")
    return url


class ObjectSettings(Section):
    """An object store (S3, Google, Azure, a shared folder) for the files of the library, so that
    several machines share them. The home folder is then a cache in front of it. Needs
    `pip install 'longwatch[s3]'`; off without a `url`."""

    url: Annotated[str | None, AfterValidator(_check_url)] = None
    """Where files are kept: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or
    `file:///folder` for one that machines share. Without a value, in the home folder alone."""
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^@\s]+$")
    """Address of a server that speaks S3, as `https://s3.example.org:9000`. Without a value, the
    cloud's own."""
    region: str | None = Field(default=None, min_length=1)
    """Region of the bucket. Without a value, what the environment says."""
    access_key_id: SecretStr | None = None
    """Name of the account (on Azure the storage account). Without a value, what the environment
    says, as for the cloud's own tools: `AWS_ACCESS_KEY_ID`, a role of the machine and so on."""
    secret_access_key: SecretStr | None = None
    """Its secret. `LONGWATCH_OBJECTS__SECRET_ACCESS_KEY` keeps it out of files."""
    cache_bytes: ByteSize = Field(default=ByteSize(64 * GIB), ge=1, le=MAX_BYTES)
    """Most bytes of files in the home folder that are in the store too; beyond that, the least
    recently used are deleted here. A file that is not in the store yet, or in use, never is."""
    timeout_s: float = Field(default=30.0, ge=0.5, le=3600)
    """Seconds that one request may take."""
    patience_s: float = Field(default=60.0, ge=0, le=3600)
    """Seconds that a failing request is repeated, with growing pauses, before a job is put off."""
    signed_s: float | None = Field(default=None, ge=10, le=604800)
    """Seconds that an address is good for by which a browser plays a video from the store itself,
    which it must be able to reach. Without a value, Longwatch hands the bytes on."""

    @property
    def address(self) -> ObjectAddress | None:
        """The place of the store, secrets included: not to be shown."""
        if self.url is None:
            return None
        return ObjectAddress(
            url=self.url,
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=_secret(self.access_key_id),
            secret_access_key=_secret(self.secret_access_key),
            timeout_s=float(self.timeout_s),
            patience_s=float(self.patience_s),
        )

    @property
    def signed_origin(self) -> str | None:
        """The origin to which browsers are sent for videos; `None` where they never are."""
        if self.url is None or self.signed_s is None:
            return None
        if self.endpoint is not None:
            return f"{urlsplit(self.endpoint).scheme}://{urlsplit(self.endpoint).netloc}"
        return _ORIGINS.get(urlsplit(self.url).scheme)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
