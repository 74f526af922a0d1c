"""Too few updates or patients: said before anything is trained."""

import pytest

UPDATES = "80 updates a job: fewer than 100 say little about a network"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], [UPDATES, "5 test patients: fewer than 10 tell no networks apart; with --folds every"]),
        (["--no-test"], [UPDATES, "4 validation patients: fewer than 10 tell no networks apart"]),
        (["--folds", 5], [UPDATES]),
        (["--folds", 5, "--updates", 100], []),
    ],
)
def test_it_is_said_in_a_dry_run(bench, tiny_matrix, tmp_path, monkeypatch, flags, said):
    monkeypatch.setattr("bench.commands._list_jobs", lambda plan: 0)
    result = bench("--matrix", tiny_matrix, "--results", tmp_path / "s", "--dry-run", *flags)
    lines = [line for line in result.err.splitlines() if "fewer than" in line]
    assert len(lines) == len(said), result.err
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))
