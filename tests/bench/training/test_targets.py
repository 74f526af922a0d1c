from dataclasses import replace

import numpy as np
import pytest
import torch
from devices import DEVICES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from samples import a_setting

import architectures
import methods
from bench.compute.runtime import Runtime
from bench.data.stream import SampleStream
from bench.planning.cells import cells
from bench.planning.estimates import recording_bytes
from bench.planning.matrix import parse_matrix
from bench.training import targets

CPU = Runtime(torch.device("cpu"), "fp32", 2, compiled=False)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e3, 1e3, width=32)),
    st.integers(-90, 60),
)
def test_packing_keeps_eleven_bits_at_any_scale(values, power):
    scaled = torch.ldexp(torch.tensor(values), torch.tensor(power))
    back = targets.unpack(*targets.pack(scaled))
    largest = scaled.abs().amax(dim=1, keepdim=True)
    assert torch.isfinite(back).all()
    assert ((back - scaled).abs() <= 2.0**-11 * scaled.abs() + 2.0**-38 * largest).all()


def test_small_values_do_not_underflow():
    tiny = torch.full((1, 8), 1e-12)
    assert torch.allclose(targets.unpack(*targets.pack(tiny)), tiny, rtol=1e-3)
    assert (targets.unpack(*targets.pack(torch.zeros(2, 3))) == 0).all()


def combined_job():
    setting = a_setting(dataset="phantom", image_size=16, can_compile=False, train_cases=64)
    content = {"teacher": "unet-2-4-8", "students": ["unet-2"], "methods": ["combined"], "updates": 80}
    matrix = parse_matrix(content, "x")
    return list(cells(matrix, setting))[-1].job


@pytest.fixture
def teacher():
    torch.manual_seed(5)
    return architectures.build("unet-2-4-8")


@pytest.mark.parametrize("device", DEVICES)
def test_recorded_targets_are_bit_identical_to_live_ones(small_phantom, teacher, device, tmp_path):
    stream = SampleStream(small_phantom, 1, updates=80)
    runtime = replace(CPU, device=torch.device(device))
    compute = targets.live(teacher, [methods.build("combined")], stream, runtime)
    live = targets.unpacked(compute)
    names = sorted(live(0, 0))
    assert names[-1] == "logits"
    recorded = targets.recorded(tmp_path / "t", names, compute, stream)
    for epoch, batch in ((0, 0), (7, 2), (19, 3)):
        kept, now = recorded.read(epoch, batch), live(epoch, batch)
        assert all(torch.equal(kept[name], now[name].cpu()) for name in names)
    size = sum(path.stat().st_size for path in (tmp_path / "t").glob("*.npy"))
    predicted = recording_bytes([combined_job()], "unet-2-4-8", 64)
    assert size == pytest.approx(predicted, rel=0.02)


def test_a_recording_is_read_again_and_a_damaged_one_is_redone(small_phantom, teacher, tmp_path):
    stream = SampleStream(small_phantom, 1, updates=80)
    compute = targets.live(teacher, [methods.build("pm-kd")], stream, CPU)
    first = targets.recorded(tmp_path / "t", ["logits"], compute, stream).read(3, 1)["logits"]

    def never(epoch, batch):
        pytest.fail("the teacher ran again")

    targets.recorded(tmp_path / "t", ["logits"], never, stream)
    path = tmp_path / "t" / "logits.half.npy"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = targets.recorded(tmp_path / "t", ["logits"], compute, stream).read(3, 1)["logits"]
    assert torch.equal(first, again)
    with pytest.raises(BaseException, match="the teacher ran again"):
        targets.recorded(tmp_path / "t", ["logits", "attention/encoder/1"], never, stream)
    with pytest.raises(BaseException, match="the teacher ran again"):
        targets.recorded(tmp_path / "t", ["logits"], never, SampleStream(small_phantom, 1, updates=160))
