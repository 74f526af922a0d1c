"""What is to do, and what a run without a record differs in from one that has one."""

from dataclasses import replace

from bench.files.atomic import write_json
from bench.planning.todo import states, to_run
from bench.running.failures import fail

TEACHER, STUDENT = "unet-64-128-256-512", "unet-32-64"


def test_what_changed_is_said(simulated):
    done = simulated.add(STUDENT, "baseline", 0)
    study = simulated.study
    for changes, text in [
        ({"precision": "bf16"}, "precision fp32, now bf16"),
        ({"data": "e", "threads": 1}, "data d, now e; threads 2, now 1"),
        ({"split": "t"}, "split s, now t"),
        ({"protocol": 9}, f"protocol {done.protocol}, now 9"),
        ({"patch": (8, 8)}, "patch none, now 8x8"),
        ({"recompute": True}, "checkpointing False, now True"),
    ]:
        new = replace(done, **changes)
        assert list(states(study, [new], [new])) == [(new, f"to do: done is {done.id}, with {text}")]
    for other in (
        simulated.job(STUDENT, "baseline", 1),
        simulated.job("unet-32-64-128", "baseline", 0),
        replace(done, seg_loss="bce"),
        replace(done, dataset="phantom"),
    ):
        assert list(states(study, [other], [other])) == [(other, "to do")], "another cell"


def test_another_teacher_is_named_by_what_changed_of_it(simulated):
    simulated.add(TEACHER, "baseline", 0)
    simulated.add(STUDENT, "pm-kd", 0)
    teacher = simulated.job(TEACHER, "baseline", 0, weights="abc")
    student = replace(simulated.job(STUDENT, "pm-kd", 0), teachers=(teacher.id,))
    found = dict(states(simulated.study, [teacher, student], [teacher, student]))
    assert found[teacher].endswith("with checkpoint none, now abc")
    assert found[student].endswith("with another teacher: checkpoint none, now abc")


def test_the_nearest_of_several_is_compared_and_planned_ones_are_not(simulated):
    far = simulated.add(STUDENT, "pm-kd[temperature=2]", 0, image_size=64, threads=8)
    near = simulated.add(STUDENT, "pm-kd[temperature=2]", 0)
    new = simulated.job(STUDENT, "pm-kd[temperature=3]", 0)
    [(_, text)] = states(simulated.study, [new], [new])
    assert text == f"to do: done is {near.id}, with temperature 2.0, now 3.0"
    found = dict(states(simulated.study, [far, near, new], [new]))
    assert found == {far: "done", near: "done", new: "to do"}


def test_failed_jobs_wait_for_retry_and_blocked_ones_for_their_teacher(simulated):
    teacher = simulated.job(TEACHER, "baseline", 0)
    blocked, failed, new, done = jobs = [
        simulated.job(STUDENT, "pm-kd", 0),
        simulated.job(STUDENT, "at-kd", 0, teachers=()),
        simulated.job(STUDENT, "baseline", 0),
        simulated.add(STUDENT, "baseline", 1),
    ]
    jobs.insert(0, teacher)
    study = simulated.study
    fail(study, teacher, "failed", "out of memory")
    fail(study, blocked, "blocked", "its teacher")
    fail(study, failed, "cannot-learn", "softmax")
    assert to_run(study, jobs, no_test=True) == [new]
    assert to_run(study, jobs, no_test=True, retry_failed=True) == [teacher, blocked, failed]
    assert dict(states(study, jobs, [new]))[blocked] == "blocked, its teacher; --retry-failed runs it again"
    # The teacher has come through meanwhile, by whatever command: nothing blocks its student any more.
    simulated.add(TEACHER, "baseline", 0)
    study.path("weights", teacher.id).parent.mkdir()
    study.path("weights", teacher.id).touch()
    assert to_run(study, jobs, no_test=True) == [blocked, new]
    assert to_run(study, jobs, no_test=False) == [teacher, blocked, new, done]
    # A student to do does not begin a failed teacher again; it will be blocked by it.
    study.path("weights", teacher.id).unlink()
    failed = {"id": teacher.id, "status": "failed", "reason": "x", "job": teacher.as_dict()}
    write_json(study.path("records", teacher.id), failed)
    study.path("records", blocked.id).unlink()
    assert to_run(study, jobs, no_test=True) == [blocked, new]
