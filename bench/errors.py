"""The exceptions for mistakes of the user's and troubles with files: one line, exit code 2."""

import re

LONGEST = 1000
"""Characters of a line; of a longer one the middle is left out."""


class UserError(Exception):
    """Names the file or the option, says what was found and what would be right.

    What was found may come from a damaged or a hostile file: the text is made one line of printable
    characters, which can't move a terminal's cursor.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


def one_line(text: str) -> str:
    """A line of printable characters, the middle left out where it is too long."""
    line = "".join(map(_printable, re.sub(r"\s*[\r\n]+\s*", " ", text)))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def brief(error: BaseException) -> str:
    """Whatever was raised, by code that isn't ours either, in a short line: its kind and what it says."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


class Damaged(UserError):
    """A file that is there, but not as it was written."""
