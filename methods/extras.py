"""What only some need is an extra of this package; how to say that it is missing."""

from __future__ import annotations


def how_to_get(package: str, extra: str, why: str = "") -> str:
    """One line on a package that can't be imported, ``why``, and what would bring it."""
    reason = f" ({' '.join(why.split())[:200]})" if why else ""
    return f"the package {package} is missing{reason}; pip install -c constraints.txt -e '.[{extra}]'"
