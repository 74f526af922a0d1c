"""What the README's first table says is in the tables of the study that it names."""

from pathlib import Path

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
