"""How a small, fast network is made: methods, their parameters, and the artefact that comes out.

The package imports nothing from the harness and can be used alone: ``build("pm-kd[temperature=2]")``.
"""

from methods.base import Distillation, Method, Outputs, tap_name
from methods.recipe import build, names, parameters, unusual
from methods.registry import METHODS, register
from methods.training import at_kd, baseline, combined, pm_kd

__all__ = [
    "METHODS",
    "Distillation",
    "Method",
    "Outputs",
    "build",
    "names",
    "parameters",
    "register",
    "tap_name",
    "unusual",
]

for _built_in in (baseline.Baseline, pm_kd.PmKd, at_kd.AtKd, combined.Combined):
    register(_built_in)  # here, for their order is that of tables and axes
