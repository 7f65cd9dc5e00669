"""`predict` and `submit`: which images they read, what they write, and what they leave alone."""

import os
from pathlib import Path

import fakes
import numpy as np
import pytest
from PIL import Image

from dfclib.datasets.folder.loading import write_folder
from dfclib.errors import UserError
from dfclib.files import sha256
from dfclib.recipes import find

PAIR = ("s1-v1", "s1-v2", "s1-vote")
pytestmark = pytest.mark.usefixtures("empty_folder")


def test_predict_reads_files_and_folders(asked, call, make_run):
    run = make_run()
    Path("folder/deeper").mkdir(parents=True)
    red = Image.new("RGB", (24, 20), (255, 0, 0))
    red.save("folder/b.png"), red.save("folder/deeper/a.webp", lossless=True)
    Image.new("L", (48, 40), 7).save("single.png")
    Path("folder/notes.txt").touch()
    captured = call("predict", run, "single.png", "folder", "folder/b.png")
    rows = [line.split() for line in captured.out.splitlines()]
    names = ["single.png", str(Path("folder/b.png")), str(Path("folder/deeper/a.webp"))]
    assert rows == [
        ["image", "label", "p(0)", "p(1)", "p(2)"],
        *([name, "2", "0.100", "0.200", "0.700"] for name in names),
    ]
    assert "1 of 3 images were resized to 20x24" in captured.err
    images = asked[0].images
    assert images.shape == (3, 20, 24, 3)
    assert (images[0] == 7).all() and (images[1:] == [255, 0, 0]).all()


@pytest.mark.parametrize(("options", "expected"), [([], None), (["--mirror"], True), (["--no-mirror"], False)], ids=str)
def test_predict_averages_mirror_images_as_it_is_told(options, expected, asked, call, make_run, monkeypatch):
    from dfclib.training import inference

    fake, told = inference.predict_images, []
    monkeypatch.setattr(inference, "predict_images", lambda *given: told.append(given[2]) or fake(*given))
    Image.new("L", (24, 20), 9).save("grey.png")
    call("predict", make_run(), "grey.png", *options)
    assert told == [expected]


def test_predict_writes_a_csv_file(asked, call, make_run, read_csv):
    Image.new("L", (24, 20), 9).save("grey.png")
    call("predict", make_run(), "grey.png", "--out", "out.csv")
    header, row = read_csv("out.csv")
    assert (header, row[:2]) == (["image_id", "label", "0", "1", "2"], ["grey.png", "2"])
    assert np.allclose([float(p) for p in row[2:]], [0.1, 0.2, 0.7])


def test_without_a_run_recorded_weights_answer(asked, call, fails, make_run):
    """The first recipe of SHIPPED of which every network is there, whatever stands in `runs`."""
    Image.new("L", (24, 20), 9).save("grey.png")
    make_run()
    for paths in (["grey.png"], ["grey.png", "grey.png"]):
        assert "report/runs holds no weights here" in fails("predict", *paths)
    votes = [fakes.make_run("report/runs", find(name).compact(), data={"image_size": [20, 24]}) for name in PAIR]
    assert "report/runs holds no weights here" in fails("predict", "grey.png")
    *members, vote = votes
    for member in members:
        (member.path / "model.keras").touch()
    captured = call("predict", "grey.png", "grey.png")
    assert f"labelled by {vote.name}\n" in captured.err
    assert [line.split()[0] for line in captured.out.splitlines()] == ["image", "grey.png"]
    sprint = fakes.make_run("report/runs", find("sprint").compact(), data={"image_size": [20, 24]})
    assert vote.name in call("predict", "grey.png").err
    (sprint.path / "model.keras").touch()
    assert sprint.name in call("predict", "grey.png").err
    assert f"{sprint.path} is a run: name the images" in fails("predict", sprint.path)
    assert sprint.name in call("predict", "sprint", "grey.png").err  # by its recipe's name, too


def test_missing_weights_are_said_before_an_image_is_opened(monkeypatch, fails, make_run, small_splits):
    write_folder(small_splits(test=5), Path("folder"))
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    run = make_run()
    for command in (["predict", run, "folder/test"], ["submit", run, "--data", "folder"]):
        message = fails(*command)
        again = "python -m dfclib train attempt1 --scale quick --seed 0 --protocol published --data FOLDER --fresh"
        assert "has no weights" in message and again in message


def test_predict_refuses_what_holds_no_image(asked, fails, make_run):
    run = make_run()
    Path("one.png").write_text("no image")
    Path("two.png").touch()
    Path("empty/.hidden").mkdir(parents=True)
    Image.new("RGB", (24, 20)).save("empty/.hidden/a.png")
    Path("empty/a.gif").touch()
    message = fails("predict", run, "one.png", "two.png", "--out", "out.csv")
    assert "no image can be used" in message and "one.png: is not a PNG" in message and "two.png: the file" in message
    assert "nope.png does not exist" in fails("predict", run, "nope.png")
    assert "empty holds no image" in fails("predict", run, "empty")
    assert not asked and not Path("out.csv").exists()


@pytest.fixture
def locked(monkeypatch):
    """Files and folders called `locked` may not be read."""

    def guarded(original):
        def refuse(path, *args, **options):
            if Path(path).stem == "locked":
                raise PermissionError(13, "Permission denied", str(path))
            return original(path, *args, **options)

        return refuse

    monkeypatch.setattr(Image, "open", guarded(Image.open))
    monkeypatch.setattr(os, "scandir", guarded(os.scandir))


@pytest.mark.parametrize("out", [[], ["--out", "out.csv"]], ids=["table", "file"])
def test_predict_labels_what_it_can_and_names_the_rest(asked, locked, out, call, make_run, read_csv):
    for name in ("below", "locked"):
        Path("folder", name).mkdir(parents=True)
    unprintable = os.fsdecode(b"caf\xe9.png")
    for name in ("a.png", "below/b.png", "cut.png", "locked.png", "small.png", unprintable):
        Image.new("RGB", (24, 20) if name != "small.png" else (5, 5), (1, 2, 3)).save(Path("folder", name))
    Path("folder/cut.png").write_bytes(Path("folder/a.png").read_bytes()[:50])
    for i in range(12):
        Path(f"folder/bad{i:02}.png").write_text("no image")
    Path("folder/empty.png").touch(), Path("folder/broken.png").symlink_to("gone")
    captured = call("predict", make_run(), "folder", *out, status=1)
    labelled = [f"folder/{name}" for name in ("a.png", "below/b.png", "small.png")]
    rows = read_csv("out.csv") if out else [line.split() for line in captured.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [[name, "2"] for name in labelled]
    assert "1 of 3 images were resized" in captured.err
    assert "error: 3 images are labelled; left out, 18:" in captured.err
    for line in (
        "folder/locked: cannot be read (permission denied)",
        "folder/empty.png: the file is empty",
        "folder/broken.png: cannot be read (no such file",
        "folder/locked.png: cannot be read (permission denied)",
        "folder/cut.png: cannot be decoded",
        f"{ascii(f'folder/{unprintable}')}: its name holds control characters or is no UTF-8 text. Rename it",
        *(f"folder/bad{i:02}.png: is not a PNG" for i in range(12)),
    ):
        assert f"\n  {line}" in captured.err
    assert len(asked[0]) == 3 and (asked[0].images == (1, 2, 3)).all()


def test_predict_passes_over_what_is_hidden_and_names_other_images(asked, call, make_run):
    run = make_run()
    for name in ("a.png", ".b.png", "._a.png", ".cache/c.png", "__MACOSX/d.png", ".e.gif"):
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 20)).save(Path("folder", name))
    for name in ("f.GIF", "g.bmp", "h.tif", "notes.txt"):
        Path("folder", name).touch()
    captured = call("predict", run, "folder", "folder/.b.png")  # named, it is not passed over
    assert asked[0].ids.tolist() == ["folder/a.png", "folder/.b.png"]
    assert "ignored, as not PNG, JPEG or WebP: folder/f.GIF, folder/g.bmp, folder/h.tif\n" in captured.err
    captured = call("predict", run, "folder/a.png", "folder/.e.gif", status=1)
    assert "folder/.e.gif: is not a PNG, JPEG or WebP image" in captured.err


def test_predict_turns_photographs_as_exif_says(asked, call, make_run):
    upright = np.zeros((20, 24, 3), np.uint8)
    upright[:10] = 200
    tags = Image.Exif()
    tags[274] = 6  # the camera was held upright: turn it clockwise
    Image.fromarray(np.rot90(upright)).save("photo.png", exif=tags)
    call("predict", make_run(), "photo.png")
    assert np.array_equal(asked[0].images[0], upright)


@pytest.mark.parametrize(("channels", "grey", "red"), [(3, [9, 9, 9], [255, 0, 0]), (1, [9], [76])])
def test_grey_and_colour_become_what_the_network_was_trained_on(channels, grey, red, asked, call, make_run):
    Image.new("RGB", (24, 20), (255, 0, 0)).save("red.png")
    Image.new("L", (24, 20), 9).save("grey.png")
    notices = call("predict", make_run(data={"channels": channels}), "grey.png", "red.png").err
    assert asked[0].images.shape == (2, 20, 24, channels)
    assert asked[0].images[:, 0, 0].tolist() == [grey, red]
    assert ("1 image(s) are in colour: they are read as grey" in notices) == (channels == 1)


@pytest.fixture
def sample(write_csv):
    """Replaces the order of a folder's sample submission."""
    return lambda folder, ids: write_csv(Path(folder, "sample_submission.csv"), *(f"{id_},0" for id_ in ids))


@pytest.mark.parametrize("order", [(2, 0, 3, 1), (0, 1, 2)], ids=["all in another order", "some"])
def test_submit_of_recorded_predictions_opens_no_image(order, asked, call, make_run, small_splits, read_csv, sample):
    """Not even images that are there, and neither train.csv nor a cache."""
    write_folder(small_splits(test=len(order)), Path("deepfake_data"))
    sample("deepfake_data", [f"test-{i}" for i in order])
    for name in ("train.csv", "validation.csv", "test/test-0.png"):
        Path("deepfake_data", name).unlink()
    assert "as recorded in the run for these ids; no image was opened" in call("submit", make_run()).out
    labels = ["0", "1", "2", "0"]
    assert read_csv("submission.csv") == [["image_id", "label"], *([f"test-{i}", labels[i]] for i in order)]
    assert not asked and not Path("deepfake_data/.dfclib-cache").exists()


def test_submit_of_other_ids_decodes_the_test_split_alone(asked, call, fails, make_run, small_splits, read_csv, sample):
    other = small_splits(test=5)
    write_folder(other, Path("other"))
    Path("other/train/train-0.png").write_text("no image"), Path("other/validation/validation-0.png").unlink()
    sample("other", ["test-4", "test-0", "test-1", "test-2", "test-3"])
    captured = call("submit", make_run(), "--data", "other")
    assert np.array_equal(asked[0].images, other.test.images[[4, 0, 1, 2, 3]])
    assert read_csv("submission.csv")[1:] == [[f"test-{i}", "2"] for i in (4, 0, 1, 2, 3)]
    assert "has no predictions of all these ids: it labels 5 test images" in captured.err
    assert "made from the images in other" in captured.out
    assert not Path("other/.dfclib-cache").exists()
    Path("other/test/test-1.png").write_text("no image")
    assert "test/test-1.png (test.csv line 3): is not a PNG" in fails("submit", make_run(), "--data", "other")
    assert len(asked) == 1


def test_submit_brings_images_to_what_the_run_was_trained_on(asked, call, make_run, small_splits):
    write_folder(small_splits(test=5), Path("other"))
    Image.new("L", (9, 9), 7).save("other/test/test-0.png")
    call("submit", make_run(), "--data", "other")
    assert asked[0].images.shape == (5, 20, 24, 3) and (asked[0].images[0] == 7).all()


def test_submit_of_nothing_recorded_needs_test_images(asked, call, fails, make_run, small_splits, predictions):
    write_folder(small_splits(), Path("deepfake_data"))
    run = make_run(parts={"validation": predictions("validation", [0], labels=[0])})
    call("submit", run)
    assert len(asked[0]) == 4
    Path("deepfake_data/test.csv").unlink()
    assert "deepfake_data has no test images" in fails("submit", run)


def test_submit_refuses_other_ids_and_other_classes(asked, fails, make_run, small_splits, sample):
    run = make_run()
    assert "sample_submission.csv does not exist" in fails("submit", run)
    write_folder(small_splits(), Path("deepfake_data"))
    sample("deepfake_data", ["test-0", "test-1"])
    assert "2 images have other ids (test-2, test-3)" in fails("submit", run)
    sample("deepfake_data", ["test-0", "test-1", "test-2", "strange"])
    message = fails("submit", run)
    assert "1 of its ids have no image (strange)" in message
    assert "1 images have other ids (test-3)" in message
    Path("deepfake_data/test.csv").write_text("id\ntest-0\n")
    assert "test.csv line 1: the columns are 'id'" in fails("submit", run)
    write_folder(small_splits(test=5), Path("other"))
    run = make_run(seed=1, data={"class_names": ["a", "b", "c"]})
    assert "knows the classes a, b, c, and other has 0, 1, 2" in fails("submit", run, "--data", "other")
    assert not asked and not Path("submission.csv").exists()


def test_submit_sends_only_when_asked(monkeypatch, call, fails, make_run, small_splits):
    write_folder(small_splits(), Path("deepfake_data"))
    sent = []

    def send(path, message):
        sent.append((path, message))
        if not message:
            raise UserError("a submission needs a message")
        return "received"

    monkeypatch.setattr("dfclib.datasets.kaggle.submit", send)
    run = make_run()
    call("submit", run, "--out", "mine.csv")
    assert not sent
    assert call("submit", run, "--out", "mine.csv", "--send", "attempt 1").out.splitlines()[-1] == "received"
    assert sent == [(Path("mine.csv"), "attempt 1")]
    assert "needs a message" in fails("submit", run, "--send", "")


# ---- what --out may replace ----


@pytest.fixture
def precious(asked, make_run, small_splits, write_csv):
    """Files that no --out may destroy, and the run and the files that commands read."""
    write_folder(small_splits(), Path("deepfake_data"))
    run = make_run().rename("run")
    (run / "model.keras").write_bytes(b"PK")
    write_csv("a.csv", "test-0,0", "test-1,1", "test-2,2", "test-3,0")
    write_csv("mine.csv", "test-0,0")
    Path("hard.csv").hardlink_to("a.csv")
    Path("soft.csv").symlink_to("a.csv")
    Path("table.csv").symlink_to(Path("deepfake_data/validation.csv"))
    Image.new("RGB", (24, 20)).save("photo.png")
    Image.new("RGB", (24, 20)).save("photo.tiff")
    Image.new("RGB", (24, 20)).save("misnamed.csv", format="png")
    Path("notes.txt").write_text("mine")
    Path("grades.csv").write_text("name,grade\nme,1\n")
    Path("links.csv").symlink_to("notes.txt")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("vote a.csv a.csv --out a.csv", "a.csv is read by this command"),
        ("vote a.csv a.csv --out ./deepfake_data/../a.csv", "is read by this command"),
        ("vote a.csv a.csv --out hard.csv", "is read by this command"),
        ("vote a.csv a.csv --out soft.csv", "is read by this command"),
        ("vote soft.csv --out a.csv", "is read by this command"),
        ("vote run --out run/recipe.json", "belongs to a run"),
        ("vote a.csv --out run", "run is a folder"),
        ("vote a.csv --out deepfake_data/train.csv", "is no file of predictions"),
        ("vote a.csv --out table.csv", "is no file of predictions"),
        ("vote a.csv --out grades.csv", "is no file of predictions"),
        ("vote a.csv --out links.csv", "is no file of predictions"),
        ("predict run photo.png --out photo.png", "is a picture's name"),
        ("predict run photo.png --out new.JPG", "is a picture's name"),
        ("predict run photo.png --out photo.tiff", "is no file of predictions"),
        ("predict run misnamed.csv --out misnamed.csv", "is read by this command"),
        ("predict run photo.png --out misnamed.csv", "is no file of predictions"),
        ("predict run photo.png --out run/model.keras", "belongs to a run"),
        ("submit run --out deepfake_data/sample_submission.csv", "is read by this command"),
        ("submit run --out deepfake_data/test.csv", "is no file of predictions"),
        ("figures run --out notes.txt", "notes.txt"),
        ("record run --to notes.txt", "notes.txt"),
    ],
    ids=str,
)
def test_out_destroys_nothing(precious, command, expected, asked, fails):
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert expected in fails(*command.split())
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert not asked  # before anything expensive starts


def test_out_replaces_what_was_written_by_us_or_is_empty(precious, call, read_csv):
    Path("empty.csv").touch()
    for out in ("empty.csv", "empty.csv", "mine.csv", "deepfake_data/votes.csv", "run/new.csv"):
        call("vote", "a.csv", "--out", out)
        assert Path(out).read_text() == Path("a.csv").read_text()
    Path("latest.csv").symlink_to("mine.csv")
    call("predict", "run", "photo.png", "--out", "latest.csv")
    assert Path("latest.csv").is_symlink()
    assert read_csv("mine.csv")[1][0] == "photo.png"


# ---- all together ----


def test_train_predict_and_submit_for_real(call, python, monkeypatch, read_csv):
    call("data", "make", "made", "--train", 20, "--validation", 10, "--test", 5)
    command = ["train", "attempt1", "--data", "made", "--scale", "quick", "--epochs", 1]
    done = python("-m", "dfclib", *command)
    folder = done.stdout.splitlines()[-1]
    assert folder == str(Path("runs/attempt1-quick-1-epochs-made-published-seed0"))
    assert "oneDNN" not in done.stderr  # TensorFlow's own lines
    assert "finished already" in call(*command).out
    call("submit", folder, "--data", "made")
    hashed = []
    monkeypatch.setattr("dfclib.training.inference.sha256", lambda path: hashed.append(path) or sha256(path))
    call("predict", folder, "made/test", "--out", "labels.csv")
    assert hashed == [Path(folder) / "model.keras"]  # large weights are read once
    predicted = {Path(row[0]).stem: row[1] for row in read_csv("labels.csv")[1:]}
    assert predicted == dict(read_csv("submission.csv")[1:])
    assert len(predicted) == 5
