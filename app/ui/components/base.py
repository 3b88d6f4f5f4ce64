"""The class of our components, and the script of each, as Gradio runs it on the page."""

from abc import ABCMeta
from collections.abc import Sequence
from typing import Any, ClassVar

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable

from app.api.brand import assets_path


class _QuietMeta(ComponentMeta):
    """Gradio's class of component classes, which writes no file.

    Gradio's own writes an interface file (`.pyi`) beside the source of each new component when
    that is imported: into the folder of the installed package.
    """

    def __new__(
        cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]
    ) -> "_QuietMeta":
        if "__init__" in attributes:
            attributes["__init__"] = updateable(attributes["__init__"])  # type: ignore[no-untyped-call]
        return ABCMeta.__new__(cls, name, bases, attributes)


class OwnComponent(gr.HTML, metaclass=_QuietMeta):
    """A `gr.HTML` that a function of a module in `static` brings to life."""

    script: ClassVar[str]
    """The function, which takes `element, { trigger, props, watch }`."""
    triggers: ClassVar[tuple[str, ...]] = ()
    """Events that it triggers; each is a listener of the component."""

    def __init__(self, value: Any = None, **options: Any) -> None:
        """Show a value.

        Args:
            value: As the class describes it.
            options: Props of the class, and those of every Gradio component.
        """
        options["js_on_load"] = mount_script(self.script, self.triggers)
        options["apply_default_css"] = False
        super().__init__(value, **options)


def mount_script(script: str, triggers: Sequence[str] = ()) -> str:
    """Return the code that brings an element to life by an exported function.

    Scripts that cannot be loaded say so in place of the component.

    Args:
        triggers: Gradio makes a listener of each name that is quoted here.
    """
    quoted = ", ".join(f"'{trigger}'" for trigger in triggers)
    # Absolute, because an import resolves against the page that compiled the first script.
    return f"""const triggers = [{quoted}];
import(new URL('{assets_path()}/site.js', location.origin))
  .then(async (part) => {{
    await part.{script}(element, {{ trigger, props, watch, triggers }});
    element.dataset.mounted = 'yes';
  }})
  .catch((error) => {{
    const note = document.createElement('p');
    note.className = 'lw-broken';
    note.setAttribute('role', 'alert');
    note.textContent = `A part of this page could not be loaded (${{error.message}}). ` +
      'Load the page again; if that does not help, the server was replaced by another version.';
    element.after(note);
  }});"""
