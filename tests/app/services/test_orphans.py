"""Files that nothing owns are shown, and those that something owns are not."""

from pathlib import Path

from app.services.access import find_video
from app.services.context import ServiceContext
from app.services.orphans import find_orphans
from app.worker.foreground import ingest_now


def test_only_files_without_a_row_are_orphans(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    home = context.settings.home
    (home / "media").mkdir()
    (home / "uploads").mkdir()
    owned = home / "media" / "owned.bin"
    owned.write_bytes(clip.read_bytes() + b"\0")
    ingest_now(context, [str(owned)])
    assert find_orphans(context) == ()

    left = [home / "media" / "left.bin", home / "uploads" / "left.part"]
    for path in left:
        path.write_bytes(b"12345")
    video = find_video(context, "front door")
    context.catalog.videos.remove(video.id)
    (latents,) = home.glob(f"latents/*/{video.id}")
    orphans = find_orphans(context)
    stills = home / "stills" / video.id
    left_bytes = {path: 5 for path in left}
    for folder in (latents, stills):
        left_bytes[folder] = sum(path.stat().st_size for path in folder.iterdir())
    assert [orphan.path for orphan in orphans] == sorted(left_bytes)
    assert {orphan.path: orphan.n_bytes for orphan in orphans} == left_bytes
