"""Training steps against three yardsticks: the plain loop, the student's own baseline, the machine."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.profiler import profile as torch_profile

from bench.compute.macs import forward_macs
from bench.data.prepared_images import PreparedImages
from bench.performance.lab import Lab, as_in_a_job, in_rounds
from bench.performance.peer import peer_steps
from bench.performance.plain_loop import Reference, loop_in_own_process
from bench.protocol import BATCH_SIZE, EPOCHS, epoch_batches

Asked = Mapping[str, tuple[float | None, float | None]]
"""Times faster by network: as a study here runs against the other loop in fp32, and at equal precision."""
TIMES_FASTER: Asked = {"unet-32-64-128-256": (4.0, None), "unet-32-64": (5.0, None)}
TIMES_FASTER_THAN_A_PEER: Asked = {"unet-32-64": (4.0, 2.5)}
DISTILLED_AT_MOST = 1.10
"""Asked for: a distilled job's step over its own baseline's."""
MACHINE_SHARE = (0.5, 0.7)
"""Asked for and aimed at: the teacher's GFLOP/s over those of a large matrix product."""

Values = dict[tuple[str, str, str], list[float]]


def measure_steps(lab: Lab) -> dict[str, Any]:
    """Everything about training steps, from one set of rounds; seconds are per step."""
    scale = lab.scale
    calls: dict[tuple[str, str, str], Any] = {}
    for precision in lab.precisions:
        record = lab.recording(precision)
        calls["recording", scale.teacher, precision] = as_in_a_job(record)
        source = record()
        stream = lab.short()
        calls["teacher", scale.teacher, precision] = as_in_a_job(
            lab.job_steps(scale.teacher, "baseline", precision, stream)
        )
        for way, multiply in products(lab, precision).items():
            calls["product", way, precision] = multiply
        for student in scale.students:
            for method, own in (("baseline", None), ("combined", source)):
                steps = lab.job_steps(student, method, precision, stream, own)
                calls[method, student, precision] = as_in_a_job(steps)
    with contextlib.ExitStack() as stack:
        others = {"plain loop": stack.enter_context(loop_in_own_process(_reference(lab)))}
        if lab.peer is not None:
            others[lab.peer.name] = stack.enter_context(peer_steps(lab.peer, _reference(lab)))
        for student, precision in itertools.product(scale.students, lab.precisions):
            for name, take in others.items():
                calls[name, student, precision] = partial(take, student, precision, scale.steps)
        first = in_rounds(calls, 1)  # warms up and compiles
        values = in_rounds(calls, scale.rounds)
    per_step = {key: [value / scale.steps for value in own] for key, own in values.items()}
    extra = {key: max(0.0, first[key][0] - statistics.median(values[key])) for key in values}
    return {
        "epochs": _epochs(lab, per_step, extra, "plain loop", TIMES_FASTER),
        "peer": None
        if lab.peer is None
        else {
            "name": lab.peer.name,
            "version": lab.peer.version,
            "epochs": _epochs(lab, per_step, extra, lab.peer.name, TIMES_FASTER_THAN_A_PEER),
        },
        "distilled_over_baseline": _over_baseline(lab, per_step),
        "machine": _machine(lab, per_step),
        "seconds_per_step": [
            {"what": what, "network": network, "precision": precision, "seconds": own}
            for (what, network, precision), own in per_step.items()
        ],
    }


def _reference(lab: Lab) -> Reference:
    images = lab.stream(len(lab.session.split.train)).prepared
    assert isinstance(images, PreparedImages)
    return Reference(
        lab.scale.teacher,
        images.train_images.numpy(),
        images.train_labels.numpy(),
        lab.session.dataset.out_channels,
        lab.session.device,
        lab.session.settings["threads"],
    )


def _epochs(
    lab: Lab, values: Values, extra: dict[tuple[str, str, str], float], against: str, asked: Asked
) -> list[dict[str, Any]]:
    """One epoch of ``combined`` against another loop, the recording shared among a seed's distilled jobs.

    ``extra`` is what first calls took beyond the others: compiling, where the cache had nothing.
    """
    own = lab.precisions[-1]
    steps = epoch_batches(len(lab.session.split.train))
    distilled = sum(bool(job.teachers) for job in lab.jobs)
    rows = []
    for plain_precision, precision in dict.fromkeys([("fp32", own), ("fp32", "fp32"), (own, own)]):
        for student in lab.scale.students:
            plain = values[against, student, plain_precision]
            job = values["combined", student, precision]
            share = [r / distilled for r in values["recording", lab.scale.teacher, precision]]
            compiling = extra["combined", student, precision]
            compiling += extra["recording", lab.scale.teacher, precision] / distilled
            as_is, at_equal = asked.get(student, (None, None))
            usual = plain_precision == "fp32" and precision == own
            rows.append(
                {
                    "network": student,
                    "plain_precision": plain_precision,
                    "precision": precision,
                    "plain_seconds": statistics.median(plain) * steps,
                    "seconds": statistics.median(j + s for j, s in zip(job, share, strict=True)) * steps,
                    "recording_seconds": statistics.median(share) * steps,
                    "compiling_seconds": compiling / EPOCHS,
                    "times_faster": _ratio(plain, [j + s for j, s in zip(job, share, strict=True)]),
                    "at_least": as_is if usual else at_equal,
                }
            )
    return rows


def _over_baseline(lab: Lab, values: Values) -> list[dict[str, Any]]:
    return [
        {
            "network": student,
            "precision": precision,
            "ratio": _ratio(values["combined", student, precision], values["baseline", student, precision]),
            "at_most": DISTILLED_AT_MOST,
        }
        for precision in lab.precisions
        for student in lab.scale.students
    ]


def _machine(lab: Lab, values: Values) -> list[dict[str, Any]]:
    """The teacher's training step: three forward passes' worth of FLOPs, over those of a product.

    Of the ways to multiply the faster one counts, in each round.
    """
    dataset, name = lab.session.dataset, lab.scale.teacher
    shape = (dataset.spatial_dims, dataset.in_channels, dataset.out_channels, lab.scale.image_size)
    flops = 6.0 * forward_macs(name, *shape) * BATCH_SIZE
    rows = []
    for precision in lab.precisions:
        step = [flops / s / 1e9 for s in values["teacher", name, precision]]
        ways = [own for (what, _, at), own in values.items() if (what, at) == ("product", precision)]
        product = [2e-9 * lab.scale.product_side**3 / min(seconds) for seconds in zip(*ways, strict=True)]
        rows.append(
            {
                "network": name,
                "precision": precision,
                "gflops": statistics.median(step),
                "product_gflops": statistics.median(product),
                "ratio": _ratio(step, product),
                "at_least": MACHINE_SHARE[0],
                "aimed_at": MACHINE_SHARE[1],
            }
        )
    return rows


def teacher_profile(lab: Lab, precision: str) -> str:
    """Where a step of the teacher goes: torch's profiler, its operators by their own time."""
    on_gpu = lab.session.device.type == "cuda"
    steps = lab.job_steps(lab.scale.teacher, "baseline", precision, lab.short())
    as_in_a_job(steps)()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if on_gpu else [])
    with torch_profile(activities=activities) as profile:
        as_in_a_job(steps)()
    order = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    return profile.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=60)


def products(lab: Lab, precision: str) -> dict[str, Any]:
    """``steps`` products of two large square matrices, as each of torch's libraries computes them.

    On a CPU a matrix product and a 1x1 convolution are different libraries' code, and which one comes
    closer to the machine depends on the processor and the precision: MKL's fp32 product may take twice
    the time of oneDNN's convolution.
    """
    side, device = lab.scale.product_side, lab.session.device
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.rand(side, side, device=device).to(kind) for _ in range(2))
    image = b.reshape(1, side, side, 1).to(memory_format=torch.channels_last)
    kernel = a.reshape(side, side, 1, 1)
    ways = {"matmul": lambda: a @ b, "1x1 convolution": lambda: F.conv2d(image, kernel)}

    def repeated(multiply: Callable[[], Tensor]) -> Callable[[], None]:
        def calls() -> None:
            for _ in range(lab.scale.steps):
                c = multiply()
            c.flatten()[0].item()  # waits for the device

        return calls

    return {name: repeated(way) for name, way in ways.items()}


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds of the round's own ratio."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
