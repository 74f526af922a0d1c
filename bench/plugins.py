"""Other people's methods, networks and datasets: files that register them, known to every process.

A plug-in is a Python file named by ``--plugin`` or ``plugins:`` in a matrix, or an installed package's
entry point in the group ``lightseg_bench.plugins``. It registers with ``methods.register``,
``architectures.register`` and ``bench.data.datasets.register``. Its content is part of the ids of the jobs
that use what it brings, and of no others. A study keeps its name and that hash, no path, and nothing that
lies in a study is ever run.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import architectures
import methods
from bench.compute import processes
from bench.data import datasets
from bench.errors import UserError, brief
from bench.files.checksums import digest
from bench.job import Job

log = logging.getLogger(__name__)

GROUP = "lightseg_bench.plugins"
MODULE = "lightseg_plugin_"
"""How the module of a user's file is named, before the hash of its content."""
Names = frozenset[tuple[str, str]]
"""(kind, name) of what is registered; the kind is ``method``, ``architecture`` or ``dataset``."""


@dataclass(frozen=True)
class Plugin:
    """A plug-in that was loaded."""

    name: str
    """For people: the file's name, or that of the entry point."""
    hash: str
    brings: Names
    path: Path | None = None
    """Of a file; never kept in a study."""


LOADED: dict[str, Plugin] = {}
"""By hash: the same content is loaded once."""
BROKEN: dict[str, str] = {}
"""Entry points that could not be loaded, and why. Everything else works without them."""


def load_file(path: Path) -> Plugin:
    """Run a user's file, which registers what it brings.

    Raises:
        UserError: no such file, one that fails, brings nothing, or a name that is there already.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"--plugin {path}: can't be read ({error.strerror}); it must be a Python file"
        ) from None
    key = digest(content)
    if key not in LOADED:
        module = f"{MODULE}{key}"
        spec = importlib.util.spec_from_file_location(module, path.resolve())
        if spec is None or spec.loader is None:
            raise UserError(f"--plugin {path}: must be a Python file, named *.py")
        before = _registered()
        sys.modules[module] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[module])
        except (Exception, SystemExit) as error:
            _unregister(_registered() - before)
            del sys.modules[module]
            raise UserError(f"--plugin {path}: {_with_files(brief(error), module, path)}") from None
        brings = _registered() - before
        if not brings:
            raise UserError(f"--plugin {path}: registers nothing; see docs/plugins.md")
        LOADED[key] = Plugin(path.name, key, brings, path.resolve())
        processes.PREPARE.append((load_file, path.resolve()))
    return LOADED[key]


def _with_files(text: str, module: str, path: Path) -> str:
    """What registries say of modules, in the names of their files, which a user knows."""
    files = {f"{MODULE}{key}": plugin.path for key, plugin in LOADED.items() if plugin.path is not None}
    for name, file in (files | {module: path}).items():
        text = text.replace(name, str(file))
    return text


def load_installed() -> None:
    """Load the plug-ins of installed packages; one that fails is named in ``BROKEN`` and left out."""
    found = {point.value: point for point in entry_points(group=GROUP)}  # stale metadata lists one twice
    for value, point in sorted(found.items()):
        if any(plugin.name == _name(point) for plugin in LOADED.values()) or value in BROKEN:
            continue
        before = _registered()
        try:
            module = importlib.import_module(point.module)
            content = _content(module.__file__)
        except (Exception, SystemExit) as error:
            _unregister(_registered() - before)
            BROKEN[value] = brief(error)
            log.warning(f"plug-in {_name(point)} is left out: {BROKEN[value]}")
            continue
        key = digest(*content)
        LOADED[key] = Plugin(_name(point), key, _registered() - before)
    if found and (load_installed,) not in processes.PREPARE:
        processes.PREPARE.append((load_installed,))


def load(paths: Iterable[Path]) -> None:
    """Load what installed packages bring, and the files that the user names."""
    load_installed()
    for path in paths:
        load_file(path)


def words() -> list[str]:
    """The command line's words for the files that are loaded here."""
    files = [plugin.path for plugin in LOADED.values() if plugin.path is not None]
    return [word for path in files for word in ("--plugin", str(path))]


def hash_for(job: Job) -> str:
    """Of the plug-ins that the job's method, network and dataset come from; empty where there are none."""
    return hash_of(_needed(job))


def hash_of(names: Names) -> str:
    """Of the plug-ins that bring any of ``names``; empty where there are none."""
    keys = sorted(plugin.hash for plugin in _bringing(names))
    return keys[0] if len(keys) == 1 else digest(*keys) if keys else ""


def _needed(job: Job) -> Names:
    steps = (("method", name) for name in job.method.split("+"))
    return frozenset([*steps, ("architecture", job.architecture), ("dataset", job.dataset)])


def _bringing(names: Names) -> list[Plugin]:
    """The plug-ins that bring any of ``names``."""
    return [plugin for plugin in LOADED.values() if plugin.brings & names]


def used_by(jobs: Iterable[Job]) -> dict[str, str]:
    """Hash and name of the plug-ins that ``jobs`` need, as a study keeps them."""
    found: dict[str, str] = {}
    for job in jobs:
        if job.plugin:
            found[job.plugin] = " and ".join(sorted(plugin.name for plugin in _bringing(_needed(job))))
    return found


def require(job: Job, known: dict[str, str]) -> None:
    """Refuse a job whose plug-in is not here as it was when the job was planned.

    Args:
        known: what the study keeps: name by hash.

    Raises:
        UserError: it is missing, or has changed.
    """
    if job.plugin == hash_for(job):
        return
    name = known.get(job.plugin, "a plug-in")
    if not job.plugin:
        raise UserError(f"{job.label}: was planned with built-in code, which a plug-in replaces now")
    if any(plugin.name == name for plugin in LOADED.values()):
        raise UserError(
            f"{job.label}: {name} has changed since the job was planned ({job.plugin}); run the matrix "
            "again, which plans it anew"
        )
    raise UserError(f"{job.label}: needs {name} ({job.plugin}); name it with --plugin")


def _registered() -> Names:
    return frozenset(
        [
            *(("method", name) for name in methods.METHODS),
            *(("architecture", name) for name in architectures.names()),
            *(("dataset", name) for name in datasets.DATASETS),
        ]
    )


def _unregister(names: Names) -> None:
    """Take back what a file registered before it failed."""
    for kind, name in names:
        if kind == "method":
            methods.METHODS.pop(name, None)
        elif kind == "dataset":
            datasets.DATASETS.pop(name, None)
        else:
            kept = [family for family in architectures.FAMILIES if name not in family.NAMES]
            architectures.FAMILIES[:] = kept


def _name(point: EntryPoint) -> str:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return f"{point.name}{package}"


def _content(file: str | None) -> list[bytes]:
    """The Python files of a module, or of a package."""
    path = Path(file or "")
    files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    return [one.read_bytes() for one in files]
