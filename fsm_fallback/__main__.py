"""`python -m fsm_fallback` and the command `fsm-fallback`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

_NEEDED: Final = ("click", "rich")


def main() -> int:
    """Run the command line.

    Returns:
        The exit code: 2 where something that is needed is missing or wrong.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"fsm-fallback: the command line misses {' and '.join(missing)}; "
            "pip install 'fsm-fallback[cli]'\n"
        )
        return 2
    from fsm_fallback.cli.program import run  # noqa: PLC0415  # only now is it known that it can be

    return run()


if __name__ == "__main__":
    sys.exit(main())
