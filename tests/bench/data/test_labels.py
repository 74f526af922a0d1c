"""Which labels and images a job knows, and the batches that follow: one test a sentence of the protocol."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples import blank_job

from bench.data.labels import known_to
from bench.data.stream import SampleStream
from bench.errors import UserError
from bench.protocol import EPOCHS, epoch_batches

PATIENTS = [f"p{k}" for k in range(20)]


def student(**known):
    return blank_job(teachers=("t",), **known)


@given(st.integers(0, 2**32 - 1))
def test_fewer_labels_are_among_more_of_the_same_draw(seed):
    four, eight, sixteen = (
        known_to(blank_job(seed=seed, labels=count), PATIENTS).labelled for count in (4, 8, 16)
    )
    assert four < eight < sixteen < set(PATIENTS)
    assert [len(part) for part in (four, eight, sixteen)] == [4, 8, 16]


def test_seeds_and_so_folds_draw_differently_and_order_says_nothing():
    draws = {known_to(blank_job(seed=seed, labels=4), PATIENTS).labelled for seed in range(20)}
    assert len(draws) > 15
    assert known_to(blank_job(labels=4), PATIENTS[::-1]) == known_to(blank_job(labels=4), PATIENTS * 2)


def test_other_images_are_used_only_where_asked_for():
    without, with_maps = (
        known_to(student(labels=8, unlabelled=kind), PATIENTS) for kind in ("none", "maps")
    )
    assert without.labelled == with_maps.labelled
    assert not without.others
    assert with_maps.others == set(PATIENTS) - with_maps.labelled


def test_disjoint_teachers_share_no_patient_with_their_student():
    for seed in range(5):
        taught = known_to(
            student(seed=seed, labels=4, teacher_labels="disjoint", unlabelled="maps"), PATIENTS
        )
        teacher = known_to(blank_job(seed=seed, teacher_labels="disjoint"), PATIENTS)
        assert not teacher.labelled & (taught.labelled | taught.others)
        assert len(teacher.labelled) == 10 == len(taught.labelled | taught.others)
        assert taught.labelled == known_to(blank_job(seed=seed, labels=4), PATIENTS).labelled, (
            "as the plain one"
        )


def test_a_teacher_of_the_same_labels_knows_the_same_patients_and_one_of_all_knows_all():
    taught = known_to(student(labels=4), PATIENTS)
    assert known_to(blank_job(labels=4), PATIENTS) == taught
    assert known_to(blank_job(teacher_labels="all"), PATIENTS).labelled == set(PATIENTS)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (blank_job(labels=21, fold=3), "there are 20 training patients to draw from in fold 3; at most 20"),
        (student(labels=11, teacher_labels="disjoint"), "10 training patients of the student's half"),
    ],
)
def test_labels_beyond_the_training_patients_are_refused(job, message):
    with pytest.raises(UserError, match=message):
        known_to(job, PATIENTS)


def test_one_patient_can_not_be_shared_out():
    assert known_to(student(labels=1, teacher_labels="disjoint"), ["a"]).labelled == {"a"}
    with pytest.raises(UserError, match="can't be shared out"):
        known_to(blank_job(teacher_labels="disjoint"), ["a"])


def owners(stream, epoch, batch):
    return [stream.prepared.sample_patients[row] for row in stream.rows(epoch, batch)]


@pytest.mark.parametrize("labels", [1, 4, 12])
def test_a_batch_holds_eight_samples_of_either_whatever_the_number_of_labels(small_phantom, labels):
    job = student(labels=labels, unlabelled="maps")
    known, stream = known_to(job, small_phantom.sample_patients), SampleStream.of(job, small_phantom)
    assert stream.labelled == 8
    for epoch, batch in ((0, 0), (3, 7), (19, 24)):
        found = owners(stream, epoch, batch)
        assert set(found[:8]) <= known.labelled
        assert set(found[8:]) <= known.others
        assert len(found) == 16


def test_labels_of_others_are_withheld(small_phantom):
    stream = SampleStream.of(student(labels=2, unlabelled="maps"), small_phantom)
    batches = [stream.batch(0, batch) for batch in range(stream.steps)]
    assert all((y[8:] == 0).all() for _, y in batches)
    assert any((y[:8] > 0).any() for _, y in batches)
    assert (small_phantom.train_labels > 0).flatten(1).any(dim=1).sum() > 30, (
        "the originals are as they were"
    )


def test_without_any_label_all_samples_are_others(small_phantom):
    stream = SampleStream.of(student(labels=0, unlabelled="maps"), small_phantom)
    assert stream.labelled == 0
    assert (stream.batch(0, 0)[1] == 0).all()
    assert set(owners(stream, 0, 0)) <= set(small_phantom.sample_patients)


def test_without_maps_the_batches_are_of_labelled_patients_alone(small_phantom):
    job = student(labels=2)
    known, stream = known_to(job, small_phantom.sample_patients), SampleStream.of(job, small_phantom)
    assert stream.labelled == 16
    seen = {owner for batch in range(stream.steps) for owner in owners(stream, 0, batch)}
    assert seen == known.labelled


def test_the_number_of_updates_does_not_depend_on_the_number_of_labels(small_phantom):
    jobs = [student(), student(labels=2), student(labels=2, unlabelled="maps")]
    assert {SampleStream.of(job, small_phantom).steps for job in jobs} == {25}
    assert SampleStream.of(student(labels=2, updates=1000), small_phantom).steps == 50


def test_small_sets_are_dealt_each_sample_once_before_any_comes_again(small_phantom):
    stream = SampleStream(small_phantom, 1)
    assert (stream.steps, small_phantom.samples) == (25, 64), "500 updates of 64 samples"
    dealt = [row for epoch in range(2) for batch in range(25) for row in stream.rows(epoch, batch)]
    for start in range(0, len(dealt) - 64, 64):
        assert sorted(dealt[start : start + 64]) == list(range(64))


def test_fewer_samples_than_a_batch_are_no_error(small_phantom):
    stream = SampleStream.of(student(labels=1), small_phantom)
    counts = Counter(stream.rows(0, 0))
    assert len(counts) == 4 and set(counts.values()) == {4}, "one patient's four slices, four times each"
    assert stream.batch(0, 0)[0].shape == (16, 1, 16, 16)


@given(st.integers(1, 5000))
def test_an_epoch_is_what_the_samples_fill_and_25_batches_at_least(samples):
    assert epoch_batches(samples) == max(25, samples // 16)
    assert epoch_batches(samples, updates=2000) * EPOCHS == 2000


def test_the_images_of_labelled_samples_are_augmented_alike_in_every_job(small_phantom):
    one, other = (SampleStream.of(student(labels=4, unlabelled="maps"), small_phantom) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.batch(2, 3), other.batch(2, 3), strict=True))
