import threading

import pytest
import torch

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream, ahead
from bench.training import targets
from bench.training.step import Targets, batches

CPU = Runtime(torch.device("cpu"), "fp32", 1, compiled=False)


def test_the_next_is_prepared_while_this_one_is_used():
    begun = [threading.Event() for _ in range(4)]

    def prepare(k):
        begun[k].set()
        return k * k

    values = ahead(prepare, [(k,) for k in range(4)])
    for k in range(4):
        assert next(values) == k * k
        assert k == 3 or begun[k + 1].wait(20)
        assert k >= 2 or not begun[k + 2].is_set(), "only one ahead"
    assert list(values) == []


def test_what_goes_wrong_in_the_thread_is_raised_in_its_place():
    values = ahead(lambda k: 6 // (2 - k), [(k,) for k in range(4)])
    assert [next(values), next(values)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(values)


def test_the_callers_threads_stay():
    torch.set_num_threads(2)
    assert list(ahead(torch.get_num_threads, [()] * 2)) == [1, 1]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("read_ahead", [True, False])
def test_batches_are_those_of_the_stream_bit_for_bit(small_phantom, read_ahead):
    stream = SampleStream(small_phantom, 2, updates=80)
    torch.manual_seed(0)
    teacher = architectures.build("unet-2-4")
    source = targets.unpacked(targets.live(teacher, [methods.build("combined")], stream, CPU))
    found = list(batches(stream, CPU, 3, Targets(source, read_ahead)))
    assert len(found) == stream.steps == 4
    for batch, (x, y, kept) in enumerate(found):
        expected_x, expected_y = stream.batch(3, batch)
        assert torch.equal(x, expected_x)
        assert torch.equal(y, expected_y)
        expected = source(3, batch)
        assert sorted(kept) == sorted(expected)
        assert all(torch.equal(kept[name], expected[name]) for name in expected)
