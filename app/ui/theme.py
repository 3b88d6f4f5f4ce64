"""Gradio's components in our colours, type and measures (`static/tokens.css`), light and dark.

Every value names one of our own variables, so that a change of colours needs no second theme.
"""

from typing import Final

import gradio as gr

SANS: Final = ["LW Sans", "ui-sans-serif", "system-ui", "sans-serif"]
MONO: Final = ["LW Mono", "ui-monospace", "monospace"]


_FILLS: Final = {
    "body_background_fill": "var(--paper)",
    "background_fill_primary": "var(--panel)",
    "background_fill_secondary": "var(--sunken)",
    "block_background_fill": "transparent",
    "block_label_background_fill": "transparent",
    "block_title_background_fill": "none",
    "panel_background_fill": "var(--panel)",
    "input_background_fill": "var(--panel)",
    "input_background_fill_focus": "var(--panel)",
    "checkbox_background_color": "var(--panel)",
    "checkbox_background_color_selected": "var(--accent)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_hover": "transparent",
    "checkbox_label_background_fill_selected": "transparent",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--accent)",
    "button_secondary_background_fill": "var(--panel)",
    "button_secondary_background_fill_hover": "var(--sunken)",
    "button_cancel_background_fill": "var(--panel)",
    "button_cancel_background_fill_hover": "var(--bad-soft)",
    "error_background_fill": "var(--bad-soft)",
    "table_even_background_fill": "var(--panel)",
    "table_odd_background_fill": "var(--panel)",
    "code_background_fill": "var(--sunken)",
    "color_accent_soft": "var(--accent-soft)",
    "slider_color": "var(--accent)",
    "loader_color": "var(--accent)",
}

_INKS: Final = {
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--ink-3)",
    "block_info_text_color": "var(--ink-3)",
    "block_label_text_color": "var(--ink-2)",
    "block_title_text_color": "var(--ink-2)",
    "checkbox_label_text_color": "var(--ink-2)",
    "checkbox_label_text_color_selected": "var(--ink)",
    "input_placeholder_color": "var(--ink-3)",
    "button_primary_text_color": "var(--accent-ink)",
    "button_primary_text_color_hover": "var(--accent-ink)",
    "button_secondary_text_color": "var(--ink)",
    "button_secondary_text_color_hover": "var(--ink)",
    "button_cancel_text_color": "var(--bad)",
    "button_cancel_text_color_hover": "var(--bad)",
    "error_text_color": "var(--bad)",
    "error_icon_color": "var(--bad)",
    "link_text_color": "var(--accent)",
    "link_text_color_active": "var(--accent)",
    "link_text_color_hover": "var(--accent)",
    "link_text_color_visited": "var(--accent)",
    "table_text_color": "var(--ink)",
}

_LINES: Final = {
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--accent-line)",
    "color_accent": "var(--accent)",
    "block_border_color": "var(--line)",
    "panel_border_color": "var(--line)",
    "input_border_color": "var(--line-strong)",
    "input_border_color_focus": "var(--accent)",
    "input_border_color_hover": "var(--ink-2)",
    "checkbox_border_color": "var(--line-strong)",
    "checkbox_border_color_selected": "var(--accent)",
    "checkbox_border_color_focus": "var(--accent)",
    "checkbox_border_color_hover": "var(--ink-2)",
    "button_primary_border_color": "var(--accent)",
    "button_primary_border_color_hover": "var(--accent)",
    "button_secondary_border_color": "var(--line-strong)",
    "button_secondary_border_color_hover": "var(--ink-2)",
    "button_cancel_border_color": "var(--line-strong)",
    "button_cancel_border_color_hover": "var(--bad)",
    "error_border_color": "var(--bad)",
    "table_border_color": "var(--line)",
}

_MEASURES: Final = {
    "block_border_width": "0px",
    "block_label_border_width": "0px",
    "block_padding": "0px",
    "block_radius": "0px",
    "block_shadow": "none",
    "block_label_shadow": "none",
    "block_title_padding": "0px",
    "block_title_text_size": "13px",
    "block_title_text_weight": "400",
    "block_label_text_size": "13px",
    "block_info_text_size": "12px",
    "body_text_size": "14px",
    "button_border_width": "1px",
    "button_large_padding": "0 14px",
    "button_medium_padding": "0 12px",
    "button_small_padding": "0 10px",
    "button_large_radius": "6px",
    "button_medium_radius": "6px",
    "button_small_radius": "6px",
    "button_large_text_size": "13px",
    "button_medium_text_size": "13px",
    "button_small_text_size": "12.5px",
    "button_large_text_weight": "600",
    "button_medium_text_weight": "400",
    "button_small_text_weight": "400",
    "button_primary_shadow": "none",
    "button_secondary_shadow": "none",
    "checkbox_label_border_width": "0px",
    "checkbox_label_padding": "0",
    "checkbox_label_shadow": "none",
    "checkbox_label_text_size": "13px",
    "checkbox_label_text_weight": "400",
    "form_gap_width": "0px",
    "input_border_width": "1px",
    "input_padding": "6px 10px",
    "input_radius": "6px",
    "input_shadow": "none",
    "input_shadow_focus": "none",
    "input_text_size": "14px",
    "layout_gap": "12px",
    "table_radius": "8px",
}


def theme() -> gr.themes.Base:
    """Return the theme: paper and ink, thin lines, one accent, no shadows."""
    base = gr.themes.Base(font=SANS, font_mono=MONO, text_size="sm", radius_size="sm")
    values = _FILLS | _INKS | _LINES | _MEASURES
    # Our variables change with the theme of the page themselves.
    dark = {
        f"{name}_dark": value for name, value in values.items() if hasattr(base, f"{name}_dark")
    }
    return base.set(**values, **dark)
