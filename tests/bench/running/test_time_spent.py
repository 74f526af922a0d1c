from bench.running.time_spent import shares
from bench.study.reporter import Phases


def test_shares_by_hand():
    jobs = [
        {"job": {"threads": 2}, "cost": {"seconds": {"training": 20.0}}},
        {"job": {"threads": 1}, "cost": {"seconds": {"training": 80.0, "recording": 20.0}}},
        {"job": {"threads": 1}, "cost": {"seconds": {"training": 40.0, "evaluation": 4.0}}},
        {"job": {"threads": 1}, "status": "failed"},
        None,
    ]
    # Two at a time: what jobs spent counts half, but whole for the one that had both cores.
    settings = {"workers": 2, "threads": 1}
    line = shares(100.0, {"decoding": 2.0, "report": 1.0}, jobs, settings)
    assert line == (
        "1:40 went to: decoding 2.0 %, gate 0.0 %, recording 10.0 %, training 80.0 %, validation 0.0 %, "
        "evaluation 2.0 %, profiling 0.0 %, report 1.0 %, other 5.0 %"
    )


def test_a_phase_adds_up_and_counts_what_fails():
    phases = Phases()
    for _ in range(2):
        try:
            with phases.time("report"):
                raise KeyError
        except KeyError:
            pass
    assert list(phases) == ["report"]
    assert phases["report"] > 0
