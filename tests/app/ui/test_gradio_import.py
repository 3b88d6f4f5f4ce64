"""The import of Gradio: it leaves the folders of packages as they are."""

import subprocess
import sys
from pathlib import Path

COMPONENT = """
import gradio as gr


class Field(gr.Textbox):
    def __init__(self) -> None:
        super().__init__()
"""


def test_component_is_imported_without_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "field.py").write_text(COMPONENT, encoding="utf-8")
    script = (
        "from app.ui.gradio_import import import_gradio\n"
        "import_gradio()\n"
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import field; assert field.Field().change\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert not list(tmp_path.glob("*.pyi"))
