"""The shape of the code: rooms that import downwards only, no circles, light ground floors."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = [
    ["bench.errors", "bench.protocol", "bench.telling"],
    ["bench.files"],
    ["bench.job"],
    ["architectures", "methods"],
    ["bench.compute"],
    ["bench.data"],
    ["bench.plugins"],
    ["bench.study"],
    ["bench.planning"],
    ["bench.training"],
    ["bench.scoring"],
    ["bench.running"],
    ["bench.report"],
    ["bench.using"],
    ["bench.watching"],
    ["bench.performance"],
    ["bench.commands"],
    ["bench.api", "bench.cli"],
    ["bench.__main__"],
]
"""From the ground up; what stands on one floor knows nothing of each other."""
ROOMS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path): path
    for package in ("architectures", "methods", "bench")
    for path in sorted((ROOT / package).rglob("*.py"))
}


STANDALONE = "bench.using.standalone."


def room_of(module: str) -> str:
    return next((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), "")


def imports(module: str) -> set[str]:
    """The files that a file imports, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if module.startswith(STANDALONE) and node.level == 1:  # it runs in another place
                base = f"{module.rpartition('.')[0]}.{base}"
            else:
                assert not node.level, f"{module}: imports are absolute"
            names = [f"{base}.{alias.name}" for alias in node.names] + [base]
            # What comes from a package itself is there before its files are.
            names = names[:-1] if all(name in FILES for name in names[:-1]) else names
        else:
            continue
        found |= {name for name in names if name in FILES}
    return found - {module, "bench"}


ARROWS = {module: imports(module) for module in FILES}


def test_every_file_has_its_room():
    assert [module for module in FILES if module != "bench" and not room_of(module)] == []


def test_no_arrow_points_up():
    upward = [
        f"{module} imports {other}"
        for module, others in ARROWS.items()
        for other in others
        if module != "bench"
        and room_of(other) != room_of(module)
        and ROOMS[room_of(other)] >= ROOMS[room_of(module)]
    ]
    assert upward == []


def test_there_is_no_circle():
    """A package's own ``__init__`` may hand on what is in it."""
    own = {m: {o for o in others if not m.startswith(f"{o}.")} for m, others in ARROWS.items()}
    list(TopologicalSorter(own).static_order())  # raises CycleError, which names it


def test_methods_and_architectures_know_nothing_of_the_harness():
    for module, others in ARROWS.items():
        if not module.startswith("bench"):
            assert not [other for other in others if other.startswith("bench")], module


def test_what_a_bundle_runs_knows_nothing_of_the_project():
    for module, others in ARROWS.items():
        assert not module.startswith(STANDALONE) or all(other.startswith(STANDALONE) for other in others)


@pytest.mark.parametrize(
    "path", sorted(p.parent for p in (ROOT / "bench").rglob("__init__.py")), ids=module_of
)
def test_every_room_says_what_belongs_in_it(path):
    text = ast.get_docstring(ast.parse((path / "__init__.py").read_text()))
    assert text
    assert text.split("\n\n")[0].endswith(".")


def loaded(*modules: str) -> set[str]:
    """What a fresh process has loaded after importing ``modules``."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_the_value_of_a_job_is_light():
    assert not loaded("bench.job") & {"torch", "scipy", "numpy", "pandas", "pydantic"}


def test_the_command_line_answers_without_torch():
    assert "torch" not in loaded("bench.cli")


def test_a_studys_status_is_said_without_torch():
    assert "torch" not in loaded("bench.watching.status")


def test_pieces_fit_on_a_screen():
    """No function over 60 lines or seven parameters, no file over 300 lines."""
    long = []
    for module, path in FILES.items():
        text = path.read_text()
        if text.count("\n") > 300:
            long.append(f"{module}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            lines = (node.end_lineno or 0) - node.lineno + 1
            named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([argument for argument in named if argument.arg not in ("self", "cls")])
            if lines > 60 or count > 7:
                long.append(f"{module}:{node.name}: {lines} lines, {count} parameters")
    assert long == []
