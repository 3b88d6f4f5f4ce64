"""`python -m tests.parity [FOLDER]`: one line a case; exits 1 if any is off, 2 if any is unknown.

FOLDER defaults to `tests/golden`. Several may be given.
"""

import sys
from pathlib import Path

import torch

from engine.errors import LongwatchError
from tests.parity._case import Quantity, cases, families

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def main(arguments: list[str]) -> int:
    """Run every case and return the exit code."""
    torch.manual_seed(0)
    by_name, code = families(), 0
    roots = [Path(argument) for argument in arguments] or [GOLDEN]
    for root in roots:
        if not root.is_dir():
            print(f"no folder {root}", file=sys.stderr)
            return 2
        listed = list(cases(root))
        if not listed:
            print(f"no case below {root}", file=sys.stderr)
            return 2
        for family, folder in listed:
            if family is None:
                print(f"??   {folder}  unknown kind of case", flush=True)
                code = 2
                continue
            line, is_ok = _line(by_name[family].run, family, folder)
            print(line, flush=True)
            code = code or int(not is_ok)
    return code


def _line(run, family: str, folder: Path) -> tuple[str, bool]:  # type: ignore[no-untyped-def]
    name = f"{family}/{folder.resolve().name}"
    try:
        quantities: dict[str, Quantity] = dict(run(folder))
    except (LongwatchError, ValueError, KeyError, RuntimeError) as error:
        return f"off  {name}  {type(error).__name__}: {error}", False
    is_ok = bool(quantities) and all(quantity.is_ok for quantity in quantities.values())
    errors = "  ".join(
        f"{key}={quantity.error:.1e}{'' if quantity.is_ok else '!'}"
        for key, quantity in quantities.items()
    )
    return f"{'ok' if is_ok else 'off':<4} {name}  {errors}", is_ok


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
