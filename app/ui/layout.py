"""Layout of the pages, with no component loaded that a page does not show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext

from app.ui.caller import PASSIVE


def line(*classes: str, **options: Any) -> gr.Column:
    """Return components side by side, as style sheets place them.

    A column is loaded for every page already, a `gr.Row` would come beside it.

    Args:
        classes: What style sheets call it.
        options: Of the column.
    """
    return gr.Column(elem_classes=["line", *classes], min_width=0, **options)


@contextmanager
def folded(title: str, **options: Any) -> Iterator[gr.Accordion]:
    """Draw what follows behind a title; a browser fetches it when that is opened first.

    Gradio fetches the code of every component that is visible itself, whatever stands around it.

    Args:
        options: Of the `gr.Accordion`.
    """
    with gr.Accordion(title, open=False, **options) as frame:
        yield frame
    inside = [block for block in _blocks(frame) if block.visible is True]
    for block in inside:
        block.visible = False
    shown = {block: gr.update(visible=True) for block in inside}
    frame.expand(lambda: shown, None, inside, **PASSIVE)


def _blocks(around: BlockContext) -> Iterator[Any]:
    for block in around.children:
        yield block
        if isinstance(block, BlockContext):
            yield from _blocks(block)
