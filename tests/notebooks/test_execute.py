"""notebooks/execute.py on small notebooks of its own: parameters, figures, failures, pairs."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jupytext
import nbformat
import pytest
from PIL import Image

from dfclib.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "notebooks" / "execute.py"
TEXT = """\
# %% [markdown]
# # A small notebook

# %% tags=["parameters"]
data = None
scale = None
runs_dir = "runs"

# %% [markdown]
# ## Show

# %%
print("scale is", scale)

# %% tags=["nbval-check-output"]
print(1 + 1)
"""


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """execute.py as a module, its notebooks in tmp_path/notebooks."""
    spec = importlib.util.spec_from_file_location("execute", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(module, "HERE", folder)
    choose = module.choose_notebooks
    monkeypatch.setattr(module, "choose_notebooks", lambda names: choose(names, folder))
    (folder / "00_small.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return module


def run(module, tmp_path, *arguments):
    places = ["--out", str(tmp_path / "out"), "--figures", str(tmp_path / "figures")]
    return module.main([*arguments, *places])


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", []))


def test_parameters_reach_the_copy_and_the_original_stays(execute, tmp_path, capsys):
    assert run(execute, tmp_path, "--scale", "compact", "--runs", "elsewhere") == 0
    assert outputs(tmp_path / "out" / "00_small.ipynb") == "scale is compact\n2\n"
    assert not (tmp_path / "notebooks" / "00_small.ipynb").exists()
    printed = capsys.readouterr().out
    assert "cell 2 of 3 · Show" in printed
    assert "scale is compact" in printed  # what a cell prints is seen while it runs
    assert "no finished runs at scale compact" in printed


def test_the_kernel_is_this_python(execute, tmp_path):
    with (tmp_path / "notebooks" / "00_small.py").open("a") as file:
        file.write("\n# %%\nimport sys\nprint(sys.executable)\n")
    assert run(execute, tmp_path) == 0
    assert sys.executable in outputs(tmp_path / "out" / "00_small.ipynb")


def test_figures_are_extracted_and_old_ones_removed(execute, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "00_small-07.png").write_bytes(b"old")
    (tmp_path / "figures" / "01_other-01.png").write_bytes(b"another's")
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    with (tmp_path / "notebooks" / "00_small.py").open("a") as file:
        file.write(f'\n# %%\nfrom IPython.display import Image\nimport base64\nImage(base64.b64decode("{pixel}"))\n')
    assert run(execute, tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "00_small-01.png",
        "01_other-01.png",
    ]
    assert (tmp_path / "figures" / "00_small-01.png").read_bytes().startswith(b"\x89PNG")


def test_a_failing_cell_is_told_and_what_ran_is_kept(execute, tmp_path, capsys):
    with (tmp_path / "notebooks" / "00_small.py").open("a") as file:
        file.write('\n# %%\nraise ValueError("the reason")\n')
    (tmp_path / "notebooks" / "01_next.py").write_text(TEXT)
    assert run(execute, tmp_path) == 1
    error = capsys.readouterr().err
    assert "00_small.ipynb failed in code cell 4: ValueError: the reason" in error
    assert "so far: out/00_small.ipynb" in error
    assert "scale is quick" in outputs(tmp_path / "out" / "00_small.ipynb")
    assert not (tmp_path / "out" / "01_next.ipynb").exists()


def test_a_kernel_that_dies_is_told(execute, tmp_path, capsys):
    with (tmp_path / "notebooks" / "00_small.py").open("a") as file:
        file.write("\n# %%\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert run(execute, tmp_path) == 1
    assert "lack of memory" in capsys.readouterr().err


def test_in_place_writes_a_pair_that_agrees(execute, tmp_path):
    assert run(execute, tmp_path, "--in-place") == 0
    path = tmp_path / "notebooks" / "00_small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "scale is None" in outputs(path)  # its own parameters
    assert "papermill" not in path.read_text()
    assert [cell.id for cell in notebook.cells] == [f"cell-{i:02}" for i in range(5)]
    assert jupytext.writes(jupytext.read(path), fmt="py:percent") == path.with_suffix(".py").read_text()


def test_in_place_twice_changes_nothing(execute, tmp_path):
    assert run(execute, tmp_path, "--in-place") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "notebooks").iterdir()}
    assert run(execute, tmp_path, "--in-place") == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "notebooks").iterdir()} == before


def test_in_place_takes_the_text_and_keeps_the_other_notebook(execute, tmp_path, capsys):
    assert run(execute, tmp_path, "--in-place") == 0
    text = tmp_path / "notebooks" / "00_small.py"
    text.write_text(text.read_text().replace("print(1 + 1)", "print(2 + 3)"))
    assert run(execute, tmp_path, "--in-place") == 0
    assert outputs(tmp_path / "notebooks" / "00_small.ipynb") == "scale is None\n5\n"
    assert outputs(tmp_path / "out" / "replaced-00_small.ipynb") == "scale is None\n2\n"
    assert "differs from 00_small.py" in capsys.readouterr().out


def test_in_place_leaves_the_committed_notebook_when_a_cell_fails(execute, tmp_path):
    assert run(execute, tmp_path, "--in-place") == 0
    path = tmp_path / "notebooks" / "00_small.ipynb"
    before = path.read_bytes()
    path.with_suffix(".py").write_text(TEXT + "\n# %%\n1 / 0\n")
    assert run(execute, tmp_path, "--in-place") == 1
    assert path.read_bytes() == before


def test_a_missing_folder_is_refused_before_anything_starts(execute, tmp_path, capsys):
    assert run(execute, tmp_path, "--data", str(tmp_path / "nowhere")) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scale", "big"],
        ["--seed", "-1"],
        ["--in-place", "--scale", "full"],
        ["--in-place", "--seed", "0"],
        ["--x"],
        ["--image-size", "20", "20"],
        ["--data", ".", "--image-size", "20"],
        ["--data", ".", "--image-size", "20", "0"],
        ["--data", ".", "--in-place", "--image-size", "20", "20"],
    ],
)
def test_wrong_arguments_exit_with_2(execute, tmp_path, arguments):
    with pytest.raises(SystemExit) as stop:
        run(execute, tmp_path, *arguments)
    assert stop.value.code == 2


def test_a_parameter_that_a_notebook_has_not_is_refused(execute, tmp_path, capsys):
    assert run(execute, tmp_path, "--seed", "3") == 1
    assert "no parameter 'seed'" in capsys.readouterr().err


def test_notebooks_are_chosen_by_name_and_number(execute, tmp_path):
    for name in ("01_one.py", "10_ten.ipynb", "notes.py"):
        (tmp_path / "notebooks" / name).write_text("")
    choose = execute.choose_notebooks
    assert [path.name for path in choose([])] == ["00_small.ipynb", "01_one.ipynb", "10_ten.ipynb"]
    assert [path.stem for path in choose(["10", "notebooks/01_one.ipynb"])] == ["01_one", "10_ten"]
    assert [path.stem for path in choose(["story"])] == ["00_small", "01_one"]
    assert [path.stem for path in choose(["systems"])] == ["10_ten"]
    with pytest.raises(UserError, match="1_one.*there are 00_small"):
        choose(["1_one"])


def test_training_images_are_counted(execute, tmp_path):
    assert execute.count_training_images(tmp_path) == 0
    for name in ("a/1.png", "a/2.JPG", "b/3.webp", "b/notes.txt"):
        (tmp_path / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / name).write_text("an image")
    assert execute.count_training_images(tmp_path) == 3
    (tmp_path / "train").rename(tmp_path / "training")
    assert execute.count_training_images(tmp_path) == 3


def test_expected_time_counts_each_training_once(execute, monkeypatch):
    """At one image a second: the vote's attempts 4 to 6 are not trained twice, its seeds of 6 are."""
    from dfclib.recipes import find, recipe

    names = [f"{name}-compact" for name in ("attempt4", "attempt5", "attempt6")]
    monkeypatch.setattr(recipe, "measured", lambda what: dict.fromkeys(names, 1.0))
    minutes, unknown = execute.expected_minutes("compact", 600, execute.recipes_of([Path("06_a_vote.ipynb")]))
    four, five, six = (find(name).compact() for name in ("attempt4", "attempt5", "attempt6"))
    images = sum(r.epochs * r.images_per_epoch(600) for r in (four, five, six, six, six))
    assert minutes == pytest.approx(images / 60)
    assert "attempt1" in unknown and "attempt6" not in unknown
    assert not any(name.startswith("s1") for name in unknown)


def test_a_notebook_s_recipes_are_those_that_it_trains_each_once(execute):
    def names(*stems):
        return [recipe.name for recipe in execute.recipes_of([Path(f"{stem}.ipynb") for stem in stems])]

    assert names("11_sprint") == ["sprint"]
    assert names("10_fashion_mnist", "11_sprint") == ["s4-author", "s4-ours", "sprint"]
    story = names("04_augmentation", "06_a_vote")
    assert story[0] == "attempt1" and len(story) == len(set(story))


def test_each_notebook_is_given_its_own_images(execute):
    pair, fashion = Path("07_a_pair.ipynb"), Path("10_fashion_mnist.ipynb")
    options = SimpleNamespace(data=None, image_size=None, scale="quick", epochs=None, seed=0, runs=Path("runs"))
    own = {"data": None, "scale": "quick", "runs_dir": "runs", "seed": 0}
    assert execute.parameters_for(pair, options) == execute.parameters_for(fashion, options) == own
    options.data, options.image_size = Path("/data/kaggle"), [12, 10]
    assert execute.parameters_for(pair, options) == own | {"data": "/data/kaggle", "image_size": [12, 10]}
    assert execute.parameters_for(fashion, options) == own | {"data": "fashion-mnist"}


def test_expected_time_of_fashion_mnist_is_that_of_its_own_images(execute, monkeypatch):
    from dfclib.recipes import find, recipe

    monkeypatch.setattr(recipe, "measured", lambda what: {"s4-author-compact": 1.0, "s4-ours-compact": 1.0})
    minutes, unknown = execute.expected_minutes("compact", 600, execute.recipes_of([Path("10_fashion_mnist.ipynb")]))
    epochs = sum(find(name).compact().epochs for name in ("s4-author", "s4-ours"))
    assert (minutes, unknown) == (pytest.approx(epochs * 54_000 / 60), [])


def test_image_size_reaches_the_notebooks_that_load_a_folder(execute, tmp_path):
    text = TEXT.replace("scale = None", "scale = None\nimage_size = None")
    text += "\n# %%\nfrom dfclib.datasets.sources import load\nprint(load(data, image_size).train.images.shape)\n"
    (tmp_path / "notebooks" / "00_small.py").write_text(text)
    (tmp_path / "notebooks" / "10_fashion.py").write_text(TEXT)
    for i in range(8):
        path = tmp_path / "photos" / "train" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + i, 30)).save(path)
    assert run(execute, tmp_path, "--data", str(tmp_path / "photos"), "--image-size", "12", "10") == 0
    assert "(6, 12, 10, 3)" in outputs(tmp_path / "out" / "00_small.ipynb")
    assert run(execute, tmp_path, "10", "--data", str(tmp_path / "photos"), "--image-size", "12", "10") == 1


def test_interrupted_says_how_to_go_on(execute, tmp_path):
    """A real process and a real Ctrl-C, in the middle of a cell."""
    folder = tmp_path / "copy" / "notebooks"
    folder.mkdir(parents=True)
    (folder / "execute.py").write_bytes(SCRIPT.read_bytes())
    (folder / "00_slow.py").write_text(TEXT + '\n# %%\nimport time\nprint("waiting", flush=True)\ntime.sleep(60)\n')
    command = [sys.executable, "notebooks/execute.py"]
    process = subprocess.Popen(
        command,
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while "waiting" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert "the same command goes on" in error
