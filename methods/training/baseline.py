"""The plain student: no teacher, no extra term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from methods.base import Method


@dataclass(frozen=True)
class Baseline(Method):
    """Train on the labels alone; what every other method is compared with."""

    name: ClassVar[str] = "baseline"
    label: ClassVar[str] = "plain"
    needs_teacher: ClassVar[bool] = False
