"""One live view of a whole matrix at the terminal; nothing where there is none.

From the top: how much is done, what runs (epoch, loss, Dice, time left), every job of the matrix as a
cell, what has gone wrong and why. It is drawn from files alone (``bench/watching/states.py``). Where the
terminal is too narrow or too low, cells shrink to signs and rows are summed up.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, OverflowMethod, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.errors import brief
from bench.job import Job
from bench.study.progress import duration
from bench.watching.states import State, Watch, expectation, left_of, seconds_left

log = logging.getLogger(__name__)

INTERVAL = 1.0
SIGNS = {
    "done": ("●", "#", "green"),
    "running": ("▶", ">", "cyan"),
    "waiting": ("·", ".", "dim"),
    "failed": ("✗", "x", "red"),
    "blocked": ("⊘", "b", "yellow"),
    "cannot-learn": ("∅", "0", "red"),
    "skipped": ("–", "-", "dim"),
}
"""A job by its status: sign, the same where there is only ASCII, colour."""
SHORT = {
    **{"starting": "start", "targets": "teach", "failed": "fail", "blocked": "block"},
    **{"cannot-learn": "can't", "skipped": "skip"},
}
"""Phases and statuses in five letters."""
MOST = 5
"""Running jobs, and reasons, in detail."""
Cells = Callable[[Sequence[State], bool], Text]
"""The jobs of a cell, and whether there is only ASCII, to what stands in it."""


@contextmanager
def ticking(tick: Callable[[], None], broken: Callable[[str], None]) -> Iterator[None]:
    """Call ``tick`` beside the block every ``INTERVAL``, and once after it.

    When it raises, ``broken`` is told why and it isn't called again: the block goes on.
    """
    over, is_broken = threading.Event(), threading.Event()

    def safely() -> None:
        try:
            tick()
        except Exception as error:
            is_broken.set()
            over.set()
            broken(brief(error))

    def beside() -> None:
        safely()
        while not over.wait(INTERVAL):
            safely()

    thread = threading.Thread(target=beside, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if not is_broken.is_set():
            safely()


def can_show() -> bool:
    """Whether a picture can be drawn over and over here."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


@contextmanager
def showing(watch: Watch, title: str, workers: int) -> Iterator[None]:
    """Show the view while the block runs; what is printed meanwhile goes above it."""
    console, began = Console(), time.monotonic()

    def picture() -> RenderableType:
        states = watch.states(time.time())
        return draw(states, title, time.monotonic() - began, workers, console)

    with (
        Live(console=console, auto_refresh=False, vertical_overflow="crop") as live,
        ticking(
            lambda: live.update(picture(), refresh=True), lambda why: log.info(f"the view stopped ({why})")
        ),
    ):
        yield


def draw(
    states: Sequence[State], title: str, elapsed: float, workers: int, console: Console
) -> RenderableType:
    """The whole view as it stands, no wider and no higher than ``console``."""
    ascii_only = _ascii(console)
    running, reasons = _running(states, ascii_only), _reasons(states, ascii_only)
    spare = console.height - 6 - len(reasons) - (running.row_count + 2 if running.row_count else 0)
    parts: list[RenderableType] = [_overall(states, title, elapsed, workers), Text()]
    if running.row_count:
        parts += [running, Text()]
    return Group(*parts, matrix(states, console, max(spare, 3)), *reasons, _legend(states, ascii_only))


def _overall(states: Sequence[State], title: str, elapsed: float, workers: int) -> Text:
    count = Counter(state.status for state in states)
    others = _counts(Counter({status: n for status, n in count.items() if status != "done"}))
    text = f"{title}: {count['done']}/{len(states)} done" + (f", {others}" if others else "")
    text += f"  {duration(elapsed)} so far"
    if count["running"] or count["waiting"]:
        left = seconds_left(states, workers)
        text += ", time left not known yet" if left is None else f", about {duration(left)} left"
    return Text(text, style="bold")


def _running(states: Sequence[State], ascii_only: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("running", overflow=_cut(ascii_only), no_wrap=True)
    for name in ("epoch", "loss", "Dice", "left"):
        table.add_column(name, justify="right", overflow=_cut(ascii_only), no_wrap=True)
    expected = expectation(states)
    running = [state for state in states if state.status == "running"]
    for state in running[:MOST]:
        news, curves = state.news, state.news["curves"]
        epoch = f"{news['epoch']}/{news['epochs']}" if news["epoch"] else ""
        phase = {"train": epoch, "targets": f"targets {epoch}"}.get(news["phase"], news["phase"])
        left = left_of(state, expected)
        table.add_row(
            Text(state.job.label, style="cyan"),
            phase,
            f"{curves[-1]['loss']:.4f}" if curves else "",
            f"{curves[-1]['dice_val']:.4f}" if curves else "",
            "" if left is None else f"~{duration(left)}",
        )
    if len(running) > MOST:
        table.add_row(Text(f"{'...' if ascii_only else '…'} and {len(running) - MOST} more", style="dim"))
    return table


def _reasons(states: Sequence[State], ascii_only: bool) -> list[Text]:
    told = [state for state in states if state.reason]
    lines = [Text()] if told else []
    for state in told[:MOST]:
        sign, plain, colour = SIGNS[state.status]
        line = f"{plain if ascii_only else sign} {state.job.label}: {state.status}, {state.reason}"
        lines.append(Text(line, style=colour, no_wrap=True, overflow=_cut(ascii_only)))
    if len(told) > MOST:
        lines.append(Text(f"  and {len(told) - MOST} more", style="dim"))
    return lines


def matrix(states: Sequence[State], console: Console, height: int) -> Group:
    """Networks, each with what is not default, × recipes, a cell holding the jobs of all seeds.

    A job is its Dice or how far it is; where that is too wide a sign, with the mean Dice of the cell beside
    it or without; at last all jobs of a network are signs in one column. Where ``height`` lines don't hold
    all rows, those where least happens are summed up.
    """
    rows: dict[str, list[State]] = {}
    for state in states:
        rows.setdefault(f"{state.job.architecture}{state.job.unusual}", []).append(state)
    shown = _most_active(rows, height - 1)
    hidden = Counter(state.status for name, own in rows.items() if name not in shown for state in own)
    rest = [Text(f"{len(rows) - len(shown)} more: {_counts(hidden)}", style="dim")] if hidden else []
    rows = {name: own for name, own in rows.items() if name in shown}
    recipes = list(dict.fromkeys(_recipe(state.job) for state in states))
    ascii_only = _ascii(console)
    for cell in (_full, _short, _signs):
        table = _table(rows, recipes, cell, ascii_only)
        if Measurement.get(console, console.options.update(width=1000), table).maximum <= console.width:
            return Group(table, *rest)
    return Group(_table(rows, [], _signs, ascii_only), *rest)


def _table(rows: dict[str, list[State]], columns: Sequence[str], cell: Cells, ascii_only: bool) -> Table:
    """A row a network; without ``columns`` one for all its jobs."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True, overflow=_cut(ascii_only))
    for name in columns or ["jobs"]:
        table.add_column(
            Text(name), overflow="fold" if not columns else _cut(ascii_only), no_wrap=bool(columns)
        )
    for name, own in rows.items():
        groups = [[s for s in own if _recipe(s.job) == column] for column in columns] or [own]
        table.add_row(Text(name), *(cell(group, ascii_only) for group in groups))
    return table


def _counts(count: Counter[str]) -> str:
    return ", ".join(f"{count[status]} {status}" for status in SIGNS if count[status])


def _legend(states: Sequence[State], ascii_only: bool) -> Text:
    """What the signs mean that are in use."""
    used = {state.status for state in states}
    return Text("  ").join(
        Text(f"{plain if ascii_only else sign} {status}", style=colour)
        for status, (sign, plain, colour) in SIGNS.items()
        if status in used
    )


def _cut(ascii_only: bool) -> OverflowMethod:
    """What becomes of a text that is too long."""
    return "crop" if ascii_only else "ellipsis"


def _ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")


def _most_active(rows: dict[str, list[State]], height: int) -> set[str]:
    """The names of the rows to show: those with something running first, then with something to come."""
    if len(rows) <= height:
        return set(rows)

    def rank(name: str) -> int:
        statuses = {state.status for state in rows[name]}
        return 0 if "running" in statuses else 1 if "waiting" in statuses else 2

    return set(sorted(rows, key=rank)[: max(1, height - 1)])


def _full(group: Sequence[State], ascii_only: bool) -> Text:
    """Each job by its Dice, its share of epochs, or its sign."""
    return Text("  ").join(_job(state, ascii_only) for state in group)


def _short(group: Sequence[State], ascii_only: bool) -> Text:
    """A sign a job, and the mean Dice of those that are done."""
    dice = [state.dice for state in group if state.status == "done" and state.dice is not None]
    return _signs(group, ascii_only) + Text(f" {sum(dice) / len(dice):.3f}" if dice else "", style="green")


def _signs(group: Sequence[State], ascii_only: bool) -> Text:
    return Text().join(_sign(state, ascii_only) for state in group)


def _sign(state: State, ascii_only: bool) -> Text:
    sign, plain, colour = SIGNS[state.status]
    return Text(plain if ascii_only else sign, style=colour)


def _job(state: State, ascii_only: bool) -> Text:
    style = SIGNS[state.status][2]
    if state.status == "done" and state.dice is not None:
        return Text(f"{state.dice:.3f}", style=style)
    if state.status == "running" and state.news["phase"] in ("train", "scoring"):
        return Text(f"{state.news['epoch'] / state.news['epochs']:5.0%}", style=style)
    word = state.news.get("phase", "") if state.status == "running" else state.status
    return Text(f"{SHORT.get(word, SIGNS['waiting'][ascii_only]):>5}", style=style)


def _recipe(job: Job) -> str:
    """A column's name."""
    return job.recipe or job.method
