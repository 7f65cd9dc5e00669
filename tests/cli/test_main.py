"""The command line itself: help, exit statuses, signals, streams, and what starts without TensorFlow."""

import argparse
import fcntl
import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from fakes import make_run
from PIL import Image

from dfclib.cli import inputs, main
from dfclib.cli.parser import PROGRAM, build_parser
from dfclib.datasets.folder.loading import load_folder
from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.recipes.reading import from_dict

pytestmark = pytest.mark.usefixtures("empty_folder")
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def commands(parser: argparse.ArgumentParser, *words: str) -> list[list[str]]:
    """Every command of the program, as the words that call it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [found for name, child in action.choices.items() for found in commands(child, *words, name)]
    return [list(words)]


@pytest.mark.parametrize("command", commands(build_parser()), ids=" ".join)
def test_help_has_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main([*command, "--help"])
    assert stopped.value.code == 0
    example = capsys.readouterr().out.split("example:\n")[1].strip()
    assert example.startswith(PROGRAM)
    arguments = build_parser().parse_args(shlex.split(example.removeprefix(PROGRAM)))
    assert arguments.function.__name__ == "_".join(command)


@pytest.mark.parametrize(
    "line",
    ["", "data", "nothing", "train", "train attempt1 --scale huge", "vote a.csv", "train attempt1 --seed one"]
    + ["predict", "evaluate run --nonsense", "train s1-vote --precision float8"],
)
def test_a_wrong_command_line_ends_with_2(line, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(line.split())
    assert stopped.value.code == 2
    assert "usage: " in capsys.readouterr().err


@pytest.mark.parametrize("line", ["--debug train nope", "train nope --debug"])
def test_debug_shows_the_traceback_wherever_it_stands(line, capsys):
    assert main.main(line.split()) == 1
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert message.splitlines()[-1].startswith("error: no recipe is called 'nope'")


def test_a_mistake_of_ours_keeps_its_traceback(call, monkeypatch):
    monkeypatch.setattr(inputs, "find_run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("evaluate", "run")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied", "somewhere"), "somewhere: Permission denied"),
        (ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow"), "needs tensorflow"),
        (MemoryError("9 GB"), "out of memory (9 GB)"),
    ],
)
def test_the_systems_errors_are_one_sentence(error, expected, monkeypatch, fails):
    def fail(*_):
        raise error

    monkeypatch.setattr(inputs, "find_run", fail)
    assert expected in fails("evaluate", "run")


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["vote", "a.csv", "--out", ""], "--out"),
        (["vote", "", "--out", "b.csv"], "MEMBERS"),
        (["figures", ""], "NAMES"),
        (["evaluate", ""], "RUN"),
        (["evaluate", "run", "--runs", ""], "--runs"),
        (["train", ""], "RECIPE"),
        (["train", "attempt1", "--data", ""], "--data"),
        (["data", "make", ""], "FOLDER"),
        (["data", "download", "--to", ""], "--to"),
        (["predict", "run", ""], "PATHS"),
    ],
    ids=str,
)
def test_an_empty_name_is_refused_by_its_option(argv, name, fails):
    assert fails(*argv) == f"error: {name} is empty: give it a value, or leave it out\n"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("seed", [-1, 2**32, 99999999999999999999])
@pytest.mark.parametrize("line", ["train attempt1", "data make made", "vote a.csv --out b.csv"])
def test_a_seed_that_numpy_would_refuse_later_is_refused_now(line, seed, fails, monkeypatch):
    monkeypatch.setattr(inputs, "load_splits", lambda *_: pytest.fail("data was read"))
    message = fails(*line.split(), "--seed", seed)
    assert message == f"error: --seed must not be negative, and at most 4294967295; received {seed}\n"


# ---- signals and streams ----

STOPPED = """
import sys, time
from dfclib.cli import main
from dfclib.cli import inputs
def wait(*_):
    print("waiting", flush=True)
    time.sleep(60)
inputs.find_run = wait
sys.exit(main.main(["evaluate", "run"]))
"""


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_process_says_so_and_ends_as_shells_expect(sent, status, python):
    with python("-c", STOPPED, **PIPES, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(sent)
        assert process.communicate(timeout=30) == ("", "stopped\n")
        assert process.returncode == status


def test_stopped_training_says_how_to_go_on(call, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inputs, "load_splits", interrupted)
    message = "stopped; the same command goes on from the last finished epoch\n"
    assert call("train", "attempt1", status=130).err == message
    assert "the same command without --fresh" in call("train", "attempt1", "--fresh", status=130).err


def test_sigterm_is_afterwards_what_it_was(call):
    before = signal.getsignal(signal.SIGTERM)
    call("recipes")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_a_sign_for_it_gets_its_number(encoding, python):
    run, names = make_run(Path("runs"), "attempt1"), ["±", "名", "c", "d", "e"]
    contents = read_json(run.path / "recipe.json")
    contents["data"]["class_names"] = names
    write_json(run.path / "recipe.json", contents)
    command = ("-m", "dfclib", "evaluate")
    done = python(*command, run.path, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("名".encode() if encoding == "utf-8" else b"\\u540d") in done.stdout
    done = python(*command, run.path, "--json", encoding=encoding)
    found = json.loads(done.stdout.decode(encoding))
    assert [row["class"] for row in found["splits"]["validation"]["classes"]] == names
    done = python(*command, "名", encoding=encoding)
    assert done.returncode == 1 and b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_terminal_that_lacks_a_character_is_no_error(encoding, python):
    """Windows' code pages have no minus sign; and on Linux a file's name need not be text."""
    Path("a.csv").write_text("image_id,label\nx,\u2212\ny,+\n")
    name = "a-\u2212-\udcff.csv"
    code = f"from dfclib.cli import main; import sys; sys.exit(main.main(['vote', 'a.csv', '--out', {name!r}]))"
    done = python("-c", code, encoding=encoding)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.splitlines()[-1].decode(encoding).endswith("\\udcff.csv")


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="Windows has no /dev/stdout")
def test_predictions_can_go_to_standard_output_alone(python):
    text = "image_id,label\nx,0\ny,1\n"
    Path("a.csv").write_text(text)
    done = python("-m", "dfclib", "vote", "a.csv", "a.csv", "--out", "/dev/stdout")
    assert (done.returncode, done.stdout) == (0, text)
    assert "hard vote of 2 over 2 images" in done.stderr


def test_a_full_disk_behind_standard_output_is_one_sentence(python):
    run = make_run(Path("runs"), "attempt1").path
    with open("/dev/full", "w") as full:
        process = python("-m", "dfclib", "evaluate", run, stdout=full, stderr=subprocess.PIPE, text=True)
        assert process.communicate(timeout=60)[1] == "error: No space left on device\n"
    assert process.returncode == 1


def test_a_reader_that_stops_reading_is_no_error(python):
    with python("-m", "dfclib", "recipes", "--json", **PIPES) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


def test_exit_status_and_message_of_a_process(python):
    done = python("-m", "dfclib", "train", "atempt1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no recipe is called 'atempt1': did you mean attempt1")
    assert len(done.stderr.splitlines()) == 1


# ---- without TensorFlow ----

LIGHT = """
import sys
for name in ("tensorflow", "keras"):
    sys.modules[name] = None  # importing it fails
from dfclib.cli import main
from dfclib.training import devices
devices._gpu_in_sight = lambda: False
for line in sys.stdin.read().splitlines():
    try:
        status = main.main(line.split())
    except SystemExit as stopped:
        status = stopped.code
    print("STATUS", status, line)
"""


def without_tensorflow(python, expected: dict[str, tuple[int, str]]) -> None:
    """Run each line of `expected` where TensorFlow cannot be imported: it has to end so, and to say so."""
    done = python("-c", LIGHT, input="\n".join(expected))
    statuses = [line for line in done.stdout.splitlines() if line.startswith("STATUS")]
    assert statuses == [f"STATUS {status} {line}" for line, (status, _) in expected.items()], done.stderr
    for _, words in expected.values():
        assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_light_commands_start_without_tensorflow(python):
    run = make_run(Path("runs"), "attempt1").path
    light = ["--help", "train --help", "recipes", "data make made --train 10 --validation 10 --test 0"]
    light += ["reproduce --list --data made --only attempt --record kept", "data check made"]
    light += [f"evaluate {run}", f"vote {run} {run} --out vote.csv", f"figures {run} --out drawn"]
    needs = {"train attempt1": (1, "error: this command needs keras, which is not installed")}
    without_tensorflow(python, dict.fromkeys([*light, f"record {run} --to kept"], (0, "")) | needs)
    assert list(Path("drawn").glob("*.png"))


def test_what_needs_no_network_is_decided_before_tensorflow_is_imported(call, python):
    """A finished run, another recipe, a lock, a folder that is none, weights that are missing or damaged."""
    call("data", "make", "unibuc", "--train", 10, "--validation", 10, "--test", 0)
    fingerprint = load_folder("unibuc").fingerprint

    def made(seed, **recipe):
        path = make_run("runs", find("attempt1").quick().with_options(seed=seed)).path
        contents = read_json(path / "recipe.json")
        contents["data"] |= {"fingerprint": fingerprint, "image_size": [20, 24]}
        contents["recipe"] |= recipe
        contents["recipe_fingerprint"] = from_dict(contents["recipe"]).fingerprint
        write_json(path / "recipe.json", contents)
        return path

    run, damaged, begun, _ = made(0), made(1), made(2), made(3, batch_size=7)
    (damaged / "model.keras").write_bytes(b"another network")
    (begun / "metrics.json").unlink()
    Path("a-file").touch()
    Image.new("RGB", (24, 20)).save("photo.png")
    train = "train attempt1 --data unibuc --scale quick"
    expected = {
        train: (0, "finished already"),
        f"{train} --seed 3": (1, "holds a run of another recipe"),
        f"{train} --seed 2": (1, "is being trained by another process"),
        f"{train} --runs a-file": (1, "a-file"),
        f"predict {run} photo.png": (1, "has no weights"),
        f"predict {damaged} photo.png": (1, "model.keras is not the file that the training wrote"),
        f"{train} --seed 4": (1, "this command needs keras"),  # it would train
    }
    with (begun / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        without_tensorflow(python, expected)


def test_help_starts_without_numpy(python):
    code = "import sys; sys.modules['numpy'] = None; from dfclib.cli import main; main.main(['--help'])"
    assert python("-c", code).returncode == 0
