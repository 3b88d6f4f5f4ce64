"""One small file, sent to a route of ours as the body of a request."""

from typing import Any

from markupsafe import Markup

from app.ui.components.base import OwnComponent


class FilePut(OwnComponent):
    """A field for one file, which is sent by PUT as soon as it is chosen.

    Large videos go by `Upload`. What the route refuses is said below the field.

    Events: `sent`, with the JSON of the answer.
    """

    script = "filePut"
    triggers = ("sent",)

    def __init__(
        self,
        address: str,
        *,
        label: str,
        accept: str,
        media_type: str,
        info: str = "",
        **options: Any,
    ) -> None:
        """Offer the field.

        Args:
            address: Of the route; the name of the file, without its ending, is put behind it.
            label: Of the field.
            accept: Endings and types that the field takes.
            media_type: The file as the request names it.
            info: How the file must look.
        """
        options["html_template"] = str(
            Markup(
                '<div class="lw part file-put"><label>{}<input type="file" name="file" '
                'accept="{}" aria-describedby="{}"></label>'
                '<p class="faint" id="{}" role="status">{}</p></div>'
            ).format(label, accept, f"about-{media_type[-3:]}", f"about-{media_type[-3:]}", info)
        )
        super().__init__(None, address=address, media_type=media_type, **options)
