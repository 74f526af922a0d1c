"""What the README's first table says is in the tables of the study that it names."""

import json
from pathlib import Path
from statistics import mean

import pytest

HERE = Path(__file__).resolve().parents[2]
TABLES = HERE / "results" / "liver-ct" / "tables"


def rows(text: str) -> list[dict[str, str]]:
    """Those of the first Markdown table."""
    lines = text[text.index("\n|") + 1 :].partition("\n\n")[0].splitlines()
    heads, _, *cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(heads, row, strict=True)) for row in cells]


def test_the_first_table_is_the_reports():
    shown = rows((HERE / "README.md").read_text())
    plain = [row for row in rows((TABLES / "matrix.md").read_text()) if row["method"] == "baseline"]
    took = {row["architecture"]: row["CPU ms, p50"].partition(" ")[0] for row in plain}
    recorded = rows((TABLES / "report.md").read_text())
    for row in recorded:
        row["CPU, ms"] = took[row["network"]]
    assert [{name: row[name] for name in shown[0]} for row in recorded] == shown


def test_the_table_of_int8_is_that_of_the_study():
    study = HERE / "results" / "liver-ct-compress"
    made = {
        (row["network"], row["recipe"].replace("&gt;", ">")): row
        for row in rows((study / "tables" / "compression.md").read_text())
    }
    wanted = {
        "Dice: torch": ("baseline", "Dice (validation)"),
        "INT8": ("baseline > int8", "Dice (validation)"),
        "difference, points [95 %]": ("baseline > int8", "Δ source, points [95 % CI]"),
        "512²: INT8": ("baseline > int8", "ms, 512², 1 thread"),
    }
    text = (study / "README.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| network | Dice: torch"))
    names = [name.strip() for name in head.strip("|").split("|")]
    table = text[text.index(head) :].partition("\n\n")[0].splitlines()[2:]
    assert len(table) == 7
    for line in table:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        network = cells[0].strip("`")
        for name, (recipe, column) in wanted.items():
            assert cells[names.index(name)] == made[network, recipe][column], (network, name)
        for start, column in ((5, "ms, 1 thread"), (8, "ms, 256², 1 thread")):
            recipes = ("baseline", "baseline > openvino", "baseline > int8")
            assert cells[start : start + 3] == [made[network, recipe][column] for recipe in recipes]


def test_frames_per_second_are_those_of_the_study():
    text = (HERE / "README.md").read_text()
    shown = rows(text[text.index("## How fast on one core") :])
    made = {
        row["record"]: row
        for row in rows((HERE / "results/liver-ct-compress/tables/compression.md").read_text())
    }
    assert len(shown) == 6
    for row in shown:
        found = made[row["record"]]
        assert row.pop("network and recipe").strip("`") == f"{found['network']}:{found['recipe']}".replace(
            "&gt;", ">"
        )
        assert row == {name: found[name] for name in row}


WAYS = {
    "plain": ("baseline", "same", "none"),
    "map of a teacher of the same labels, on labelled images": ("pm-kd", "same", "none"),
    "the same, on all images": ("pm-kd", "same", "maps"),
    "its decisions as labels, on all images": ("pseudo-label", "same", "maps"),
    "map of a teacher of other patients' labels, on all images": ("pm-kd", "disjoint", "maps"),
    "map of a teacher of all labels, on all images: an upper bound": ("pm-kd", "all", "maps"),
    "`dist` instead of prediction maps, on all images": ("dist", "same", "maps"),
    "`cwd` instead of prediction maps, on all images": ("cwd", "same", "maps"),
    "`dist` with that teacher": ("dist", "all", "maps"),
    "`cwd` with that teacher": ("cwd", "all", "maps"),
}
OTHERWISE = ("labels_seed", "shuffled", "taught_by", "learning_rate", "updates")
"""Fields of jobs that belong to other questions of the study where they hold something."""
WEIGHTS = {"pm-kd": 1.0, "dist": 0.3, "cwd": 0.03}


@pytest.mark.parametrize("name", ["liver-ct-labels", "liver-ct-labels-h100"])
def test_what_few_labels_are_worth_is_in_the_records(name):
    study = HERE / "results" / name
    dice: dict[tuple, dict[int, float]] = {}
    for path in study.glob("records/*.json"):
        record = json.loads(path.read_text())
        job = record["job"]
        weight = job["parameters"].get("weight")
        usual = all(job.get(key) in (None, "", False) for key in OTHERWISE)
        if usual and job["architecture"] == "unet-8-16-32-64" and weight == WEIGHTS.get(job["method"]):
            known = "all 76" if job["labels"] is None else str(job["labels"])
            way = (job["method"], job["teacher_labels"], job["unlabelled"])
            dice.setdefault((way, known), {})[job["seed"]] = record["val"]["dice"]
    shown = rows((study / "README.md").read_text())
    assert len(shown) == len({way for way, _ in dice} & set(WAYS.values()))
    for row in shown:
        way = WAYS[row.pop("patients with labels")]
        for known, cell in row.items():
            own, plain = dice.get((way, known)), dice[WAYS["plain"], known]
            if own is None:
                assert cell == ""
                continue
            expected = f"{mean(own.values()):.3f}" + (f" ({len(own)})" if name.endswith("h100") else "")
            assert name.endswith("h100") or len(own) == 3
            if way != WAYS["plain"]:
                gain = f"{100 * mean(own[seed] - plain[seed] for seed in own):+.1f}"
                expected += ", " + gain.replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")
            assert cell == expected
