"""Layout of the pages, with no component loaded that a page does not show."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import BlockContext
from gradio.components import Component

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
