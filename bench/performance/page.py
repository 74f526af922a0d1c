"""The tables in Markdown and the plot of how cost grows, from what ``performance.json`` holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator
from tabulate import tabulate

from bench.report.figures.figures import STYLE, save
from bench.report.figures.style import plain
from bench.report.tables.markup import escape_markdown


def page(found: dict[str, Any]) -> str:
    """All tables, each ratio beside what is asked for."""
    scale = found["scale"]
    compiled = "compiled" if found["compiled"] else "uncompiled"
    parts = [
        "# Performance",
        f"{_about(found)} {found['steps_per_epoch']} steps an epoch. "
        f"Medians over {scale['rounds']} rounds of {scale['steps']} steps, all calls taking turns; ratios "
        "within a round. An epoch is its steps times the step.",
        f"## One epoch of `combined` against the plain loop\n\nHere: {compiled}; the recording pass "
        f"counted, shared among {found['distilled_jobs']} distilled jobs. Compiling: what first calls took "
        "longer in this run, spread over a job's epochs; not in the ratio.",
        _epochs("plain loop", found["epochs"]),
        *_peer(found.get("peer")),
        "## A distilled job's step over its own baseline's",
        _table(
            ("network", "precision", "ratio", "asked for"),
            [
                (r["network"], r["precision"], f"{r['ratio']:.2f}", f"≤ {r['at_most']}")
                for r in found["distilled_over_baseline"]
            ],
        ),
        f"## The teacher's training step over a product of two {scale['product_side']}² matrices\n\n"
        "The faster of two ways to compute it: as a product, as a 1×1 convolution. Where the rest goes: "
        "`profile-<precision>.txt`.",
        _table(
            ("network", "precision", "GFLOP/s", "product's", "ratio", "asked for", "aimed at"),
            [
                (
                    *(r["network"], r["precision"], f"{r['gflops']:.0f}", f"{r['product_gflops']:.0f}"),
                    *(f"{r['ratio']:.2f}", f"≥ {r['at_least']}", r["aimed_at"]),
                )
                for r in found["machine"]
            ],
        ),
        f"## How cost grows\n\n`{scale['students'][-1]}`; by side: `combined`; by slices: an epoch of "
        "`baseline`; by jobs: whole jobs of a tiny network on 16² synthetic slices. `relative` is time per "
        "MAC, slice or job over that of the first row: 1 is linear. Memory is a step's peak over what the "
        "process holds between steps.",
        _growth(found["growth"]),
        f"## Inference at {scale['inference_side']}², batch 1, fp32, CPU",
        _table(
            ("network", "cores", "frames per second", "ms p50", "ms p95"),
            [
                (
                    *(r["network"], r["cores"], f"{r['frames_per_second']:.1f}"),
                    *(f"{r['ms_p50']:.1f}", f"{r['ms_p95']:.1f}"),
                )
                for r in found["inference"]
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def ways_page(found: dict[str, Any]) -> str:
    """Each network's step in every way, and the layers of the narrow one, in Markdown."""
    layers = found["layers"]
    names = list(found["ways"][0]["ways"])
    measured = sum(row["ms"] for row in layers["layers"])
    bound = sum(row["bound_ms"] for row in layers["layers"])
    parts = [
        "# Every way to compute a step",
        _about(found) + (" **The machine was busy.**" if found["busy"] else ""),
        "Milliseconds of a training step (`baseline`), medians, the ways taking turns; in brackets the "
        "seconds of the first call, which compiles. **Bold** is the way that a job takes here. `job` "
        "divides 500 of its steps and its first call by those of the best way, `step` the steps alone.",
        _table(
            ("network", "precision", "threads", *names, "job", "step"),
            [
                (
                    *(row["network"], row["precision"], row["threads"]),
                    *(_way(row["ways"].get(name), name == row["chosen"]) for name in names),
                    *(f"{row['job_over_best']:.2f}", f"{row['step_over_best']:.2f}"),
                )
                for row in found["ways"]
            ],
        ),
        f"## The layers of {layers['network']}\n\nEach alone, forward and backward, uncompiled, "
        f"{layers['precision']}, {layers['threads']} thread(s). At best: the longer of its FLOPs at the "
        f"rate of a large product ({layers['product_gflops']:.0f} GFLOP/s) and its bytes at that of a copy "
        f"({layers['copy_gb_per_second']:.1f} GB/s).",
        _table(
            ("layer", "what", "output", "GFLOP", "MB", "ms", "at best", "times"),
            [
                (
                    *(row["layer"], row["kind"], "×".join(map(str, row["shape"]))),
                    *(f"{row['gflops']:.2f}", f"{row['mb']:.1f}", f"{row['ms']:.2f}"),
                    *(f"{row['bound_ms']:.2f}", f"{row['ms'] / row['bound_ms']:.1f}"),
                )
                for row in layers["layers"]
            ],
        ),
        f"Together {measured:.1f} ms, at best {bound:.1f}. The whole step takes {layers['step_ms']:.1f} "
        f"ms; a batch is augmented in {layers['augmentation_ms']:.1f}, in a thread of its own meanwhile.",
    ]
    return "\n\n".join(parts) + "\n"


def _way(seconds: dict[str, float] | None, chosen: bool) -> str:
    if seconds is None:
        return ""
    text = f"{1e3 * seconds['step']:.1f}"
    return (f"**{text}**" if chosen else text) + f" ({seconds['first']:.1f})"


def _about(found: dict[str, Any]) -> str:
    """What was measured and on what, as a sentence."""
    scale, machine = found["scale"], found["provenance"]["machine"]
    synthetic = " (synthetic)" if found["synthetic"] else ""
    device = machine["gpu"] if found["device"] == "cuda" else found["device"]
    return (
        f"{escape_markdown(found['dataset'])}{synthetic} at {scale['image_size']}², "
        f"batch {found['batch_size']}; {machine['cpu']} ({machine['cpu_capability']}), "
        f"{found['threads']} thread(s), {device}; "
        f"torch {found['provenance']['packages']['torch']}, commit {found['provenance']['commit']}."
    )


def _peer(found: dict[str, Any] | None) -> list[str]:
    """The same against somebody else's loop, if it was asked for one."""
    if found is None:
        return []
    name = found["name"]
    return [
        f"## One epoch of `combined` against the loop of a {name} user\n\n{name} {found['version']}, in an "
        "environment and a process of its own: its losses, forward hooks, the teacher in every step.",
        _epochs(name, found["epochs"]),
    ]


def _epochs(against: str, rows: Sequence[dict[str, Any]]) -> str:
    head = ("network", against, "s", "here", "s", "of it recording", "compiling", "times faster")
    return _table(
        (*head, "asked for"),
        [
            (
                *(r["network"], r["plain_precision"], f"{r['plain_seconds']:.2f}"),
                *(r["precision"], f"{r['seconds']:.2f}", f"{r['recording_seconds']:.2f}"),
                *(f"{r['compiling_seconds']:.2f}", f"{r['times_faster']:.2f}"),
                f"≥ {r['at_least']:g}" if r["at_least"] else "",
            )
            for r in rows
        ],
    )


def _growth(growth: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for what, unit in (("side", "gmacs"), ("slices", "slices"), ("jobs", "jobs")):
        each = [row["seconds"] / row[unit] for row in growth[what]]
        for row, value in zip(growth[what], each, strict=True):
            memory = row.get("memory_mb")
            rows.append(
                (
                    *(f"{what} {row[what]}", f"{row['seconds']:.3f}", f"{value / each[0]:.2f}"),
                    f"{memory:.0f}" if memory is not None else "",
                )
            )
    return _table(("", "seconds", "relative", "memory, MB"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return tabulate(rows, head, tablefmt="github", disable_numparse=True)


def write_plot(folder: Path, found: dict[str, Any]) -> list[Path]:
    """``scaling.png`` and ``scaling.pdf``: time and memory by side, time by slices and by jobs."""
    growth = found["growth"]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.4))
        side = growth["side"]
        sides = [row["side"] for row in side]
        unit = side[0]["seconds"] / side[0]["gmacs"]
        _line(axes[0], sides, [row["seconds"] for row in side], "image side", "seconds a step")
        axes[0].plot(sides, [unit * row["gmacs"] for row in side], "--", color="0.6", label="as the MACs")
        axes[0].legend(frameon=False, loc="lower right")
        memory = [row["memory_mb"] or float("nan") for row in side]
        _line(axes[1], sides, memory, "image side", "memory of a step, MB")
        for axis in axes[:2]:
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(sides, [str(s) for s in sides])
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.minorticks_off()
        for axis, what, label in ((axes[2], "slices", "seconds an epoch"), (axes[3], "jobs", "seconds")):
            counts = [row[what] for row in growth[what]]
            seconds = [row["seconds"] for row in growth[what]]
            _line(axis, counts, seconds, what, label)
            axis.plot([0, counts[-1]], [0, seconds[-1]], "--", color="0.6")
        synthetic = " (synthetic)" if found["synthetic"] else ""
        axes[0].set_title(
            f"{plain(found['dataset'])}{synthetic}: {found['scale']['students'][-1]}", loc="left"
        )
        return save(figure, folder / "scaling")


def _line(axis: Axes, x: Sequence[float], y: Sequence[float], label: str, unit: str) -> None:
    axis.plot(x, y, "o-", ms=4, lw=1)
    axis.set_xlabel(label)
    axis.set_ylabel(unit)
    axis.grid(lw=0.3)
