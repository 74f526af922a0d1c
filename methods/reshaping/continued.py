"""``continue``: a change of shape that removes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods.base import Reshape


@dataclass(frozen=True)
class Continue(Reshape):
    """The same network trained for as long again: what pruning is to be judged against."""

    name: ClassVar[str] = "continue"
    label: ClassVar[str] = "continued"
