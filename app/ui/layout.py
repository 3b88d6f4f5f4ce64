"""Layout of the pages, with no component loaded that a page does not show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

from app.ui.caller import PASSIVE


def line(*classes: str, **options: Any) -> gr.Column:
    """Return a container that puts components side by side, by the style sheet.

    It is a column because every page loads the code of columns anyway; a `gr.Row` would load more.

    Args:
        classes: Further CSS classes.
        options: Of the column.
    """
    return gr.Column(elem_classes=["line", *classes], min_width=0, **options)


@contextmanager
def folded(title: str, **options: Any) -> Iterator[gr.Accordion]:
    """Put what follows into a closed accordion; its code is fetched when it is first opened.

    Gradio fetches the code of every visible component, even inside a closed accordion.

    Args:
        options: Of the `gr.Accordion`.
    """
    with gr.Accordion(title, open=False, **options) as frame:
        yield frame
    inside = [component for component in _components(frame) if component.visible is True]
    for component in inside:
        component.visible = False

    def unfold() -> dict[Component, object]:
        return {component: gr.update(visible=True) for component in inside}

    frame.expand(unfold, None, inside, **PASSIVE)


def _components(around: BlockContext) -> Iterator[Component]:
    for block in around.children:
        if isinstance(block, BlockContext):
            yield from _components(block)
        elif isinstance(block, Component):
            yield block
