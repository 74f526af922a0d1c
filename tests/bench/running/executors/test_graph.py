"""What must come before what: teacher, its targets, students."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import methods
from bench.running.executors.graph import levels, needs

TEACHER = "unet-64-128-256-512"


def test_a_teacher_then_who_records_its_targets_then_the_others(simulated):
    study = simulated.study
    teacher = simulated.job(TEACHER, "baseline", 0)
    plain, *taught = (simulated.job("unet-32-64", name, 0) for name in methods.names())
    assert not plain.teachers
    jobs = [plain, *taught, teacher]
    assert levels(study, jobs) == [[plain, teacher], [taught[0]], taught[1:]]
    assert levels(study, taught) == [[taught[0]], taught[1:]], "of a teacher that is done"
    study.targets_folder(taught[0]).mkdir(parents=True)
    assert levels(study, jobs) == [[plain, teacher], taught], "recorded before"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.data())
def test_every_job_comes_once_and_after_what_it_needs(simulated, data):
    cells = [(TEACHER, "baseline", seed) for seed in range(3)]
    cells += [(n, m, seed) for n in ("unet-32-64", "unet-8") for m in methods.names() for seed in range(3)]
    chosen = data.draw(st.lists(st.sampled_from(cells), unique=True, min_size=1))
    jobs = [simulated.job(*cell) for cell in chosen]
    steps = levels(simulated.study, jobs)
    assert sorted(job.id for step in steps for job in step) == sorted(job.id for job in jobs)
    assert len(steps) <= 3
    before = needs(simulated.study, jobs)
    ended: set[str] = set()
    for step in steps:
        assert all(before[job.id] <= ended for job in step)
        ended |= {job.id for job in step}
    recorders = {(job.teachers, job.seed) for job in jobs if job.teachers}
    teachers = {job.id for job in jobs}
    for teacher_ids, seed in recorders:
        students = [job for job in jobs if (job.teachers, job.seed) == (teacher_ids, seed)]
        assert sum(before[job.id] <= set(teacher_ids) & teachers for job in students) == 1
