"""Ways to break what is valid: keys, types, numbers, names, bytes; and what must come of it."""

from __future__ import annotations

import copy
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import LONGEST, UserError

NAMES = [
    *(
        "",
        " ",
        ".",
        "..",
        "../../x",
        "/etc/passwd",
        "a/../../b",
        "a/b",
        "..\\..\\x",
        "C:\\x",
        "a\0b",
        "a\nb",
    ),
    *("a|b", "<script>alert(1)</script>", "</script>", "100 %", "_a_", "a\\", "$x$", "`x`", "=1+1", "@x"),
    *("e\u0301", "a\u202eb", "\u2028", "\ud800", "肝", "x" * 5000, "\x1b[2J", "NaN", "None", "0", "1.5"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 10**30, 10**400),
    *([], {}, [[]], [None], {"a": 1}, {"": {}}, *NAMES),
]
JSON_TEXTS = [
    *(b"", b"null", b"[]", b"{}", b"1", b'"x"', b"\xff\xfe{\x00}\x00", b"[" * 10_000, b'{"a":' * 10_000),
    *(
        b'{"a": 1e999}',
        b'{"a": NaN}',
        b'["\\ud800"]',
        b"\xef\xbb\xbf{}",
        b"9" * 5000,
        b"[" * 60 + b"]" * 60,
    ),
]


def mutated(document: Any, random: Random) -> Any:
    """The document with one to three places deleted, replaced, doubled, renamed or added."""
    document = copy.deepcopy(document)
    for _ in range(random.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return any_value(random)
        holder, key = random.choice(places)
        what = random.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[random.choice(NAMES)] = holder.pop(key)
        elif what == 2 and isinstance(holder, list):
            holder.append(holder[key])
        elif what == 3:
            other, theirs = random.choice(places)
            holder[key] = copy.deepcopy(other[theirs])
        elif what == 4 and isinstance(holder, dict):
            holder["unheard_of"] = any_value(random)
        else:
            holder[key] = any_value(random)
    return document


def any_value(random: Random) -> Any:
    return copy.deepcopy(random.choice(VALUES))


def _places(node: Any) -> Any:
    for key in range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ():
        yield node, key
        yield from _places(node[key])


def broken_bytes(data: bytes, random: Random) -> bytes:
    """The bytes cut short, flipped, removed, doubled or added to."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.randint(1, 16))
        what = random.randrange(6)
        if what == 0:
            data = data[:at]
        elif what == 1:
            data = (
                data[:at] + bytes(byte ^ (1 << random.randrange(8)) for byte in data[at:end]) + data[end:]
            )
        elif what == 2:
            data = data[:at] + data[end:]
        elif what == 3:
            data = data[:end] + data[at:]
        elif what == 4:
            data = data[:at] + bytes(random.randrange(256) for _ in range(end - at)) + data[at:]
        else:
            data = data[:at] + random.choice([b"\x00", b"\xff" * 8, b"\x7f\xff\xff\xff"]) + data[end:]
    return data


def broken_json(document: Any, random: Random) -> bytes:
    """A JSON file of the document, broken in its content, its text or its bytes."""
    what = random.randrange(8)
    if what == 0:
        return random.choice(JSON_TEXTS)
    if what == 1:
        return broken_bytes(json.dumps(document).encode(), random)
    if what == 2 and isinstance(document, dict):
        return json.dumps(document).replace("{", f"{{{json.dumps(next(iter(document)))}: 0, ", 1).encode()
    return json.dumps(mutated(document, random)).encode()


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def fuzz(attempt: Callable[[Random], Any], folder: Path, examples: int, refusals: float = 0.3) -> None:
    """Call ``attempt`` with that many sources of chance: it writes something broken and reads it.

    What is read is valid, or refused by one line of printable text, or set aside, and no file is changed
    by it. At least the share ``refusals`` must be refused, or nothing was tested. ``FUZZ=20`` in the
    environment makes the examples twenty times as many.
    """
    outcomes: Counter[str] = Counter()
    examples *= int(os.environ.get("FUZZ", "1"))

    @settings(
        max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.randoms(use_true_random=False))
    def run(random: Random) -> None:
        read = attempt(random)
        before = files(folder)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                read()
            except UserError as error:
                check_line(str(error))
                refused = True
            else:
                refused = False
        refused |= put_back(folder)
        outcomes["refused" if refused else "read"] += 1
        assert not said, [str(warning.message) for warning in said]
        assert files(folder) == before

    run()
    assert outcomes["refused"] >= refusals * examples, outcomes


def put_back(root: Path) -> bool:
    """Give what was set aside its name back; whether there was any."""
    found = sorted(root.rglob("*.corrupt"))
    for path in found:
        path.rename(path.with_suffix(""))
    return bool(found)


def check_line(text: str) -> None:
    """What every refusal must be."""
    assert text.isprintable(), text
    assert 10 < len(text) <= LONGEST + 10
    assert not re.search(r"Traceback|object at 0x", text)
