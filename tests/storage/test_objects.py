"""The list of what lies in an object store."""

from datetime import timedelta

from storage.catalog import Catalog
from storage.object_records import ObjectRow
from tests.storage.conftest import Clock


def row(key: str, *, content: str = "a", written_ns: int = 1) -> ObjectRow:
    return ObjectRow(key=key, n_bytes=len(content), sha256=content * 64, written_ns=written_ns)


def test_what_is_kept_is_found_by_key_folder_and_tree(catalog: Catalog) -> None:
    objects = catalog.objects
    objects.keep([row("latents/f/v/1"), row("latents/f/v/2"), row("media/u.bin", content="ab")])
    assert objects.find("latents/f/v/1") == row("latents/f/v/1")
    assert objects.find("latents/f/v/3") is None
    assert [item.name for item in objects.of_folder("latents/f/v")] == ["1", "2"]
    assert objects.versions("latents/f").keys() == {"latents/f/v"}
    assert objects.folders("latents", "v") == ("latents/f/v",)
    assert objects.folders("latents", "_") == ()
    assert [(total.tree, total.n_objects) for total in objects.totals()] == [
        ("latents", 2),
        ("media", 1),
    ]


def test_only_what_has_no_row_is_adopted(catalog: Catalog) -> None:
    objects = catalog.objects
    objects.keep([row("latents/f/v/1"), row("latents/f/v/2")])
    objects.leave(["latents/f/v/2"])
    new = [row(f"latents/f/{key}", content="b") for key in ("v/1", "v/2", "v/video.json", "w/1")]
    assert objects.adopt(new) == 2
    assert objects.adopt(new) == 0
    assert objects.find("latents/f/v/1") == row("latents/f/v/1")
    assert objects.find("latents/f/v/2") is None
    assert objects.versions("latents/f").keys() == {"latents/f/v", "latents/f/w"}
    assert objects.named("latents", "video.json") == ("latents/f/v/video.json",)
    assert objects.named("latents", "video_json") == ()
    states = {key: item.state for key, item in objects.of_keys(["latents/f/v/2", "x"]).items()}
    assert states == {"latents/f/v/2": "leaving"}


def test_every_change_of_a_folder_raises_its_version(catalog: Catalog, clock: Clock) -> None:
    objects, versions = catalog.objects, [catalog.objects.version("stills/v")]
    for change in (
        lambda: objects.keep([row("stills/v/1")]),
        lambda: objects.keep([row("stills/v/1", content="b")]),
        lambda: objects.leave(["stills/v/1"]),
        lambda: objects.have_left(["stills/v/1"]),
    ):
        change()
        versions.append(objects.version("stills/v"))
    assert versions == sorted(set(versions))
    assert objects.newest("stills") == versions[-1]
    assert objects.newest("latents") == 0
    assert objects.versions("stills") == {}, "a folder of which nothing is kept is none"


def test_what_leaves_is_a_debt_until_it_is_paid(catalog: Catalog, clock: Clock) -> None:
    objects = catalog.objects
    objects.keep([row("latents/f/v/1"), row("latents/f/v/2"), row("latents/f/w/1")])
    assert objects.leave_folder("latents/f/v") == 2
    assert objects.leave_folder("latents/f/v") == 0
    assert objects.find("latents/f/v/1") is None
    assert objects.n_leaving() == 2
    assert sorted(objects.leaving(10)) == ["latents/f/v/1", "latents/f/v/2"]
    # One of them is written again before the debt is paid.
    objects.keep([row("latents/f/v/1", content="b")])
    objects.have_left(["latents/f/v/1", "latents/f/v/2"])
    assert objects.n_leaving() == 0
    assert objects.find("latents/f/v/1") == row("latents/f/v/1", content="b")
    clock.advance(60)
    assert objects.forget_gone(clock.time - timedelta(days=1)) == 0
    assert objects.forget_gone(clock.time) == 1
    assert [item.name for item in objects.of_folder("latents/f/v")] == ["1"]


def test_all_are_read_in_pages(catalog: Catalog) -> None:
    catalog.objects.keep([row(f"stills/v/{number}") for number in range(5)])
    first = catalog.objects.kept(limit=3)
    rest = catalog.objects.kept(behind=first[-1].key, limit=3)
    assert [item.name for item in (*first, *rest)] == ["0", "1", "2", "3", "4"]
