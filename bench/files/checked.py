"""Files as they come, from users and from study folders: data to be checked, never code to be run.

JSON is read strictly (``read_json``), what it holds is checked against a type by pydantic (``check``),
names of cases, patients and classes are text that can be shown (``check_name``), and paths that a file
names stay in its folder (``inside``). Every mistake is a ``UserError``.
"""

from __future__ import annotations

import json
import logging
import re
import reprlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.errors import Damaged, UserError
from bench.files.atomic import MISPLACED
from bench.files.checksums import unsealed

log = logging.getLogger(__name__)
_named: set[Path] = set()

DEEPEST = 50
"""Levels of lists and dictionaries; no file of ours has more than ten."""
LONGEST_NAME = 200
"""Bytes in UTF-8; names of folders have an ending added, and file systems take 255."""


def read_json(path: Path) -> Any:
    """The file's content, None where there is no file.

    Raises:
        Damaged: not JSON; a key twice, a number that no float holds, nested too deeply.
    """
    try:
        content = parse_json(path.read_bytes())
        if content is None:
            raise ValueError("it holds nothing but null")
        return content
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Damaged(f"{path}: not readable as JSON ({error}); remove it or restore it") from None
    except OSError as error:
        raise UserError(unreadable(path, error)) from None


def read_names(path: Path, what: str) -> list[str]:
    """The list of texts that a file holds, empty where there is no file; ``what``: of what, for errors.

    Raises:
        UserError: it holds anything else.
    """
    content = read_json(path)
    if content is None:
        return []
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise UserError(f"{path}: must be a list of {what}")
    return content


def unreadable(path: Path, error: OSError, otherwise: str = "remove it or restore it") -> str:
    """Why a file can't be opened and what helps: moving a folder that lies there, else ``otherwise``."""
    remedy = MISPLACED.get(error.errno or 0, otherwise)
    return f"{path}: not readable ({error.strerror}); {remedy}"


def parse_json(data: bytes) -> Any:
    """JSON in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: as ``read_json`` has it.
    """
    try:
        content = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_each_key_once,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _plain(content, DEEPEST)
    return content


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {reprlib.repr(twice)} is there twice")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"{reprlib.repr(text)} is no finite number")
    return number


def _plain(value: Any, levels: int) -> None:
    """Refuse what could not be written again: deep nesting, halves of surrogate pairs."""
    if not levels:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            key.encode()
            _plain(item, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _plain(item, levels - 1)


ONE_OF = re.compile(r"(constrained-)?(int|float|str|bool)|none|literal\[.*\]")
"""What pydantic adds to the place of a value that may be of several kinds."""


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def check(kind: Any, content: Any, where: object) -> Any:
    """``content`` as the type ``kind``, strictly: no text is taken for a number, no number for a truth.

    Args:
        kind: anything that pydantic understands.
        content: of a JSON or YAML file.
        where: the file's name.

    Raises:
        UserError: names the file, the key, what was found and what would be right.
    """
    try:
        return _adapter(kind).validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise UserError(f"{where}: {complaint(error, kind)}") from None
    except (TypeError, ValueError, RecursionError) as error:  # YAML has keys and numbers that JSON lacks
        raise UserError(f"{where}: holds what JSON can't ({error})") from None


def complaint(error: ValidationError, kind: Any) -> str:
    """The first thing that pydantic has found, in a line."""
    first, *others = error.errors(include_url=False)
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = getattr(kind, "model_fields", None) or getattr(kind, "__annotations__", {})
        listed = f"; known: {', '.join(known)}" if len(place) == 1 and known else ""
        return f"unknown key {reprlib.repr(key)}{listed}"
    if first["type"] in ("missing", "missing_argument"):
        return f"the key {key!r} is missing"
    what = first["msg"].removeprefix("Value error, ")
    if place and ONE_OF.fullmatch(place[-1]):  # it may be of several kinds, and is of none of them
        key = ".".join(place[:-1])
        alike = [other["msg"] for other in others if other["loc"][:-1] == first["loc"][:-1]]
        what = " or ".join([what, *(message.removeprefix("Input should be ") for message in alike)])
    text = f"{what[:1].lower()}{what[1:]}, not {reprlib.repr(first['input'])}"
    return f"{key}: {text}" if key else text


def check_name(name: str, where: object) -> str:
    """The name of a case, patient, class or dataset, if it can be one.

    Any script and any sign will do, but no control characters, line breaks or invisible marks, and no
    space at the ends: two patients whose names look alike would be two to the split.

    Raises:
        UserError: names ``where`` it was found.
    """
    fault = name_fault(name)
    if fault:
        raise UserError(f"{where}: {reprlib.repr(name)} can't be a name: {fault}")
    return name


def name_fault(name: str) -> str:
    """What is wrong with a name, nothing if it will do."""
    if not name:
        return "it is empty"
    if not name.isprintable():
        odd = next(character for character in name if not character.isprintable())
        return f"it holds the character U+{ord(odd):04X}, which can't be shown"
    if len(name.encode()) > LONGEST_NAME:
        return f"it is longer than {LONGEST_NAME} bytes"
    return "it begins or ends with a space" if name != name.strip() else ""


def inside(root: Path, name: Any, where: object) -> Path:
    """The path that a file of ``root`` names, which must lie in ``root``.

    Raises:
        UserError: no text, an absolute path, or one that leads out of the folder.
    """
    if not isinstance(name, str):
        raise UserError(f"{where}: {reprlib.repr(name)} is no file's name")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"{where}: {reprlib.repr(name)} must be a path inside {root}")
    for part in path.parts:
        check_name(part, where)
    return root / path


def set_aside(path: Path, why: object) -> None:
    """Rename a damaged file or folder to ``<name>.corrupt``, numbered where that is taken; say so once.

    ``why``: an error or its text; where that begins with the path, it is said once.

    In a folder that can't be written it stays; whoever calls goes on without it all the same.
    """
    target = path.with_name(f"{path.name}.corrupt")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.corrupt{number}")
    try:
        path.rename(target)
        line = f"set aside as {target.name}"
    except FileNotFoundError:  # another process was faster
        return
    except OSError as error:
        if path in _named:
            return
        _named.add(path)
        line = f"left out; it could not be set aside ({error.strerror})"
    reason = " ".join(str(why).removeprefix(f"{path}: ").split())
    log.warning(f"{path}: damaged, {reason}; {line}")


def was_set_aside(path: Path) -> bool:
    """Whether something of that name was set aside."""
    return path.with_name(f"{path.name}.corrupt").exists()


def read_whole(path: Path) -> dict[str, Any] | None:
    """The object in a file, None where there is none; a damaged one is set aside."""
    try:
        content = read_json(path)
        return None if content is None else unsealed(content)
    except Damaged as error:
        set_aside(path, str(error).removeprefix(f"{path}: ").partition(";")[0])
        return None
