"""How a small, fast network is made: steps, their parameters, and the artefact that comes out.

The package imports nothing from the harness and can be used alone: ``build("pm-kd[temperature=2]")`` is a
step, ``steps("pm-kd > int8")`` are those of a recipe.
"""

from methods.artefact import About, Artefact, Graph, GraphArtefact, TorchArtefact
from methods.base import Convert, Distillation, Material, Method, Reshape, Step, tap_name
from methods.converting import steps as changes
from methods.converting import torch_precision
from methods.outputs import Outputs, decisions, outputs_of
from methods.recipe import build, matches, names, parameters, steps, text, unusual
from methods.registry import METHODS, register
from methods.reshaping import continued, pruning
from methods.training import at_kd, baseline, combined, cwd, dist, dkd, emkd, pm_kd, pseudo_label

__all__ = [
    "METHODS",
    "About",
    "Artefact",
    "Convert",
    "Distillation",
    "Graph",
    "GraphArtefact",
    "Material",
    "Method",
    "Outputs",
    "Reshape",
    "Step",
    "TorchArtefact",
    "build",
    "decisions",
    "matches",
    "names",
    "outputs_of",
    "parameters",
    "register",
    "steps",
    "tap_name",
    "text",
    "unusual",
]

for _built_in in (
    *(baseline.Baseline, pm_kd.PmKd, at_kd.AtKd, combined.Combined),
    *(cwd.Cwd, dist.Dist, dkd.Dkd, emkd.Emkd, pseudo_label.PseudoLabel),
):
    register(_built_in)  # here, for their order is that of tables and axes
for _change in (
    pruning.Prune,
    continued.Continue,
    torch_precision.Torch,
    changes.OpenVino,
    changes.OnnxRuntime,
    changes.Int8,
):
    register(_change)
