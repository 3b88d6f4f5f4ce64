"""Counts spelt in English, as prompts that were made with num2words have them."""

ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_words(number: int) -> str:
    """Spell a count in English, as the released prompt does: `one hundred and four`."""
    if number < 0:
        raise ValueError(f"a count is not negative: {number}")
    for unit, name in ((1_000_000, "million"), (1000, "thousand")):
        if number >= unit:
            head, rest = divmod(number, unit)
            joint = " and " if rest < 100 else ", "
            tail = f"{joint}{number_words(rest)}" if rest else ""
            return f"{number_words(head)} {name}{tail}"
    if number >= 100:
        head, rest = divmod(number, 100)
        return f"{ONES[head]} hundred" + (f" and {number_words(rest)}" if rest else "")
    if number >= 20:
        head, rest = divmod(number, 10)
        return TENS[head] + (f"-{ONES[rest]}" if rest else "")
    return ONES[number]
