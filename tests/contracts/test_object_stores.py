"""What every object store promises: a shared folder, and S3 under `make test-scale`."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from engine.errors import NotFoundError
from storage.object_records import ObjectAddress
from storage.object_store import ObjectStore
from tests.support.object_store import STORES, s3_address, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(ObjectAddress(url=(tmp_path / "bucket").as_uri()))
    return ObjectStore(s3_address(request.getfixturevalue("s3"), tmp_path.name))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_is_put_comes_back(store: ObjectStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 30_000
    file = tmp_path / "given.bin"
    file.write_bytes(content)
    assert store.put("latents/a/b/1", file, digest(content), replaces=False)
    assert store.download("latents/a/b/1", tmp_path / "back.bin") == digest(content)
    assert (tmp_path / "back.bin").read_bytes() == content
    found = store.examine("latents/a/b/1")
    assert found is not None
    assert (found.n_bytes, found.sha256) == (len(content), digest(content))
    assert store.noted_digest("latents/a/b/1") == digest(content)
    assert store.size("latents/a/b/1") == len(content)


def test_a_part_is_read_without_the_rest(store: ObjectStore) -> None:
    store.put("a/b", b"0123456789", digest(b"0123456789"), replaces=False)
    assert store.read("a/b", 3, 6) == b"345"
    assert store.read("a/b", 8, 20) == b"89"
    assert store.read("a/b", 4, 4) == b""


def test_the_first_of_two_writers_wins(store: ObjectStore) -> None:
    assert store.put("a/b", b"first", digest(b"first"), replaces=False)
    assert not store.put("a/b", b"second", digest(b"second"), replaces=False)
    assert store.read("a/b", 0, 100) == b"first"


def test_of_many_writers_at_once_one_wins_and_nothing_is_torn(store: ObjectStore) -> None:
    contents = [bytes([number]) * 400_000 for number in range(6)]

    def put(content: bytes) -> bool:
        return store.put("a/b", content, digest(content), replaces=False)

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(put, contents))
    assert won.count(True) == 1
    assert store.read("a/b", 0, 400_000) == contents[won.index(True)]


def test_an_object_is_replaced_where_that_is_wanted(store: ObjectStore) -> None:
    store.put("a/b", b"first", digest(b"first"), replaces=True)
    assert store.put("a/b", b"second", digest(b"second"), replaces=True)
    assert store.noted_digest("a/b") == digest(b"second")


def test_bytes_that_are_not_those_that_were_noted_are_told(store: ObjectStore) -> None:
    store.put("a/b", b"other", digest(b"first"), replaces=True)
    found = store.examine("a/b")
    # A shared folder notes nothing.
    assert (found is None) == store.can_sign


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: ObjectStore) -> None:
    store.put("a/b", b"1", digest(b"1"), replaces=False)
    store.put("a/c", b"2", digest(b"2"), replaces=False)
    store.delete(["a/b", "a/never"])
    store.delete(["a/b"])
    assert store.size("a/b") is None
    assert store.size("a/c") == 1


def test_a_folder_is_listed_with_sizes(store: ObjectStore) -> None:
    for key in ("a/1", "a/2/x", "ab/1"):
        store.put(key, key.encode(), digest(key.encode()), replaces=False)
    assert sorted(store.list("a")) == [("a/1", 3), ("a/2/x", 5)]
    assert len(list(store.list())) == 3


def test_what_is_not_there_is_said_to_be_missing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="a/b cannot be read: there is no such object"):
        store.read("a/b", 0, 1)
    with pytest.raises(NotFoundError, match="there is no such object"):
        store.download("a/b", tmp_path / "x")
    assert store.size("a/b") is None
    store.check()


def test_a_signed_address_is_read_by_anyone(store: ObjectStore) -> None:
    if not store.can_sign:
        pytest.skip("a shared folder has no addresses")
    store.put("media/a.bin", b"0123456789", digest(b"0123456789"), replaces=False)
    answer = httpx.get(store.signed_url("media/a.bin", 60), headers={"range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
