"""Sizes as people read them."""


def size_text(n_bytes: int) -> str:
    """Return a number of bytes for people."""
    size = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
