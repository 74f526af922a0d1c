"""The step from 3-D to 2-D as a table: each network on whole volumes and on their slices, same patients."""

from __future__ import annotations

import pandas as pd

from bench.report.captions import cautions, repeats, unit, updates
from bench.report.cells import Cell
from bench.report.frames import score_column
from bench.report.tables.markup import Table


def dimensions_table(frame: pd.DataFrame) -> Table:
    """A row a network, method and kind of image, for each number of updates.

    Empty unless a study holds volumes and slices of one network.
    """
    done = frame[frame.status == "done"]
    score, part = score_column(done)
    suffix = "_val" if part == "validation" else ""
    cell = [name for name in Cell._fields if name not in ("slices", "updates_asked")]
    both = done.groupby(cell, dropna=False).slices.transform("nunique") > 1
    rows = []
    for _, group in done[both].groupby([*cell, "slices", "updates_asked"], sort=False, dropna=False):
        architecture, method, slices = group.iloc[0][["architecture", "method", "slices"]]
        rows.append(
            {
                "network": architecture,
                "method": method,
                "sees": f"{slices} slices" if slices else "volumes",
                f"Dice ({part})": group[score].mean(),
                f"HD95, {unit(done)}": group[f"hd95{suffix}"].mean(),
                f"NSD at 1 {unit(done)}": group[f"nsd{suffix}"].mean(),
                "parameters": f"{group.parameters.iloc[0]:,.0f}",
                "updates": updates(group) or None,
                "voxels seen, millions": group.voxels_seen.iloc[0] / 1e6,
                "training memory, MB": group.peak_memory_train_mb.max(),
                "train s": group.train_seconds.mean(),
                "CPU ms a volume, p50": group.latency_volume_cpu_ms_p50.iloc[0],
                "record": " ".join(group.id),
            }
        )
    names = ", ".join(sorted(done.dataset.unique()))
    synthetic = " (synthetic data)" if done.synthetic.fillna(False).any() else ""
    caption = (
        f"From 3-D to 2-D: the same networks on volumes and on their slices, {names}{synthetic}, "
        f"{part} scores, {repeats(done)}. Slices are stacked back and scored as volumes, on the same "
        "patients. What training saw is in the table. Training memory: the whole process."
        f"{cautions(done[both])}"
    )
    return Table("dimensions", caption, pd.DataFrame(rows))
