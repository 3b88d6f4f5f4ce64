"""Layout of the pages, with one component less to load for each of them."""

from typing import Any

import gradio as gr


def line(*classes: str, **options: Any) -> gr.Column:
    """Return components side by side, as style sheets place them.

    A column is loaded for every page already, a `gr.Row` would come beside it.

    Args:
        classes: What style sheets call it.
        options: Of the column.
    """
    return gr.Column(elem_classes=["line", *classes], min_width=0, **options)
