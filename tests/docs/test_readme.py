"""What the README's first table says is in the tables of the study that it names."""

import csv
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


def test_the_two_budgets_are_those_of_their_studies():
    text = (HERE / "README.md").read_text()
    shown = rows(text[text.index("That is after 20 passes") :])
    assert len(shown) >= 5
    methods = {"plain": "baseline", "PM": "pm-kd", "AT": "at-kd", "PM + AT": "combined"}
    for row in shown:
        study = {"500": "liver-ct", "2,000": "liver-ct-2000"}[row["updates"]]
        table = rows((HERE / "results" / study / "tables" / "matrix.md").read_text())
        made = {each["method"]: each for each in table if each["architecture"] == row["network"]}
        dice = {name: made[method]["Dice (test)"][:5] for name, method in methods.items() if method in made}
        gained = made.get("combined", {"Δ plain, points [95 % CI]": "–", "claim": "–"})
        said = {"gain, points [95 % CI]": gained["Δ plain, points [95 % CI]"]}
        said["claim"] = gained["claim"].removesuffix(" °")
        wanted = dict.fromkeys(methods, "–") | dice | said
        assert {name: row[name] for name in wanted} == wanted


def test_what_real_studies_could_claim_is_in_their_tables():
    text = (HERE / "docs" / "statistics.md").read_text()
    shown = rows(text[text.index("**Which sd do real studies have?**") :])
    assert len(shown) == 3
    for row in shown:
        link = row["study"].partition("(")[2].partition(")")[0]
        comparisons = csv.DictReader(((HERE / "docs" / link).parents[1] / "comparisons.csv").open())
        named = [each for each in comparisons if each["contrast"] == "True" and each["smallest"]]
        assert len(named) == 6
        for head, column in (("sd of the gain over folds", "sd"), (list(row)[-1], "smallest")):
            found = sorted(100 * float(each[column]) for each in named)
            assert row[head] == f"{found[0]:.1f} to {found[-1]:.1f} points"


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
    "map of a teacher of the same labels, on all images": ("pm-kd", "same", "maps"),
    "its decisions as labels, on all images": ("pseudo-label", "same", "maps"),
    "map of a teacher of other patients' labels, on all images": ("pm-kd", "disjoint", "maps"),
    "map of a teacher of all labels, on all images: an upper bound": ("pm-kd", "all", "maps"),
    "`dist` instead of prediction maps, on all images": ("dist", "same", "maps"),
    "`cwd` instead of prediction maps, on all images": ("cwd", "same", "maps"),
    "`dist` with that teacher": ("dist", "all", "maps"),
    "`cwd` with that teacher": ("cwd", "all", "maps"),
}
OTHERWISE = ("labels_seed", "shuffled", "taught_by", "learning_rate")
"""Fields of jobs that belong to other questions of the study where they hold something."""
WEIGHTS = {"pm-kd": 1.0, "dist": 0.3, "cwd": 0.03}
Way = tuple[str, str, str]


def validation_dice(study: Path, updates: int | None = None) -> dict[tuple[Way, str], dict[int, float]]:
    """Of each way and number of labels the Dice of every seed."""
    dice: dict[tuple[Way, str], dict[int, float]] = {}
    for path in study.glob("records/*.json"):
        record = json.loads(path.read_text())
        job = record["job"]
        weight = job["parameters"].get("weight")
        usual = all(job.get(key) in (None, "", False) for key in OTHERWISE) and job["updates"] == updates
        if usual and job["architecture"] == "unet-8-16-32-64" and weight == WEIGHTS.get(job["method"]):
            known = "all 76" if job["labels"] is None else str(job["labels"])
            way = (job["method"], job["teacher_labels"], job["unlabelled"])
            dice.setdefault((way, known), {})[job["seed"]] = record["val"]["dice"]
    return dice


def gap_closed(study: Path, updates: int | None = None) -> dict[tuple[Way, str], str]:
    """Of each way and number of labels the share of the gap, as it is written."""
    found = {}
    for row in csv.DictReader((study / "comparisons.csv").open()):
        asked = "" if updates is None else str(updates)
        usual = row["teacher"] == "unet-32-64-128-256" and row["updates_asked"] == asked
        weight = WEIGHTS.get(row["method"])
        weighed = weight is None or row["method_parameters"].endswith(f" weight={weight}")
        if usual and weighed and row["against"] == "baseline":
            share = row["gap_closed"]
            text = share if share in ("no gap", "") else f"{100 * float(share):.0f} %".replace("-", "−")
            known = "all 76" if row["labels"] == "all" else row["labels"]
            found[(row["method"], row["teacher_labels"], row["unlabelled"]), known] = text
    return found


def written(own: dict[int, float], plain: dict[int, float] | None, count: bool = False) -> str:
    """Mean Dice over seeds, and the gain over the plain student of the same seeds."""
    text = f"{mean(own.values()):.3f}" + (f" ({len(own)})" if count else "")
    if plain is None:
        return text
    gain = f"{100 * mean(own[seed] - plain[seed] for seed in own):+.1f}"
    return f"{text}, " + gain.replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


@pytest.mark.parametrize("name", ["liver-ct-labels", "liver-ct-labels-h100"])
def test_what_few_labels_are_worth_is_in_the_records(name):
    study, gpu = HERE / "results" / name, name.endswith("h100")
    dice, closed = validation_dice(study), gap_closed(study)
    shown = rows((study / "README.md").read_text())
    assert len(shown) == len({way for way, _ in dice} & set(WAYS.values()))
    for row in shown:
        way = WAYS[row.pop("patients with labels")]
        for known, cell in row.items():
            own, plain = dice.get((way, known)), dice[WAYS["plain"], known]
            if own is None:
                assert cell == ""
                continue
            assert gpu or len(own) == 3
            expected = written(own, None if way == WAYS["plain"] else plain, gpu)
            if way != WAYS["plain"] and not gpu:
                expected += f", {closed[way, known]}"
            assert cell == expected


def test_what_eight_labels_are_worth_after_four_times_as_long_is_in_the_records():
    study = HERE / "results" / "liver-ct-labels"
    text = (study / "README.md").read_text()
    shown = rows(text[text.index("## Four times as long") :])
    assert len(shown) == 3
    for row in shown:
        way = WAYS[row.pop("labels of 8 patients")]
        for column, updates in (("500 updates", None), ("2,000 updates", 2000)):
            dice, closed = validation_dice(study, updates), gap_closed(study, updates)
            own, plain = dice[way, "8"], dice[WAYS["plain"], "8"]
            assert len(own) == 3
            expected = written(own, None if way == WAYS["plain"] else plain)
            assert row[column] == (expected if way == WAYS["plain"] else f"{expected}, {closed[way, '8']}")
