"""A finished network out of its study, into a bundle that works without this project."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import architectures
from bench.errors import UserError, brief
from bench.files.atomic import write_folder, write_json
from bench.study.store import Study
from bench.using import standalone
from bench.using.alone import alone_in
from bench.using.bundle import DESCRIPTION, PARTS, describe, is_bundle, part_of
from bench.using.card import WARNING, Story, card, mean_dice
from bench.using.metadata import metadata
from bench.using.network import Network, of_study
from bench.using.refit import refit, repeats_of
from bench.using.wishes import ExportWish
from methods.artefact import Artefact, GraphArtefact, parameters_of
from methods.converting import open_graph
from methods.converting.agreement import DIFFERENCE, differences, tolerance
from methods.converting.libraries import lacking
from methods.converting.steps import FP32, NEEDED

log = logging.getLogger(__name__)

STANDALONE = Path(standalone.__file__).parent
LICENCE = """predict.py and the files in scripts/ and configs/ are part of lightseg-bench, under the Apache
License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0

The weights in models/ were made by whoever ran the study, from data under this licence:
{licence}
What it asks of networks that were trained on the data is for those who pass them on to find out.

{warning}
"""
DIFFERING = {"scripts/images.py", "scripts/volumes.py"} | {
    f"models/{name}" for names in PARTS.values() for name in names
}
"""Files that not every bundle has: they follow from its runtime and the kind of its images."""
COMPARED = {2: 8, 3: 2}
"""Images of noise that a conversion is compared with torch on, by spatial dimensions."""
SCALES, FEW = (0.1, 10.0), 2
"""How strong the noise is besides, and how many such images there are."""


def export(study: Study, job_id: str, out: Path, wish: ExportWish | None = None) -> None:
    """Write the bundle of a job's network; whole, or not at all.

    Raises:
        UserError: no such network, one that no other runtime can run, or a folder with other things.
    """
    wish = wish or ExportWish()
    with alone_in(out, out.absolute().with_name(f".{out.absolute().name}.exporting")):
        check_out(out, wish.overwrite)
        _export(study, job_id, out, wish)


def _export(study: Study, job_id: str, out: Path, wish: ExportWish) -> None:
    home, own, scored = (study, job_id, [job_id])
    if wish.refit:
        scored = repeats_of(study, job_id)
        home, own = refit(study, job_id, wish.data)
    network = of_study(home, own)
    graph = as_graph(network, wish.runtime)
    record, label = home.record(own) or {}, network.label
    if wish.refit:
        label = f"{label}, trained on all patients"
        network = replace(network, label=label)
    story = Story(
        study, scored, record, network.made_for, {}, label, refit=wish.refit, names=wish.name_cases
    )
    write_bundle(network, graph, story, out)


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds anything.

    Raises:
        UserError: it does, and ``--overwrite`` was not said.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; -o must name a folder")
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if there and not overwrite:
        what = "a bundle" if is_bundle(out) else there[0]
        raise UserError(f"{out}: holds {what} already; name another folder with -o, or --overwrite")


def as_graph(network: Network, runtime: str = "") -> GraphArtefact:
    """The network in a runtime that needs no torch: as it is where it has one, else converted.

    Raises:
        UserError: no such runtime here, a network in lower precision, or logits that differ from torch's.
    """
    artefact = network.artefact
    about = artefact.about
    if isinstance(artefact, GraphArtefact):
        own = artefact.graph.runtime
        if own not in PARTS:
            raise UserError(f"{network.label}: runs in {own}; a bundle holds {' or '.join(PARTS)}")
        if runtime not in ("", own):
            raise UserError(
                f"--runtime {runtime}: {network.label} is a network of {own} already; leave it out, or "
                "name the job that it was made from"
            )
        return artefact
    if artefact.module is None or (about is not None and about.precision != "fp32"):
        raise UserError(
            f"{network.label}: is a network of torch in lower precision, which other runtimes lack; export "
            "the job that it was made from, or one of its conversions"
        )
    chosen = runtime or next((name for name in PARTS if not lacking(*NEEDED[name])), "onnxruntime")
    if why := lacking(*NEEDED[chosen]):
        raise UserError(f"{network.label}: can't be converted to {chosen}; {why}")
    return _converted(network, artefact, chosen)


def _converted(network: Network, artefact: Artefact, runtime: str) -> GraphArtefact:
    """A torch network in fp32, compared with what it was on noise, which needs no data."""
    made_for, module, about = network.made_for, artefact.module, artefact.about
    assert module is not None
    assert about is not None
    sides, noise = made_for.sides, torch.Generator().manual_seed(0)
    images = torch.randn(COMPARED[len(sides)], len(made_for.channels), *sides, generator=noise)
    try:
        graph = FP32[runtime](module, images.split(1), architectures.stride(about.architecture))
    except ValueError as error:
        raise UserError(f"{network.label}: {error}") from None
    except Exception as error:  # exporters have errors of their own, for code of networks that isn't ours
        raise UserError(
            f"{network.label}: {runtime} can't be made of it ({brief(error)}); --runtime names another one"
        ) from None
    made = GraphArtefact(replace(about, parameters=parameters_of(module)), graph, open_graph)
    _check_scales(network, made, images[:FEW])
    return made


def _check_scales(network: Network, made: GraphArtefact, images: torch.Tensor) -> None:
    """Compare on weaker and stronger images, too.

    Exporting fixes what a network decides by its image, so that a graph can be right for some images alone.
    Logits of a network without normalisation grow with the image, and so does what rounding adds.

    Raises:
        UserError: logits that are not torch's.
    """
    for scale in SCALES:
        batches = (scale * images).split(1)
        found = differences(made.predict, network.artefact.predict, batches)[DIFFERENCE]
        if not found <= tolerance(made.graph.runtime) * max(1.0, scale):
            raise UserError(
                f"{network.label}: in {made.graph.runtime} its logits differ from torch's by {found:.2g} "
                f"on images {scale:g} times as strong: does it decide by their values? Such a network "
                "can't be exported"
            )


def write_bundle(network: Network, graph: GraphArtefact, story: Story, out: Path) -> None:
    """Write everything."""
    kind = "volumes" if network.made_for.patch else "images"

    def write(folder: Path) -> None:
        for name in ("configs", "models", "docs", "scripts"):
            (folder / name).mkdir()
        parts = {}
        for name, content in graph.graph.parts.items():
            (folder / "models" / name).write_bytes(content)
            parts[name] = part_of(content)
        description = describe(network, graph, parts)
        told = replace(story, network=description["network"], doubts=_doubts(graph))
        said = metadata(description, network.made_for, story.record, mean_dice(told))
        licence = story.record["dataset"].get("licence") or "not stated"
        texts = {
            "LICENSE": LICENCE.format(licence=licence, warning=WARNING),
            "docs/README.md": card(told),
            "docs/data_license.txt": f"{licence}\n",
        }
        for name in ("predict.py", "scripts/__init__.py", "scripts/steps.py", f"scripts/{kind}.py"):
            texts[name] = (STANDALONE / name).read_text(encoding="utf-8")
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        write_json(folder / "configs" / "metadata.json", said)
        write_json(folder / DESCRIPTION, description)

    out.parent.mkdir(parents=True, exist_ok=True)
    replaced = is_bundle(out)
    write_folder(out, write, last=DESCRIPTION)
    own = {f"scripts/{kind}.py", *(f"models/{name}" for name in graph.graph.parts)}
    for name in DIFFERING - own if replaced else ():
        (out / name).unlink(missing_ok=True)
    size = graph.graph.size / 1e6
    log.info(f"{out}: {network.label} in {graph.graph.runtime}, {graph.graph.precision}, {size:.2g} MB")


def _doubts(graph: GraphArtefact) -> list[str]:
    """Sentences for the card on what its runtime does to it."""
    facts: dict[str, Any] = dict(graph.graph.facts)
    found = []
    if DIFFERENCE in facts:
        found.append(
            f"Against the trained network in torch its logits differ by {facts[DIFFERENCE]:.2g} "
            f"at most and {100 * facts['changed_pixels']:.3g} % of the pixels are decided otherwise, on "
            f"{facts['compared_images']} images."
        )
    if graph.graph.precision == "int8":
        found.append(
            "8-bit sums depend on the processor: it was made and scored on one with "
            f"{facts.get('instruction_set')}; score it again on another kind before relying on its numbers."
        )
    found += [f"Mind: {doubt}." for doubt in facts.get("doubts", [])]
    return found
