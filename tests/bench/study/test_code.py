"""Which code made a record: told apart by content, and by the commit of its own repository only."""

import subprocess

import pytest

import bench
from bench.study.code import ROOT, code, commit, fingerprint
from bench.study.provenance import provenance


@pytest.fixture
def package(tmp_path):
    """Something like the package, in a folder of its own."""
    root = tmp_path / "project" / "checkout"
    for name in ("architectures", "bench", "methods"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").write_text(f"name = {name!r}\n")
    (root / "bench" / "matrix.yaml").write_text("students: []\n")
    return root


def git(folder, *arguments):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *own, *arguments], cwd=folder, check=True, capture_output=True, text=True)


def begin_repository(folder):
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")


@pytest.mark.parametrize("change", ["bench/matrix.yaml", "methods/__init__.py", "architectures/new.py"])
def test_the_fingerprint_is_of_what_the_files_hold(package, change):
    before = fingerprint(package)
    (package / "bench" / "__pycache__").mkdir()
    (package / "bench" / "__pycache__" / "x.pyc").write_bytes(b"1")
    (package / "README.md").write_text("words")
    assert fingerprint(package) == before, "neither caches nor words are code"
    (package / change).write_text("other = 1\n")
    assert fingerprint(package) != before


def test_a_file_that_moves_is_another_code(package):
    before = fingerprint(package)
    (package / "bench" / "matrix.yaml").rename(package / "methods" / "matrix.yaml")
    assert fingerprint(package) != before


def test_the_commit_is_that_of_the_packages_own_repository(package):
    assert commit(package) is None
    begin_repository(package)
    head = git(package, "rev-parse", "--short=12", "HEAD").stdout.strip()
    assert commit(package) == head
    (package / "README.md").write_text("words")
    assert commit(package) == head
    (package / "bench" / "__init__.py").write_text("changed = 1\n")
    assert commit(package) == f"{head}+"


def test_a_users_project_around_the_package_is_not_its_commit(package):
    """As where the package is installed in an environment inside the project."""
    begin_repository(package.parent)
    assert commit(package) is None


def test_a_record_names_the_code_and_no_path():
    origin = provenance()
    assert origin["version"] == bench.__version__ == code()["version"]
    assert origin["fingerprint"] == fingerprint(ROOT)
    assert {"commit", "packages", "machine", "python"} <= set(origin)
    assert str(ROOT) not in str(origin)
