"""Errors for what an object store answers, each in one sentence."""

import re
from typing import Final

from engine.errors import DiskFullError, LongwatchError, NotFoundError, UnreachableError

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"})
_SKEWED: Final = frozenset({"RequestTimeTooSkewed", "RequestExpired"})
_FULL: Final = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientStorage",
        "QuotaExceeded",
        "ServiceQuotaExceededException",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
    }
)


def missing_error(where: str, failure: str, error: Exception) -> LongwatchError:
    """Return the error for something that is not there: an object, or the bucket itself."""
    if set(_CODE.findall(str(error))) & _NO_BUCKET:
        return _no_bucket(where)
    return NotFoundError(f"{where}: {failure}: there is no such object")


def store_error(where: str, failure: str, error: Exception, *, is_refusal: bool) -> LongwatchError:
    """Return the error for what a store answered; without a hint it may pass by itself.

    Args:
        where: The address of the store.
        failure: What could not be done, of which object.
        is_refusal: Whether it is known to be about rights.
    """
    text = str(error)
    codes = set(_CODE.findall(text))
    status = next(iter(_STATUS.findall(text)), "")
    if codes & _NO_BUCKET:
        return _no_bucket(where)
    if codes & _SKEWED:
        return UnreachableError(
            f"{where}: the clock of this machine differs from that of the store",
            hint="set the clock, by NTP for instance",
        )
    if codes & _FULL or status == "507" or "No space left" in text or "os error 28" in text:
        return DiskFullError(
            f"{where}: {failure}: the store or a quota of it is full",
            hint="free space there or raise the quota; what is stored stays",
        )
    if is_refusal or status in {"401", "403"} or "169.254.169.254" in text:
        return UnreachableError(
            f"{where}: {failure}: access is refused",
            hint="check objects.access_key_id and objects.secret_access_key, or what the "
            "environment holds, and the rights of that account",
        )
    return UnreachableError(f"{where}: {failure}: {_reason(text)}")


def _no_bucket(where: str) -> UnreachableError:
    return UnreachableError(
        f"{where}: there is no such bucket",
        hint="create it, or correct the setting objects.url",
    )


def _reason(text: str) -> str:
    status = next(iter(_STATUS.findall(text)), None)
    code = next(iter(_CODE.findall(text)), None)
    if status is not None:
        return f"it answers {status}" + ("" if code is None else f" ({code})")
    if "timed out" in text or "operation timed out" in text or "TimedOut" in text:
        return "it does not answer in time"
    if "builder error" in text:
        return "its endpoint is http://, and objects.endpoint does not say so"
    if "error sending request" in text or "Connect" in text:
        return "it cannot be reached"
    return first_line(text)


def first_line(error: object) -> str:
    """Return what stands before what is for developers of the store's library."""
    return str(error).partition("\n")[0][:200]
