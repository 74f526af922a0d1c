"""How a small, fast network is made: methods, their parameters, and the artefact that comes out.

The package imports nothing from the harness and can be used alone: ``build("pm-kd[temperature=2]")``.
"""

from methods.base import Method, Outputs, tap_name
from methods.recipe import METHODS, build, names, parameters, unusual

__all__ = ["METHODS", "Method", "Outputs", "build", "names", "parameters", "tap_name", "unusual"]
