"""Figures from the records: PNG at 300 dpi and PDF, one colour a method and one marker a network."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from bench.report.frames import METHOD_ORDER, by_size, in_order, score_column, standard
from bench.store import write_file

MARKERS = "oDs^vP*X"
DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1)), "-.")
NAMES = {"baseline": "plain", "pm-kd": "PM", "at-kd": "AT", "combined": "PM + AT"}
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}


def colours(methods: list[str]) -> dict[str, Any]:
    """One colour a method, the same in every figure and study."""
    palette = sns.color_palette("colorblind", 10)
    known = [*METHOD_ORDER, *(m for m in methods if m not in METHOD_ORDER)]
    return {method: palette[k % 10] for k, method in enumerate(known)}


def write_figures(
    folder: Path, frame: pd.DataFrame, cases: pd.DataFrame, curves: pd.DataFrame
) -> list[Path]:
    """Write every figure that the frames can fill."""
    done = frame[frame.status == "done"]
    if not len(done):
        return []
    done = standard(done)
    written = []
    with plt.rc_context(STYLE):
        for loss in sorted(done.seg_loss.unique(), reverse=True):
            own = done[done.seg_loss == loss]
            suffix = "" if loss == "dice-bce" else f"_{loss}"
            if own.method.nunique() > 1:
                figure = dice_by_method(own, cases[cases.id.isin(own.id)])
                written += save(figure, folder / f"dice_by_method{suffix}")
                figure = learning_curves(own, curves[curves.id.isin(own.id)])
                written += save(figure, folder / f"learning_curves{suffix}")
        written += save(dice_against_cost(done[done.seg_loss == "dice-bce"]), folder / "dice_against_cost")
    return written


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write PNG and PDF and close the figure."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".pdf")]
    for path in paths:
        options: dict[str, Any] = {"metadata": {"CreationDate": None}} if path.suffix == ".pdf" else {}
        write_file(path, partial(figure.savefig, dpi=300, bbox_inches="tight", **options))
    plt.close(figure)
    return paths


def heading(frame: pd.DataFrame) -> str:
    """What every figure says above it: which data, whether synthetic, how many seeds."""
    names = ", ".join(sorted(frame.dataset.unique()))
    synthetic = " (synthetic)" if frame.synthetic.fillna(False).any() else ""
    seeds = frame.seed.nunique()
    return f"{names}{synthetic}, {seeds} seed{'s' if seeds > 1 else ''}"


def dice_by_method(done: pd.DataFrame, cases: pd.DataFrame) -> Figure:
    """Mean Dice of each cell over every patient's point; the networks side by side, largest first."""
    score, part = score_column(done)
    networks, methods = by_size(done), in_order(done.method)
    colour = colours(methods)
    figure, axis = plt.subplots(figsize=(1.2 + 1.45 * len(networks), 2.8))
    patients = cases.groupby(["architecture", "method", "patient"]).dice.mean()
    for n, network in enumerate(networks):
        for m, method in enumerate(methods):
            mine = done[(done.architecture == network) & (done.method == method)]
            if not len(mine):
                continue
            shared = done[done.architecture == network].method.nunique()
            x = n + (0 if shared == 1 else (m - (len(methods) - 1) / 2) * 0.19)
            points = patients.loc[network, method].to_numpy()
            axis.plot([x] * len(points), points, "_", color=colour[method], alpha=0.45, ms=5, mew=0.7)
            axis.plot(x, mine[score].mean(), "o", color=colour[method], mec="white", mew=0.6, ms=6)
    for method in methods:
        axis.plot([], [], "o", color=colour[method], label=NAMES.get(method, method))
    axis.set_xticks(range(len(networks)), [_two_lines(name) for name in networks])
    axis.set_ylabel(f"Dice ({part})")
    axis.set_title(f"{heading(done)}: mean (dot) and every patient (dash)", loc="left")
    axis.grid(axis="y", lw=0.3)
    axis.legend(frameon=False, ncols=len(methods), loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return figure


def dice_against_cost(done: pd.DataFrame) -> Figure:
    """Dice against parameters, MACs and latency, logarithmic; colour a method, marker a network."""
    score, part = score_column(done)
    axes_of = {
        "parameters": "parameters",
        "macs": "MACs",
        "latency_cpu_ms_p50": "CPU latency, ms (p50, batch 1)",
    }
    shown = {k: v for k, v in axes_of.items() if done[k].notna().any()}
    networks, methods = by_size(done), in_order(done.method)
    colour = colours(methods)
    figure, axes = plt.subplots(1, len(shown), figsize=(2.5 * len(shown), 2.6), sharey=True, squeeze=False)
    cells = done.groupby(["architecture", "method"], sort=False)
    for axis, (column, label) in zip(axes[0], shown.items(), strict=True):
        for (network, method), group in cells:
            axis.plot(
                group[column].mean(),
                group[score].mean(),
                MARKERS[networks.index(network) % len(MARKERS)],
                mec=colour[method],
                mfc="none",
                mew=1.2,
                ms=6,
            )
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(label)
        axis.grid(lw=0.3)
    axes[0][0].set_ylabel(f"Dice ({part})")
    axes[0][0].set_title(heading(done), loc="left")
    handles = [
        plt.Line2D([], [], ls="", marker="o", color=colour[m], label=NAMES.get(m, m)) for m in methods
    ] + [
        plt.Line2D([], [], ls="", marker=MARKERS[k % len(MARKERS)], color="0.4", label=name)
        for k, name in enumerate(networks)
    ]
    figure.legend(handles=handles, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    return figure


def learning_curves(done: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    """Training loss L_seg and validation Dice by epoch, a column a network; the kept epoch marked."""
    networks, methods = by_size(done), in_order(done.method)
    colour = colours(methods)
    figure, axes = plt.subplots(
        2,
        len(networks),
        figsize=(1.75 * len(networks) + 0.6, 3.4),
        sharex=True,
        sharey="row",
        squeeze=False,
    )
    best = done.set_index("id").best_epoch
    for column, network in enumerate(networks):
        for job_id, rows in curves[curves.architecture == network].groupby("id", sort=False):
            method = rows.method.iloc[0]
            line = {"color": colour[method], "lw": 1, "ls": DASHES[methods.index(method) % 4]}
            axes[0][column].plot(rows.epoch, rows.seg, **line)
            axes[1][column].plot(rows.epoch, rows.dice_val, **line)
            kept = rows[rows.epoch == best[job_id]]
            axes[1][column].plot(kept.epoch, kept.dice_val, "o", color=colour[method], ms=3)
        axes[0][column].set_title(_two_lines(network))
        axes[1][column].set_xlabel("epoch")
        axes[1][column].set_xticks([1, 5, 10, 15, 20])
    axes[0][0].set_ylabel("L_seg (training)")
    axes[1][0].set_ylabel("Dice (validation)")
    handles = [
        plt.Line2D([], [], color=colour[m], ls=DASHES[k % 4], label=NAMES.get(m, m))
        for k, m in enumerate(methods)
    ]
    figure.suptitle(f"{heading(done)}; dot: the epoch that is kept", x=0.02, ha="left", fontsize=8)
    figure.legend(
        handles=handles,
        frameon=False,
        ncols=len(methods),
        loc="upper center",
        bbox_to_anchor=(0.5, 0.01),
    )
    figure.tight_layout()
    return figure


def _two_lines(network: str) -> str:
    """``unet-64-128`` under its family, to fit below an axis."""
    family, _, rest = network.partition("-")
    return f"{family}\n{rest}" if rest else network
