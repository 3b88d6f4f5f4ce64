"""What a store that fails is said to do, in one sentence."""

from pathlib import Path

import pytest

from engine.errors import DiskFullError, LongwatchError, SettingsError, UnreachableError
from storage.object_records import ObjectAddress
from storage.object_store import ObjectStore
from tests.support.object_store import answering, s3_address


def failure(endpoint: str, **given: float) -> LongwatchError:
    store = ObjectStore(s3_address(endpoint, "home", **({"patience_s": 0.0} | given)))
    with pytest.raises(LongwatchError) as caught:
        store.put("latents/a", b"bytes", "0" * 64, replaces=False)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (404, "NoSuchBucket", UnreachableError, "there is no such bucket"),
        (403, "AccessDenied", UnreachableError, "access is refused"),
        (403, "SignatureDoesNotMatch", UnreachableError, "access is refused"),
        (401, "InvalidAccessKeyId", UnreachableError, "access is refused"),
        (403, "RequestTimeTooSkewed", UnreachableError, "the clock of this machine differs"),
        (403, "QuotaExceeded", DiskFullError, "the store or a quota of it is full"),
        (507, "XMinioStorageFull", DiskFullError, "the store or a quota of it is full"),
        (503, "SlowDown", UnreachableError, r"it answers 503 \(SlowDown\)"),
        (500, "InternalError", UnreachableError, "it answers 500"),
    ],
)
def test_each_refusal_is_one_sentence(
    status: int, code: str, kind: type[LongwatchError], said: str
) -> None:
    with answering(status, code) as endpoint:
        error = failure(endpoint)
    assert type(error) is kind
    assert error.message.count("\n") == 0
    assert "test" not in (error.hint or ""), "no secret is shown"
    with pytest.raises(kind, match=said):
        raise error


def test_a_store_that_is_not_there_cannot_be_reached() -> None:
    error = failure("http://127.0.0.1:9")
    assert error.message == (
        "s3://longwatch-test/home: latents/a cannot be written: it cannot be reached"
    )


def test_a_store_that_does_not_answer_is_not_waited_for_without_end() -> None:
    with answering(500, "InternalError", wait_s=5.0) as endpoint:
        error = failure(endpoint, timeout_s=0.5)
    assert "it does not answer in time" in error.message


def test_a_failure_that_passes_is_not_seen() -> None:
    with answering(503, "SlowDown", after=2) as endpoint:
        store = ObjectStore(s3_address(endpoint, "home", patience_s=60.0))
        assert store.put("latents/a", b"bytes", "0" * 64, replaces=False)


def test_what_will_not_pass_is_not_tried_again() -> None:
    with answering(403, "AccessDenied", after=1) as endpoint:
        error = failure(endpoint, patience_s=60.0)
    assert "access is refused" in error.message


@pytest.mark.parametrize("url", ["http://somewhere/bucket", "bucket", "memory:///"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"objects\.url"):
        ObjectStore(ObjectAddress(url=url))


def test_a_shared_folder_that_is_full_or_not_writable_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "bucket"
    store = ObjectStore(ObjectAddress(url=blocked.as_uri(), patience_s=0.0))
    (blocked / "latents").write_text("a file where a folder should be")
    with pytest.raises(UnreachableError, match="latents/a cannot be written"):
        store.put("latents/a", b"1", "0" * 64, replaces=False)
