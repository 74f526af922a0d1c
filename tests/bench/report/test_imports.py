"""The report reads a study's files alone: it needs no network and no method."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "methods", "architectures")
SCRIPT = f"""
import importlib, json, pkgutil, sys
import bench.report

names, found = [], dict.fromkeys({HEAVY!r}, "")
for module in pkgutil.walk_packages(bench.report.__path__, "bench.report."):
    importlib.import_module(module.name)
    names.append(module.name)
    found |= {{heavy: module.name for heavy in found if heavy in sys.modules and not found[heavy]}}
print(json.dumps([names, found]))
"""


@pytest.fixture(scope="module")
def imported():
    """All modules of the report, and by which of them a package came in, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_room_of_the_report_is_looked_at(imported):
    rooms = {"figures", "page", "published", "tables", "report", "frames", "method_names"}
    assert {f"bench.report.{name}" for name in rooms} <= set(imported[0])
    assert "bench.report.published.reach" in imported[0]


@pytest.mark.parametrize("package", HEAVY)
def test_the_report_imports_neither_torch_nor_methods_nor_networks(imported, package):
    assert not imported[1][package]
