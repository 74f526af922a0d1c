"""The training samples of one seed: the same batches for every job, and for the teacher's pass.

Which samples in which order, and how each is augmented, is a pure function of (seed, epoch, batch). So
every job of a seed sees the very same samples, and a teacher's targets can be recorded for them once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.augmentation import affine, augment
from bench.data.labels import Known, known_to
from bench.data.prepared import Prepared
from bench.job import Job
from bench.protocol import BATCH_SIZE, EPOCHS, epoch_batches

T = TypeVar("T")
OTHERS = (0, 0xDEC)
"""Tells the deck of samples without labels from the one of those with."""


@dataclass(frozen=True)
class SampleStream:
    """Augmented batches by (epoch, batch), both from 0.

    An epoch that the training samples fill goes through them in an order of its own and drops the
    incomplete last batch. Any other length (a small set, ``updates``, some patients' labels only) is dealt
    from a shuffled deck, each sample once before any comes again.

    It also says how long training is: as many ``epochs`` as the protocol has. Fewer, and a bound on the
    batches (``steps_at_most``), are for tests and trials. ``known`` says whose labels L_seg sees.
    """

    prepared: Prepared
    seed: int
    epochs: int = EPOCHS
    steps_at_most: int | None = None
    updates: int | None = None
    known: Known | None = None

    @classmethod
    def of(
        cls, job: Job, prepared: Prepared, epochs: int = EPOCHS, steps_at_most: int | None = None
    ) -> SampleStream:
        """The samples that ``job`` trains on.

        Raises:
            UserError: labels of more patients than there are.
        """
        known = known_to(job, prepared.sample_patients, prepared.unlabelled_patients)
        everything = len(known.labelled) == len(set(prepared.sample_patients)) and not known.unlabelled
        return cls(prepared, job.seed, epochs, steps_at_most, job.updates, None if everything else known)

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return self._whole if self.steps_at_most is None else min(self._whole, self.steps_at_most)

    @property
    def spatial_dims(self) -> int:
        """Of the samples."""
        return self.prepared.spatial_dims

    @property
    def labelled(self) -> int:
        """Samples of each batch whose labels L_seg sees; they come first."""
        labelled, others = self._decks
        return BATCH_SIZE if not others else BATCH_SIZE // 2 if labelled else 0

    def batch(self, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """Images ``(16, C, *spatial)`` float32 and labels ``(16, *spatial)`` uint8.

        Labels that nobody may see are 0.
        """
        images, labels = self.unaugmented(epoch, batch)
        theta = affine(self.seed, epoch, batch, BATCH_SIZE, self.spatial_dims)
        if self.spatial_dims == 2:
            return augment(images, labels, theta)
        # One volume at a time: the sampling grid alone is three times the size of the images.
        for k in range(len(images)):
            one = slice(k, k + 1)
            images[one], labels[one] = augment(images[one], labels[one], theta[one])
        return images, labels

    def unaugmented(self, epoch: int, batch: int) -> tuple[Tensor, Tensor]:
        """The same before it is flipped and cropped."""
        images, labels = self.prepared.take(self.rows(epoch, batch), (self.seed, epoch, batch))
        labels[self.labelled :] = 0
        return images, labels

    def rows(self, epoch: int, batch: int) -> list[int]:
        """The training samples of one batch, labelled ones first."""
        labelled, others = self._decks
        if self._fills:
            order = epoch_order(self.seed, epoch, len(labelled))
            return order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE].tolist()
        first = epoch * self._whole + batch
        count = self.labelled
        rows = [labelled[card] for card in deal(self.seed, first * count, count, len(labelled))]
        count = BATCH_SIZE - count
        return rows + [others[card] for card in deal(self.seed, first * count, count, len(others), OTHERS)]

    @property
    def _whole(self) -> int:
        return epoch_batches(self.prepared.samples, self.updates)

    @property
    def _fills(self) -> bool:
        samples = self.prepared.samples
        return (
            self.known is None and samples == len(self._decks[0]) and self._whole == samples // BATCH_SIZE
        )

    @cached_property
    def _decks(self) -> tuple[list[int], list[int]]:
        """Training samples with labels, and without."""
        owners = self.prepared.sample_patients
        if self.known is None:
            return list(range(len(owners))), []
        known = (self.known.labelled, self.known.others)
        labelled, others = ([k for k, owner in enumerate(owners) if owner in part] for part in known)
        further = enumerate(self.prepared.unlabelled_patients, len(owners))
        return labelled, others + [k for k, owner in further if owner in self.known.unlabelled]


def epoch_order(seed: int, epoch: int, count: int, deck: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """The permutation of ``count`` training samples that ``epoch`` (from 0) goes through."""
    return np.random.default_rng([seed, epoch, *deck]).permutation(count)


def deal(seed: int, first: int, count: int, samples: int, deck: tuple[int, ...] = ()) -> list[int]:
    """``count`` cards of an endless deck, from ``first``: all ``samples`` shuffled, then once more."""
    cards = range(first, first + count)
    orders = {k: epoch_order(seed, k, samples, deck) for k in {card // samples for card in cards}}
    return [int(orders[card // samples][card % samples]) for card in cards]


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
