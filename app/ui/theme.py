"""Gradio's own colours, set to ours, so that nothing flashes while a page loads."""

import gradio as gr


def theme() -> gr.themes.Base:
    """Local fonts, our paper and ink; the parts bring the rest (`static/tokens.css`)."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace"]).set(
        body_background_fill="#f6f5f1",
        body_background_fill_dark="#101418",
        body_text_color="#1d2126",
        body_text_color_dark="#e9e7e0",
    )
