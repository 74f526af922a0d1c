"""How many times as fast one network is in each runtime and precision."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.captions import extent
from bench.report.frames import single_passes
from bench.report.tables.markup import Table
from bench.report.tables.matrix import without_constant
from bench.report.tables.wording import disturbed, number

KEYS = ["network", "device", "threads", "processor", "session"]
"""What is compared has these in common."""
USUAL = ("torch", "fp32")


def runtimes_table(latency: pd.DataFrame) -> Table:
    """A row a network, runtime, precision and number of threads; empty where torch in fp32 is all there is.

    Args:
        latency: the measurements, a row a graph and side.
    """
    rows: list[dict[str, Any]] = []
    if len(latency):
        shapes = single_passes(latency).assign(network=lambda own: own.apply(_shape, axis=1))
        keys = [name for name in KEYS if name in shapes]
        for key, group in shapes.groupby(keys, sort=False):
            rows += _rows(dict(zip(keys, key, strict=True)), group)
    caption = (
        "How many times as fast a network is as in torch in fp32, and behind the stroke as in the same "
        "runtime in fp32: ratios of p50, batch 1, all graphs taking turns. File: its size as a "
        f"share of torch's in fp32.{disturbed(latency)}"
    )
    return Table("runtimes", caption, without_constant(pd.DataFrame(rows)))


def _shape(row: pd.Series) -> str:
    """The graph without its runtime and precision: one network, its channels pruned or not."""
    return str(row.graph).removesuffix(f" {row.backend} {row.precision}")


def _rows(about: dict[str, Any], group: pd.DataFrame) -> list[dict[str, Any]]:
    """Of one network on one device; none where torch in fp32 was not measured beside another."""
    by_form = dict(tuple(group.groupby(["backend", "precision"], sort=False)))
    if USUAL not in by_form or len(by_form) == 1:
        return []
    usual = by_form[USUAL]
    spatial_dims = group["shape"].iloc[0].count("x") - 1  # the first two are batch and channels
    rows = []
    for (runtime, precision), own in by_form.items():
        if (runtime, precision) == USUAL:
            continue
        same = by_form.get((runtime, USUAL[1])) if precision != USUAL[1] else None
        rows.append(
            {
                **about,
                "runtime": runtime,
                "precision": precision,
                **{
                    extent(side, spatial_dims): _ratios(own, usual, same, side)
                    for side in sorted(own.side.unique())
                },
                "file": number(own.size_mb.iloc[0] / usual.size_mb.iloc[0], ".2f"),
            }
        )
    return rows


def _ratios(own: pd.DataFrame, usual: pd.DataFrame, same: pd.DataFrame | None, side: int) -> str | None:
    """``5.1 / 2.8``: as torch, as the same runtime in fp32."""
    took = _took(own, side)
    parts = [number(_took(other, side) / took, ".2f") for other in (usual, same) if other is not None]
    return " / ".join(part for part in parts if part) or None


def _took(group: pd.DataFrame, side: int) -> float:
    """Milliseconds at that side; NaN where it was not measured."""
    return float(group.latency_ms_p50[group.side == side].sum(min_count=1))
