"""Ratios between runtimes, from latencies of a known truth."""

import pandas as pd

from bench.report.tables.runtimes import runtimes_table

TOOK = {
    ("torch", "fp32"): (10.0, 60.0, 4.0),
    ("openvino", "fp32"): (5.0, 30.0, 4.1),
    ("openvino", "int8"): (2.0, 8.0, 1.4),
}


def graph(network, runtime, precision):
    return network if (runtime, precision) == ("torch", "fp32") else f"{network} {runtime} {precision}"


def measured(took=TOOK, network="unet-32-64", **more):
    rows = [
        {"architecture": network.split()[0], "graph": graph(network, runtime, precision), "device": "cpu",
         "threads": 1, "processor": "A", "backend": runtime, "precision": precision,
         "side": side, "shape": f"1x1x{side}x{side}", "latency_ms_p50": took_ms, "size_mb": megabytes,
         "volume": False, **more}
        for (runtime, precision), (small, large, megabytes) in took.items()
        for side, took_ms in ((96, small), (256, large))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_ratios_to_torch_and_to_the_same_runtime():
    frame = runtimes_table(measured()).frame
    assert list(frame.runtime) == ["openvino", "openvino"]
    assert list(frame["96²"]) == ["2.00", "5.00 / 2.50"]
    assert list(frame["256²"]) == ["2.00", "7.50 / 3.75"]
    assert list(frame["file"]) == ["1.02", "0.35"]


def test_what_was_not_measured_is_left_out():
    torch_alone = {form: took for form, took in TOOK.items() if form[0] == "torch"}
    without_torch = {form: took for form, took in TOOK.items() if form[0] != "torch"}
    assert not len(runtimes_table(pd.DataFrame()).frame)
    assert not len(runtimes_table(measured(torch_alone)).frame)
    assert not len(runtimes_table(measured(without_torch)).frame)
    assert not len(runtimes_table(measured(volume=True)).frame)
    frame = runtimes_table(pd.concat([measured(), measured(torch_alone, "dmfnet", threads=2)])).frame
    assert set(frame.network) == {"unet-32-64"}


def test_a_pruned_shape_is_another_network():
    half = {form: (small / 2, large / 2, size / 4) for form, (small, large, size) in TOOK.items()}
    both = runtimes_table(pd.concat([measured(), measured(half, "unet-32-64 76ea37d6")])).frame
    assert set(both.network) == {"unet-32-64", "unet-32-64 76ea37d6"}
    assert list(both["96²"]) == ["2.00", "5.00 / 2.50"] * 2
    frame = runtimes_table(
        pd.concat([measured(), measured({("torch", "fp32"): (1, 1, 1)}, "unet-32-64 76ea37d6")])
    ).frame
    assert list(frame["96²"]) == ["2.00", "5.00 / 2.50"]


def test_threads_and_devices_are_not_mixed():
    both = pd.concat([measured(), measured({form: (1, 1, 4) for form in TOOK}, threads=2)])
    frame = runtimes_table(both).frame
    assert list(frame.threads) == [1, 1, 2, 2]
    assert list(frame["96²"])[2:] == ["1.00", "1.00 / 1.00"]


def test_processors_are_not_mixed():
    """Of a study that goes on elsewhere the graphs of its first matrix are not measured again."""
    torch_alone = {form: tuple(3 * x for x in took) for form, took in TOOK.items() if form[0] == "torch"}
    found = runtimes_table(pd.concat([measured(), measured(torch_alone, "unet-8-16", processor="B")]))
    assert "On cpu measured on several: A, B." in found.caption
    assert set(found.frame.network) == {"unet-32-64"}
    both = runtimes_table(pd.concat([measured(), measured(processor="B")])).frame
    assert list(both.processor) == ["A", "A", "B", "B"]
    assert "processor" not in runtimes_table(measured()).frame


def test_sessions_are_not_mixed():
    """On another day a machine is not as fast; what has no weights any more is not measured again."""
    torch_alone = {form: tuple(2 * x for x in took) for form, took in TOOK.items() if form[0] == "torch"}
    others = {form: took for form, took in TOOK.items() if form[0] != "torch"}
    found = runtimes_table(pd.concat([measured(session="1"), measured(torch_alone, "unet-4", session="2")]))
    assert "On cpu measured in 2 sessions" in found.caption
    assert "session" not in found.frame
    apart = runtimes_table(pd.concat([measured(others, session="1"), measured(torch_alone, session="2")]))
    assert not len(apart.frame), "no ratio between days"
    assert "sessions" not in runtimes_table(measured(session="1")).caption
    assert "sessions" not in runtimes_table(measured()).caption


def test_a_busy_machine_is_named():
    assert "ratios between runtimes are too large" in runtimes_table(measured(busy=True)).caption
    assert "too large" not in runtimes_table(measured(busy=False)).caption
