"""What ``status`` says of a study: what is done, running, waiting and failed, read from its files alone."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import replace

from bench.files import lease
from bench.study.outcomes import RECORD_STATUS
from bench.study.progress import duration
from bench.study.store import Study, failure
from bench.watching.states import State, Watch, left_of

ORDER = tuple(dict.fromkeys(("done", "running", "waiting", *RECORD_STATUS)))


def status_lines(study: Study) -> list[str]:
    """One line that counts the study's jobs, one for each that runs, was stopped or has failed.

    Blocked and skipped jobs share a line where they have the same reason.
    """
    jobs = sorted(study.jobs(), key=lambda job: job.label)
    states = [_seen(study, state) for state in Watch(study, jobs, []).states(time.time())]
    counts = Counter(state.status for state in states)
    told = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
    lines = [f"{study.root}: {len(states)} job{'' if len(states) == 1 else 's'}: {told or 'none planned'}"]
    for status in ORDER:
        alike: dict[str, list[State]] = defaultdict(list)
        for state in states:
            if state.status == status and state.reason:
                shared = status in ("blocked", "skipped")
                alike[state.reason if shared else state.job.id].append(state)
        lines += [_line(group) for group in alike.values()]
    return lines


def _seen(study: Study, state: State) -> State:
    """The state with what is to be said of it as its ``reason``; nothing of what is done or waiting."""
    job, news = state.job, state.news
    holder = lease.holder(study.root, job.id)
    if holder:
        epoch = f"{news['phase']}, epoch {news['epoch']}/{news['epochs']}" if news else "starting"
        left = left_of(state, lambda job: None) if news else None
        left_said = f", about {duration(left)} left" if left else ""
        return replace(state, status="running", reason=f"{epoch}{left_said} ({holder})")
    if state.status == "running":
        epoch = f"at epoch {news['epoch']}/{news['epochs']}" if news["epoch"] else "before its first epoch"
        return replace(state, status="waiting", reason=f"stopped {epoch}; the same command goes on")
    if state.status == "done" and (why := failure(study.record(job.id))):
        return replace(state, reason=why)
    return state


def _line(group: list[State]) -> str:
    first, others = group[0], len(group) - 1
    more = f" and {others} more" if others else ""
    return f"{first.status}  {first.job.id}  {first.job.label}{more}: {first.reason}"
