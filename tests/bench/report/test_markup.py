"""Names from files, whatever they hold, are shown as text: in Markdown, HTML, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mutations import NAMES

from bench.errors import UserError
from bench.files.checked import check_name, inside, name_fault
from bench.report import frames, published
from bench.report.comparisons import comparisons
from bench.report.page.page import write_page
from bench.report.page.pictures import script
from bench.report.tables.latex import LETTERS, escape_latex, latex
from bench.report.tables.markup import Table, csv_text, markdown
from bench.report.tables.tables import all_tables
from bench.report.tables.writing import write_table

PIECES = [
    *(
        "|",
        "\\",
        "`",
        "*",
        "_",
        "__",
        "**",
        "~~",
        "~",
        "$",
        "$$",
        "%",
        "&",
        "#",
        "{",
        "}",
        "^",
        "<",
        ">",
        '"',
    ),
    *("[a](b)", "![a](b)", "](", "&lt;", "&#x41;", "&amp", "<script>", "</script>", "<!--", "-->", "]]>"),
    *(
        "--",
        "---",
        "''",
        "``",
        "?`",
        "!`",
        ",,",
        "<<",
        "\\\\",
        "\\input{x}",
        "\\|",
        "$x$",
        " ",
        "  ",
        "-1",
        "-",
    ),
    *(
        "\u2028",
        "<b>",
        "=1+1",
        "@SUM(1)",
        "+a",
        "'",
        "＝",
        "＋1",
        "－",
        "＠x",
        "﹢",
        "﹣1",
        "é",
        "肝",
        "°",
        "≥",
        "://",
        "a",
        "b_c",
        "z",
    ),
]
names = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), min_size=1, max_size=8).map("".join)
names = names.map(str.strip).filter(lambda name: not name_fault(name))
"""What cases, patients and folders can be called."""
many = settings(max_examples=400, derandomize=True, deadline=None)
PLAIN_TAGS = {"table", "thead", "tbody", "tr", "th", "td", "inline", "paragraph"}


@many
@given(names, names)
def test_a_markdown_table_keeps_its_cells_and_their_text(a, b):
    text = markdown(Table("t", f"Of {a}.", pd.DataFrame({"name": [a, b], b: ["1", a]})))
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    assert {token.type.removesuffix("_open").removesuffix("_close") for token in tokens} == PLAIN_TAGS
    inline = [token for token in tokens if token.type == "inline"]
    children = [child for token in inline for child in token.children]
    assert {child.type for child in children} == {"text"}, "no markup of its own"
    shown = ["".join(child.content for child in token.children) for token in inline]
    wanted = [f"Of {a}.", "name", b, a, "1", b, a]
    assert [" ".join(cell.split()) for cell in shown] == [" ".join(cell.split()) for cell in wanted]


class Scripts(HTMLParser):
    """The tags of a page and what is in its scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@many
@given(names | st.text(max_size=10), names)
def test_a_script_holds_its_data_and_nothing_else(a, b):
    content = {"cases": [{"case": a, "patient": b}], a: b}
    text = script(content)
    assert json.loads(text) == content
    assert text.isascii()
    page = Scripts()
    page.feed(f"<script>{text}</script>")
    page.close()
    assert (page.tags, page.text) == (["script"], text)


UNDO = {
    **{rf"\{c}": c for c in "&%$#_{}"},
    **{r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"},
    **{r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", "{[}": "[", "{]}": "]", "{*}": "*"},
    **{"{}": "", "$-$": "-", r"$^\circ$": "°", r"$\geq$": "≥"},
}
TOKEN = re.compile(
    "|".join(map(re.escape, sorted(UNDO, key=len, reverse=True))) + r"|\\texttt\{U\+(\w+)\}|(.)"
)
"""What LaTeX sets, read from what we write, by a table of its own."""


def typeset(text):
    def letter(match):
        if match[1]:
            return chr(int(match[1], 16))
        if match[2]:
            assert match[2] not in "\\{}$&#^_%~", text
            assert match[2].isascii() or match[2] in LETTERS, text
            return match[2]
        return UNDO[match[0]]

    return TOKEN.sub(letter, text)


@many
@given(names.filter(lambda name: not set(name) & set("–−±÷×²³µΔ↓")))
def test_latex_sets_the_name_and_no_ligature_of_it(name):
    text = escape_latex(name)
    assert typeset(text) == " ".join(name.split())
    assert not re.search(r"--|''|``|[?!]`|,,", text)
    lines = latex(Table("t", name, pd.DataFrame({"a": [name], "b": [name]}))).splitlines()
    assert lines[lines.index(r"\midrule") + 1] == rf"{text} & {text} \\"


@many
@given(st.lists(names, min_size=1, max_size=4))
def test_csv_keeps_its_cells_and_starts_no_formula(own):
    frame = pd.DataFrame({"case": own, "patient": own, "dice": [0.5] * len(own)})
    head, *rows = csv.reader(io.StringIO(csv_text(frame)))
    assert head == ["case", "patient", "dice"]
    for name, (case, patient, dice) in zip(own, rows, strict=True):
        assert dice == "0.5"
        assert case == patient
        assert case.removeprefix("'") == name, "one apostrophe less is the name"
        assert not re.match(r"[=@＝＠﹦﹫]|[+-](?!\d+$)|[＋－﹢﹣]", case)


@pytest.mark.parametrize(
    "name", ["=1+1", "＝1+1", "＠SUM(1)", "－1+1|cmd", "﹢1", "﹣1", "'=1", "'a", "-x"]
)
def test_csv_is_neutral_and_gives_the_name_back(name):
    for column in ("patient", "recipe", "graph", "L_seg"):
        head, row = csv.reader(io.StringIO(csv_text(pd.DataFrame({column: [name], name: ["x"]}))))
        assert head[1] == row[0] == f"'{name}"


def test_csv_leaves_plain_names_and_numbers_alone():
    frame = pd.DataFrame({"patient": ["-3", "a", 7, None], "gain": ["+2.9 [+1, +3]", "-1", "=", "x"]})
    assert csv_text(frame) == 'patient,gain\n-3,"+2.9 [+1, +3]"\na,-1\n7,=\n,x\n'


@pytest.mark.parametrize("name", NAMES)
def test_what_can_be_a_name(name):
    bad = not name.strip() or not name.isprintable() or len(name) > 200
    if bad:
        with pytest.raises(UserError, match=r"^x\.json: .* can't be a name: it "):
            check_name(name, "x.json")
    else:
        assert check_name(name, "x.json") == name


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "", ".", "a/\0", 3, None, ["x"]])
def test_a_path_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="dataset"):
        inside(tmp_path, name, "dataset.json")
    assert inside(tmp_path, "./a/b.nii", "dataset.json") == tmp_path / "a" / "b.nii"


NASTY = ["a|b", "<script>alert(1)</script>", "../../etc", "100 % $x$ _a_", "`c` \\input{x} ~~d~~", "=1+1"]


def test_a_study_of_nasty_names(simulated, tmp_path):
    """Records whose patients and cases are called so, through every text that is written of them."""
    simulated.patients, simulated.cases = len(NASTY), 1
    study = simulated.fill(seeds=1, students=1, names=("baseline", "combined"))
    for record in study.records():
        for k, row in enumerate(record["val"]["rows"]):
            row |= {"case": f"{NASTY[k]} c", "patient": NASTY[k]}
        study.path("records", record["id"]).write_text(json.dumps(record))
    frame, scored = frames.summary(study), frames.cases(study, "val")
    compared = comparisons(frame, scored)
    for table in [
        *all_tables(frame, scored, compared, frames.latency(study)),
        *published.tables(frame, compared),
    ]:
        write_table(study.root / "tables", table)
    page = write_page(study, None, frame, scored, frames.curves(study), compared)
    assert [path.name for path in tmp_path.iterdir()] == ["study"], "nothing beside the study"
    data = (study.root / "page-data.js").read_text()
    assert "<" not in data
    content = json.loads(data.removeprefix("window.benchStudy = ").removesuffix(";\n"))
    assert [row["patient"] for row in content["cases"]] == NASTY
    assert "alert(1)" not in page.read_text()
    rows = list(csv.reader((study.root / "tables" / "patients.csv").open()))
    assert {row[1] for row in rows[1:]} == {*NASTY[:-1], "'=1+1"}
    lines = (study.root / "tables" / "patients.md").read_text().splitlines()[2:]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(rows[0]) + 1}
