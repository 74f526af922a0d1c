"""Train the 2-D DMFNet sound and broken in three ways, and write the curves.

    python docs/why-it-failed/symptom.py [FOLDER]

The protocol is that of every other job (20 epochs, Adam, L_seg, seed 0), on the built-in phantom at 64².
Leaves ``curves.csv`` and ``curves.png`` in the folder, by default beside this file; docs/why-it-failed.md
reads them out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor, nn

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data import datasets as data
from bench.data.prepared_images import PreparedImages
from bench.data.splits import split_by_patient
from bench.data.stream import SampleStream
from bench.protocol import BATCH_SIZE, EPOCHS
from bench.scoring.evaluation import nan_mean, overlap_scores, validation_dice
from bench.training.loop import train
from bench.training.losses import segmentation_loss
from bench.training.step import Task

CPU, SEED = torch.device("cpu"), 0


class Ending(nn.Module):
    """DMFNet with something after its logits."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.end = architectures.build("dmfnet"), end

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 1, H, W)`` to whatever the ending makes of the logits."""
        return self.end(self.network(x))


def planar_kernels_lose_an_axis() -> nn.Module:
    """DMFNet whose 3 × 3 × 1 kernels became 3 × 1, as if the last axis had been dropped in vain."""
    model = architectures.build("dmfnet")
    for module in model.modules():
        if hasattr(module, "plane"):
            old = module.plane[2]
            module.plane[2] = nn.Conv2d(
                old.in_channels, old.out_channels, (3, 1), padding=(1, 0), groups=old.groups, bias=False
            )
    return model


VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "sound: logits": lambda: architectures.build("dmfnet"),
    "kernel of size one": planar_kernels_lose_an_axis,
    "sigmoid inside": lambda: Ending(torch.sigmoid),
    "softmax over one channel": lambda: Ending(lambda logits: logits.softmax(dim=1)),
}


def curves(model: nn.Module, prepared: PreparedImages, epochs: int = EPOCHS) -> pd.DataFrame:
    """Train ``model``; one row an epoch with the training and the validation loss and Dice."""
    losses: list[float] = []

    def validate(network: nn.Module) -> float:
        network.eval()
        images, masks = prepared.val.images, prepared.val.masks
        with torch.inference_mode():
            logits = torch.cat([network(x) for x in images.split(BATCH_SIZE)])
        labels = torch.stack([torch.from_numpy(mask) for mask in masks])
        native = nn.functional.interpolate(logits, labels.shape[1:], mode="bilinear")
        losses.append(segmentation_loss(native, labels).mean().item())
        return validation_dice(network, prepared.val, prepared.dataset.classes, CPU)

    runtime = Runtime(CPU, "fp32", torch.get_num_threads(), compiled=False)
    method = methods.build("baseline")
    # As many batches as the samples fill: the pages were made before an epoch had 25 at least.
    stream = SampleStream(prepared, SEED, epochs, steps_at_most=prepared.samples // BATCH_SIZE)
    task = Task(model, method, stream, runtime)
    trained = train(task, validate)
    frame = pd.DataFrame(trained.curves).rename(columns={"seg": "train_loss", "dice_val": "dice"})
    return frame.assign(val_loss=losses)[["epoch", "train_loss", "val_loss", "dice"]]


def everything_is_liver(prepared: PreparedImages) -> float:
    """The Dice of calling every pixel the organ."""
    return nan_mean(overlap_scores(mask >= 0, mask > 0)["dice"] for mask in prepared.val.masks)


def draw(frame: pd.DataFrame, path: Path) -> None:
    """Validation loss and Dice by epoch, a line a variant."""
    figure, axes = plt.subplots(1, 2, figsize=(7.1, 2.6))
    for name, rows in frame.groupby("variant", sort=False):
        axes[0].plot(rows.epoch, rows.val_loss, label=name)
        axes[1].plot(rows.epoch, rows.dice, label=name)
    for axis, label in zip(axes, ("L_seg (validation)", "Dice (validation)"), strict=True):
        axis.set(xlabel="epoch", ylabel=label, xticks=[1, 5, 10, 15, 20])
        axis.grid(lw=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_title("dmfnet, 2-D; phantom (synthetic) at 64², seed 0", loc="left", fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.02))
    figure.tight_layout()
    figure.savefig(path, dpi=200, bbox_inches="tight")


def main(folder: Path) -> None:
    """Run every variant and write what it did."""
    dataset = data.load("phantom")
    prepared = PreparedImages(dataset, split_by_patient(dataset), 64)
    frames = []
    for name, build in VARIANTS.items():
        torch.manual_seed(SEED)
        frames.append(curves(build(), prepared).assign(variant=name))
        print(name, frames[-1].iloc[-1].to_dict(), flush=True)
    frame = pd.concat(frames)
    frame.to_csv(folder / "curves.csv", index=False, float_format="%.6f")
    draw(frame, folder / "curves.png")
    print(f"calling every pixel liver: Dice {everything_is_liver(prepared):.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
