"""The training samples of one seed: the same batches for every job, and for the teacher's pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from bench.data.augmentation import affine, augment
from bench.data.prepared import Prepared
from bench.protocol import BATCH_SIZE, EPOCHS

T = TypeVar("T")


@dataclass(frozen=True)
class SampleStream:
    """Augmented batches by (epoch, batch), both from 0; the incomplete last batch is dropped.

    It also says how long training is: as many ``epochs`` as the protocol has, with as many batches as the
    samples fill. Fewer epochs, and a bound on the batches (``steps_at_most``), are for tests and trials.
    """

    prepared: Prepared
    seed: int
    epochs: int = EPOCHS
    steps_at_most: int | None = None

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        steps = self.prepared.samples // BATCH_SIZE
        return steps if self.steps_at_most is None else min(steps, self.steps_at_most)

    @property
    def spatial_dims(self) -> int:
        """Of the samples."""
        return self.prepared.spatial_dims

    def batch(self, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Images ``(16, C, *spatial)`` float32 and labels ``(16, *spatial)`` uint8."""
        images, labels = self.prepared.draw(self.seed, epoch, batch)
        theta = affine(self.seed, epoch, batch, BATCH_SIZE, self.spatial_dims)
        if self.spatial_dims == 2:
            return augment(images, labels, theta)
        # One volume at a time: the sampling grid alone is three times the size of the images.
        for k in range(len(images)):
            one = slice(k, k + 1)
            images[one], labels[one] = augment(images[one], labels[one], theta[one])
        return images, labels


def ahead(prepare: Callable[..., T], keys: Iterable[tuple]) -> Iterator[T]:
    """``prepare(*key)`` for each key in order, the next made in a thread while the caller uses this one.

    What ``prepare`` raises is raised where its result would come. The thread keeps to one core, for the
    caller has all of them; what it makes does not depend on that.
    """
    with ThreadPoolExecutor(1, "next-batch", torch.set_num_threads, (1,)) as thread:
        coming: Future[T] | None = None
        for key in keys:
            ready, coming = coming, thread.submit(prepare, *key)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
