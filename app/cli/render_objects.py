"""Documents about the object store as lines and tables; registered with `render` when imported."""

from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.render import plain_table, printable, render
from app.schemas.objects import (
    ObjectsAdoptResponse,
    ObjectsCleanResponse,
    ObjectsPushResponse,
    ObjectsStatusResponse,
    ObjectsVerifyResponse,
)
from app.sizes import size_text
from engine.plural import counted


@render.register
def _(document: ObjectsPushResponse) -> RenderableType:
    return Text(
        f"{counted(document.pushed, 'file')} ({size_text(document.pushed_bytes)}) put into "
        f"{document.url}; {counted(document.objects, 'object')} "
        f"({size_text(document.object_bytes)}) lie there"
    )


@render.register
def _(document: ObjectsStatusResponse) -> RenderableType:
    table = plain_table("folder", "objects", "size")
    for tree in document.trees:
        table.add_row(tree.tree, str(tree.objects), size_text(tree.bytes))
    lines = [f"{document.url} answers" if document.trouble is None else document.trouble]
    if document.not_stored:
        size = size_text(document.not_stored_bytes)
        lines.append(f"{counted(document.not_stored, 'file')} here ({size}) not there yet")
    if document.leaving:
        lines.append(f"{counted(document.leaving, 'object')} still to be deleted there")
    lines.append(f"copies here may take {size_text(document.cache_bytes)}")
    return Group(table, *(Text(printable(line)) for line in lines))


@render.register
def _(document: ObjectsVerifyResponse) -> RenderableType:
    how = "every byte read" if document.with_digests else "lengths compared"
    lines = [
        f"{counted(document.checked, 'object')} ({size_text(document.checked_bytes)}) in "
        f"{document.url}, {how}: {document.n_missing} missing, {document.n_damaged} damaged"
    ]
    if document.mended:
        lines.append(f"{counted(document.mended, 'object')} put there again from here")
    lines += [f"missing: {key}" for key in document.missing]
    lines += [f"damaged: {key}" for key in document.damaged]
    if document.unlisted:
        lines.append(
            f"{counted(document.unlisted, 'object')} there that no list names "
            "(`longwatch objects adopt` takes up what is of this library)"
        )
    return Group(*(Text(printable(line)) for line in lines))


@render.register
def _(document: ObjectsAdoptResponse) -> RenderableType:
    lines = [
        f"{counted(document.adopted, 'object')} ({size_text(document.adopted_bytes)}) of "
        f"{document.url} taken up into the list"
    ]
    if document.renewed:
        lines.append(f"{counted(document.renewed, 'object')} written again since the list was")
    lines += [f"damaged: {key}" for key in document.damaged]
    if document.deleted:
        lines.append(f"{counted(document.deleted, 'object')} left alone: deleted from the library")
    if document.foreign:
        lines.append(f"{counted(document.foreign, 'object')} left alone: nothing of a library")
    if document.n_lost_videos:
        lines.append(
            f"{counted(document.n_lost_videos, 'video')} there without a row: "
            f"`longwatch videos reindex` brings back {', '.join(document.lost_videos)}"
        )
    if document.ownerless:
        lines.append(
            f"{counted(document.ownerless, 'object')} of no video and no camera "
            "(`longwatch objects clean --dry-run` names them)"
        )
    return Group(*(Text(printable(line)) for line in lines))


@render.register
def _(document: ObjectsCleanResponse) -> RenderableType:
    fate = "would be deleted" if document.dry_run else "deleted"
    lines = [
        f"{counted(document.deleted, 'object')} ({size_text(document.deleted_bytes)}) of "
        f"{document.url} that belong to no video and no camera {fate}"
    ]
    lines += document.keys
    if document.deleted > len(document.keys):
        lines.append(f"... and {document.deleted - len(document.keys)} more")
    if document.too_young:
        lines.append(f"{counted(document.too_young, 'object')} of nobody left alone: too young")
    if document.foreign:
        lines.append(f"{counted(document.foreign, 'object')} left alone: nothing of a library")
    return Group(*(Text(printable(line)) for line in lines))
