from bench.phases import Phases, shares


def test_shares_by_hand():
    jobs = [
        {"cost": {"seconds": {"training": 100.0, "recording": 20.0}}},
        {"cost": {"seconds": {"training": 60.0, "evaluation": 4.0}}},
        {"status": "failed"},
        None,
    ]
    # Two at a time: what jobs spent counts half.
    line = shares(100.0, {"decoding": 2.0, "report": 1.0}, jobs, workers=2)
    assert line == (
        "1:40 went to: decoding 2.0 %, gate 0.0 %, recording 10.0 %, training 80.0 %, evaluation 2.0 %, "
        "profiling 0.0 %, report 1.0 %, other 5.0 %"
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
