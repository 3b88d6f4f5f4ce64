"""The offer of signed evidence below a player: a link, or the reason why there is none."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.services.wall_clock import ClockChange, change_clock
from app.ui.evidence import draw_offer
from engine.errors import NotFoundError
from engine.records import TimeSpan
from tests.support.site import Library, Site, open_site

MARKED = TimeSpan(start_s=1.0, end_s=3.0)


@pytest.fixture(scope="module")
def site(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A library whose first video a camera filmed."""
    with open_site(library, tmp_path_factory.mktemp("evidence") / "site") as opened:
        catalog = opened.services.catalog
        camera = catalog.cameras.add(name="Gate & yard", address="rtsp://127.0.0.1:9/live")
        row = catalog.videos.set_camera(opened.gate, camera.id)
        noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        change_clock(opened.services, row, ClockChange(start_at=noon))
        yield opened


def test_admin_gets_a_link_with_the_wall_clock(site: Site) -> None:
    offer = draw_offer(site.app_context, site.principal("ada"), site.gate, MARKED)
    assert 'href="/api/v1/evidence?camera=' in offer
    assert "start=2026-03-01T12%3A00%3A01%2B00%3A00" in offer
    assert "Gate &amp; yard, 0:01" in offer


def test_span_of_several_cameras_is_one_archive(site: Site) -> None:
    services = site.services
    yard = services.catalog.videos.get(site.yard)
    other = services.catalog.cameras.add(name="Back door", address="rtsp://127.0.0.1:9/back")
    row = services.catalog.videos.set_camera(yard.id, other.id)
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    change_clock(services, row, ClockChange(start_at=noon))
    try:
        offer = draw_offer(site.app_context, site.principal("ada"), site.gate, MARKED)
        assert "Of all 2 cameras" in offer
        links = re.findall(r'href="([^"]*)"', offer)
        assert [link.count("camera=") for link in links] == [1, 2]
        assert f"camera={other.id}" in links[1]
        assert "Gate &amp; yard, Back door, 0:01" in offer
    finally:
        services.catalog.videos.set_camera(yard.id, None)
        services.catalog.cameras.remove(other.id)


def test_viewer_is_told_who_may(site: Site) -> None:
    vera = site.principal("vera")
    (camera,) = site.services.catalog.cameras.list()
    granted = replace(vera, cameras=frozenset({camera.id}))
    offer = draw_offer(site.app_context, granted, site.gate, MARKED)
    assert "An administrator can export this" in offer
    assert "<a" not in offer
    # Of a camera that was not granted nobody learns even that it is there.
    assert "Gate" not in draw_offer(site.app_context, vera, site.gate, MARKED)


def test_reason_is_named_where_there_is_none(site: Site) -> None:
    ada = site.principal("ada")
    offer = draw_offer(site.app_context, ada, site.yard, MARKED)
    assert "yard is no recording of a camera" in offer
    whole_day = TimeSpan(start_s=0.0, end_s=86_400.0)
    assert "the limit is 600 s" in draw_offer(site.app_context, ada, site.gate, whole_day)
    with pytest.raises(NotFoundError):
        draw_offer(site.app_context, ada, "nothing", MARKED)
