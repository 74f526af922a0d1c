"""A folder where a file belongs, a file where a folder belongs, a path too long: the remedy that helps."""

import pytest
from image_files import write_folder

NO_FOLDER = "a file lies where a folder must be: name another folder, or move the file away"
NO_FILE = "it must be a file, and a folder lies there: name another, or move the folder away"


@pytest.fixture
def places(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "study" / "study.json").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("results", "remedy"),
    [("file", NO_FOLDER), ("file/below", NO_FOLDER), ("x" * 300, "name a shorter one"), ("study", NO_FILE)],
)
def test_results_that_can_not_be_a_folder(places, tiny_matrix, refused, results, remedy):
    before = sorted(places.iterdir())
    line = refused("--matrix", tiny_matrix, "--results", places / results)
    assert line.endswith(remedy)
    assert sorted(places.iterdir()) == before


@pytest.mark.parametrize("verb", ["report", "status", "profile"])
@pytest.mark.parametrize(("study", "remedy"), [("file", NO_FOLDER), ("study", NO_FILE)])
def test_a_study_that_is_none(places, refused, verb, study, remedy):
    assert refused(verb, places / study).endswith(remedy)


def test_splits_that_are_a_folder(places, tiny_matrix, refused):
    line = refused("--matrix", tiny_matrix, "--results", places / "s", "--splits", places / "folder")
    assert line.startswith(f"error: {places / 'folder'}: not readable (Is a directory)")
    assert line.endswith(NO_FILE)


def test_weights_that_are_a_folder(places, tiny_matrix, refused):
    line = refused("--matrix", tiny_matrix, "--results", places / "s", "--teacher", places / "folder")
    assert line == f"error: --teacher {places / 'folder'}: not readable (Is a directory); {NO_FILE}"


@pytest.mark.parametrize("patients", [("--patient-column", "person"), ("--patient-key", "p..")])
@pytest.mark.parametrize("name", ["index.csv", "dataset.json"])
def test_what_describes_images_is_a_folder(tmp_path, tiny_matrix, refused, name, patients):
    images = write_folder(tmp_path / "polyps")
    (images / name).unlink(missing_ok=True)
    (images / name).mkdir()
    line = refused("--matrix", tiny_matrix, "--results", tmp_path / "s", "--dataset", images, *patients)
    assert line == f"error: {images / name}: not readable (Is a directory); {NO_FILE}"


def test_what_describes_volumes_is_a_folder(tmp_path, tiny_matrix, refused):
    (tmp_path / "balls" / "dataset.json").mkdir(parents=True)
    line = refused("--matrix", tiny_matrix, "--results", tmp_path / "s", "--dataset", tmp_path / "balls")
    assert line.endswith(NO_FILE)


@pytest.mark.parametrize(("name", "kind"), [("summary.csv", "folder"), ("tables", "file")])
def test_what_lies_in_the_way_of_a_report(simulated, refused, name, kind):
    simulated.fill(seeds=1, students=1)
    settings = simulated.study.root / "study.json"
    settings.write_text('{"device": "cpu", "dataset": "liver-ct"}')
    in_the_way = simulated.study.root / name
    in_the_way.mkdir() if kind == "folder" else in_the_way.write_text("x")
    line = refused("report", simulated.study.root)
    assert line.startswith(f"error: {in_the_way}")
    assert line.endswith(NO_FILE if kind == "folder" else NO_FOLDER)
