import io

from bench.study.progress import Progress, duration


def row(epoch):
    return {"epoch": epoch, "loss": 0.5, "dice_val": 0.75}


def test_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    Progress(out, terminal=False).epoch("train", row(5))
    assert out.getvalue().startswith("  train epoch 5/20  loss 0.5000  validation Dice 0.7500  ")
    assert out.getvalue().endswith(" left\n")
    assert "\x1b" not in out.getvalue()


def test_one_line_that_is_overwritten_on_a_terminal():
    out = io.StringIO()
    progress = Progress(out, terminal=True)
    for epoch in (1, 20):
        progress.epoch("train", row(epoch))
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count("\r") == 2


def test_durations():
    assert [duration(s) for s in (0, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
