"""Counts in words."""


def counted(amount: int | float, noun: str) -> str:
    """Return a count with its noun, such as `1 chunk`, `0 chunks`, `1.5 hours`.

    Args:
        amount: Rounded to one decimal; a whole number has none.
        noun: In the singular, of those that take an -s.
    """
    text = f"{amount:.1f}".removesuffix(".0")
    return f"{text} {noun}{'' if text == '1' else 's'}"
