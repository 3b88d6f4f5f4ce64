"""The layout of a recorded file as a small file of its own.

A file that lies elsewhere can be joined with others, and played from any moment, without reading it
for where its fragments are.
"""

import base64
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Final

from engine.media.fragments import Fragment, FragmentedFile, ReadRange

FORMAT: Final = 1
"""Version of the file; readers refuse what they do not know."""
ENDING: Final = ".layout"
"""Behind the whole name of the file that it is of."""
_MOST_BYTES: Final = 1 << 24


def layout_path(path: Path) -> Path:
    """Return where the layout of a file is kept."""
    return path.with_name(path.name + ENDING)


def pack_layout(layout: FragmentedFile) -> bytes:
    """Return a layout as the bytes of a file."""
    facts = {
        "format": FORMAT,
        "header": base64.b64encode(layout.header).decode(),
        "ticks_per_s": layout.ticks_per_s,
        "first_shown": layout.first_shown,
        "fragments": [list(asdict(fragment).values()) for fragment in layout.fragments],
    }
    return zlib.compress(json.dumps(facts).encode())


def read_kept_layout(path: Path, read: ReadRange) -> FragmentedFile:
    """Return the layout of a file that lies elsewhere.

    Args:
        path: Of the file itself; its layout lies here.
        read: Reads a part of it.
    Raises:
        OSError: There is no layout of it here.
        ValueError: That is damaged, or of another version.
    """
    try:
        unpacked = zlib.decompressobj().decompress(layout_path(path).read_bytes(), _MOST_BYTES)
        facts = json.loads(unpacked)
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}; this version reads {FORMAT}")
        names = Fragment.__dataclass_fields__
        return FragmentedFile(
            path=path,
            header=base64.b64decode(facts["header"]),
            ticks_per_s=facts["ticks_per_s"],
            fragments=tuple(
                Fragment(**dict(zip(names, values, strict=True))) for values in facts["fragments"]
            ),
            first_shown=facts["first_shown"],
            read=read,
        )
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"the layout of {path.name} is damaged") from error
