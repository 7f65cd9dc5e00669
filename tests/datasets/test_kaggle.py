"""No test here needs the network or a token, or sees a real one: see `isolated`."""

import errno
import http.server
import inspect
import io
import json
import os
import stat
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest

from dfclib.datasets import kaggle
from dfclib.errors import UserError

RULES = "https://www.kaggle.com/competitions/deepfake-classification-unibuc/rules"
TOKENS = "https://www.kaggle.com/settings"
CSVS = {"train": "image_id,label\na,0\nb,1\n", "validation": "image_id,label\nc,0\n", "test": "image_id\nd\n"}
IMAGES = {
    "train/a.png": b"A" * 900,
    "train/b.png": os.urandom(900),
    "validation/c.png": b"C",
    "test/d.png": b"",
}
CONTENT = {f"{split}.csv": text.encode() for split, text in CSVS.items()} | IMAGES


def zipped(content: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (CONTENT if content is None else content).items():
            archive.writestr(name, data)
    return buffer.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_downloaded(folder: Path, content: dict[str, bytes] = CONTENT) -> None:
    found = files_in(folder)
    assert found.pop(kaggle.RECORD)
    assert found == content


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    """An empty home, no Kaggle variable, no proxy, an empty working directory."""
    for name in [name for name in os.environ if name.startswith(("KAGGLE", "XDG_"))]:
        monkeypatch.delenv(name)
    home, work = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(work)
    return home


class FakeKaggle:
    """What dfclib uses of KaggleApi; `test_fake_has_the_real_interface` keeps it from drifting."""

    def __init__(self, *archives, error=None, message="Successfully submitted"):
        self.archives, self.error, self.message = list(archives), error, message
        self.forced, self.sent = [], []

    def competition_download_files(self, competition, path=None, force=False, quiet=True):
        self.forced.append(force)
        if self.error:
            raise self.error
        print("Downloading")
        target = Path(path) / f"{competition}.zip"
        if force or not target.exists():
            target.write_bytes(self.archives.pop(0))

    def competition_submit(self, file_name, message, competition, quiet=False, sandbox=False):
        if self.error:
            raise self.error
        self.sent.append((file_name, message, competition))
        if self.message == "Could not submit to competition":
            print("[Errno 32] Broken pipe")
        return types.SimpleNamespace(message=self.message)


@pytest.fixture
def real_api(isolated, monkeypatch):
    """Kaggle's own class, which reads its places at import, pointed at the empty home."""
    api = kaggle._client_class()
    monkeypatch.setattr(api, "config_dir", str(isolated / ".kaggle"))
    monkeypatch.setattr(api, "config", str(isolated / ".kaggle" / "kaggle.json"))
    return api


@pytest.mark.parametrize("method", ["competition_download_files", "competition_submit"])
def test_fake_has_the_real_interface(real_api, method):
    fake = inspect.signature(getattr(FakeKaggle, method)).parameters
    real = inspect.signature(getattr(real_api, method)).parameters
    for name, parameter in fake.items():
        assert (name, parameter.kind, parameter.default) == (name, real[name].kind, real[name].default)
    assert all(real[name].default is not inspect.Parameter.empty for name in set(real) - set(fake))


# ---- download, with the fake ----


def test_download_unpacks_checks_and_leaves_nothing_behind(tmp_path, capsys):
    to = tmp_path / "new" / "data"
    assert kaggle.download(to, client=FakeKaggle(zipped())) == to
    assert_downloaded(to)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train: 2 rows, 2 images" in captured.err


def test_without_progress_nothing_is_printed(tmp_path, capfd):
    kaggle.download(tmp_path / "data", client=FakeKaggle(zipped()), progress=False)
    assert capfd.readouterr() == ("", "")


def test_complete_download_is_not_fetched_again(tmp_path):
    kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    untouched = FakeKaggle(error=AssertionError("fetched"))
    assert kaggle.download(tmp_path, client=untouched, progress=False) == tmp_path
    with pytest.raises(UserError, match="another folder for titanic"):
        kaggle.download(tmp_path, "titanic", client=untouched, progress=False)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_damaged_complete_download_is_mended(tmp_path, damage):
    kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    damage(tmp_path / "train/b.png")
    kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    assert_downloaded(tmp_path)


def test_interrupted_unpacking_goes_on_with_the_same_archive(tmp_path, monkeypatch):
    replace, done = os.replace, []

    def die_at_the_fourth(source, target):
        if Path(target).name == kaggle.RECORD:
            return replace(source, target)
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(Path(target))
        replace(source, target)

    client = FakeKaggle(zipped())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", die_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            kaggle.download(tmp_path, client=client, progress=False)
    for path in done:
        os.utime(path, (1, 1))
    kaggle.download(tmp_path, client=client, progress=False)  # client has no second archive to give
    assert_downloaded(tmp_path)
    assert [path.stat().st_mtime for path in done] == [1, 1, 1]


def test_file_of_right_size_and_other_content_is_replaced(tmp_path):
    (tmp_path / kaggle.STAGING).mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.png").write_bytes(b"Z" * 900)
    kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    assert_downloaded(tmp_path)


def changed_byte() -> bytes:
    data = bytearray(zipped())
    data[data.find(b"train/b.png") + 200] ^= 1  # in the compressed pixels
    return bytes(data)


@pytest.mark.parametrize("broken", [b"", b"no zip", zipped()[:-30], changed_byte()], ids=len)
def test_damaged_archive_is_fetched_once_more(tmp_path, broken):
    client = FakeKaggle(broken, zipped())
    kaggle.download(tmp_path, client=client, progress=False)
    assert client.forced == [False, True]
    assert_downloaded(tmp_path)

    with pytest.raises(UserError, match=r"damaged twice .*competitions/deepfake-classification-unibuc/data"):
        kaggle.download(tmp_path / "again", client=FakeKaggle(broken, broken), progress=False)
    assert not (tmp_path / "again" / kaggle.STAGING).exists()


@pytest.mark.parametrize("stranger", ["notes.txt", "train.csv", "train/mine.png", ".git/HEAD"])
def test_a_folder_with_files_of_others_is_left_alone(tmp_path, stranger):
    path = tmp_path / stranger
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    untouched = FakeKaggle(error=AssertionError("fetched"))
    with pytest.raises(UserError, match=f"not empty \\(it holds {path.relative_to(tmp_path).parts[0]}\\)"):
        kaggle.download(tmp_path, client=untouched, progress=False)
    assert files_in(tmp_path) == {stranger: b"mine"}


def test_our_own_unfinished_download_is_no_stranger(tmp_path):
    """Damaged twice, in the middle of unpacking: files are there, and nothing is left of the archive."""
    broken = changed_byte()
    with pytest.raises(UserError, match="damaged twice"):
        kaggle.download(tmp_path, client=FakeKaggle(broken, broken), progress=False)
    assert (tmp_path / "train.csv").is_file() and not (tmp_path / kaggle.STAGING).exists()
    with pytest.raises(UserError, match="another folder for titanic"):
        kaggle.download(tmp_path, "titanic", client=FakeKaggle(zipped()), progress=False)
    kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    assert_downloaded(tmp_path)
    (tmp_path / "empty").mkdir()
    kaggle.download(tmp_path / "empty", client=FakeKaggle(zipped()), progress=False)


def linked(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        ("../evil", "leaves"),
        ("train/../../evil", "leaves"),
        ("/evil", "leaves"),
        ("//server/share/evil", "leaves"),
        ("C:/evil", "leaves"),
        ("C:evil", "leaves"),
        ("train\\..\\..\\evil", "leaves"),
        ("outside/evil", "leaves"),  # through a link that is in the folder already
        ("../", "leaves"),
        (".", "no file name"),
        ("train/\n", "no file name"),
        (linked("train/link", stat.S_IFLNK), "link"),
        (linked("train/pipe", stat.S_IFIFO), "link"),
        ("TRAIN/A.png", "twice"),
        ("train", "twice"),
        (".download/x", "keeps for itself"),
        (".download.json", "keeps for itself"),
    ],
)
def test_unsafe_member_is_refused_before_anything_is_written(tmp_path, member, reason):
    to, outside = tmp_path / "data", tmp_path / "elsewhere"
    to.mkdir()
    outside.mkdir()
    (to / kaggle.STAGING).mkdir()
    (to / "outside").symlink_to(outside)
    client = FakeKaggle(zipped(CONTENT | {member: b"/etc/passwd"}))
    with pytest.raises(UserError, match=f"{reason}.*nothing was unpacked"):
        kaggle.download(to, client=client, progress=False)
    assert files_in(to) == {}
    assert files_in(outside) == {}
    assert not list(tmp_path.glob("**/evil"))


def test_absolute_member_is_refused_even_inside_the_folder(tmp_path):
    with pytest.raises(UserError, match="leaves"):
        kaggle.download(tmp_path, client=FakeKaggle(zipped({f"{tmp_path}/train.csv": b"x"})), progress=False)


def test_encrypted_member_is_refused(tmp_path):
    data = bytearray(zipped({"train.csv": b"x"}))
    data[data.find(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UserError, match="encrypted"):
        kaggle.download(tmp_path, client=FakeKaggle(bytes(data)), progress=False)


def test_bomb_is_refused(tmp_path, monkeypatch):
    bomb = zipped(CONTENT | {"zeros": bytes(2_000_000)})
    monkeypatch.setattr(kaggle, "ALWAYS_ALLOWED_BYTES", 1_000_000)
    with pytest.raises(UserError, match="no image archive does"):
        kaggle.download(tmp_path, client=FakeKaggle(bomb), progress=False)
    assert files_in(tmp_path) == {}
    monkeypatch.setattr(kaggle, "ALWAYS_ALLOWED_BYTES", 3_000_000)
    monkeypatch.setattr(kaggle, "MAX_FILES", 7)
    with pytest.raises(UserError, match="to 8 files"):
        kaggle.download(tmp_path, client=FakeKaggle(bomb), progress=False)
    monkeypatch.setattr(kaggle, "MAX_FILES", 8)
    kaggle.download(tmp_path, client=FakeKaggle(bomb), progress=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"readme.txt": b"hello"}, "no train.csv"),
        (
            CONTENT | {"validation.csv": b"image_id,label\nc,0\nx,1\ny,1\n"},
            "3 rows .* 1 images; 2 rows .*x first",
        ),
        (CONTENT | {"train.csv": b"image_id,label\n"}, "has 0 rows"),
        (CONTENT | {"test.csv": b"id\nd\n"}, "no column image_id"),
    ],
)
def test_counts_are_checked(tmp_path, content, message):
    client = FakeKaggle(zipped(content))
    for _ in range(2):  # the second time from the archive that is still there
        with pytest.raises(UserError, match=message):
            kaggle.download(tmp_path, client=client, progress=False)


def test_full_disk(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match="disk full while writing"):
        kaggle.download(tmp_path, client=FakeKaggle(error=full), progress=False)
    usage = types.SimpleNamespace(free=100)
    with monkeypatch.context() as patch:
        patch.setattr(kaggle.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(UserError, match="disk full: unpacking needs"):
            kaggle.download(tmp_path, client=FakeKaggle(zipped()), progress=False)
    kaggle.download(tmp_path, client=FakeKaggle(), progress=False)  # with the archive that is there
    assert_downloaded(tmp_path)


def test_target_or_name_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        kaggle.download(tmp_path / "file", client=FakeKaggle(zipped()))
    for name in ("", "../x", "https://www.kaggle.com/competitions/x", "a.b"):
        with pytest.raises(UserError, match="no competition"):
            kaggle.download(tmp_path, name, client=FakeKaggle(zipped()))
    with pytest.raises(UserError, match="cannot read or write"):
        kaggle.download(tmp_path / "file" / "below", client=FakeKaggle(zipped()))


def test_our_own_mistakes_are_not_dressed_up(tmp_path):
    with pytest.raises(KeyError):
        kaggle.download(tmp_path, client=FakeKaggle(error=KeyError("bug")), progress=False)


# ---- submit, with the fake ----


def test_submit_refuses_what_cannot_be_sent(tmp_path):
    client, empty, good = FakeKaggle(), tmp_path / "empty.csv", tmp_path / "good.csv"
    empty.write_text("")
    good.write_text("image_id,label\nd,0\n")
    for path in (empty, tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UserError, match="missing or empty"):
            kaggle.submit(path, "hello", client=client)
    with pytest.raises(UserError, match="message"):
        kaggle.submit(good, "  ", client=client)
    assert client.sent == []
    failing = FakeKaggle(message="Could not submit to competition")
    with pytest.raises(UserError, match="did not take .*Broken pipe"):
        kaggle.submit(good, "hello", client=failing)
    answer = kaggle.submit(good, "hello", client=client)
    assert client.sent == [(str(good), "hello", kaggle.COMPETITION)]
    assert answer.startswith("Successfully submitted - https://www.kaggle.com/competitions/")


# ---- tokens ----


def colab(monkeypatch, secrets: dict):
    """A stand-in for google.colab: a value is a secret, an exception's name is raised."""
    userdata = types.ModuleType("google.colab.userdata")
    for name in ("SecretNotFoundError", "NotebookAccessError", "TimeoutException"):
        setattr(userdata, name, type(name, (Exception,), {}))

    def get(name):
        value = secrets.get(name, "SecretNotFoundError")
        if hasattr(userdata, value):
            raise getattr(userdata, value)(name)
        return value

    userdata.get = get
    package = types.ModuleType("google.colab")
    package.userdata = userdata
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setitem(sys.modules, "google.colab.userdata", userdata)


def test_no_token(real_api, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # pytest's own cannot be closed, as exit() does
    with pytest.raises(UserError, match=f"no Kaggle token found: make one at {TOKENS} .*access_token"):
        kaggle.download(tmp_path / "data")
    assert capfd.readouterr() == ("", "")
    assert not sys.stdin.closed


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({"KAGGLE_API_TOKEN": "KGAT_x"}, {"token": "KGAT_x"}),
        ({"KAGGLE_USERNAME": "me", "KAGGLE_KEY": " k\n"}, {"username": "me", "key": "k"}),
        (
            {"KAGGLE_API_TOKEN": "NotebookAccessError", "KAGGLE_USERNAME": "me", "KAGGLE_KEY": "k"},
            {"username": "me", "key": "k"},
        ),
        ({}, "KAGGLE_API_TOKEN."),
        ({"KAGGLE_USERNAME": "me"}, "KAGGLE_API_TOKEN."),
        ({"KAGGLE_API_TOKEN": "NotebookAccessError"}, "switch on its notebook access"),
        (
            {"KAGGLE_API_TOKEN": "TimeoutException", "KAGGLE_USERNAME": "not", "KAGGLE_KEY": "asked"},
            "only in a notebook's cell: TimeoutException",
        ),
    ],
)
def test_colab_secrets(real_api, monkeypatch, tmp_path, secrets, expected):
    colab(monkeypatch, secrets)
    if isinstance(expected, dict):
        assert kaggle._sign_in(tmp_path).config_values == expected
    else:
        with pytest.raises(UserError, match=expected):
            kaggle._sign_in(tmp_path)


def test_uploaded_token(real_api, tmp_path):
    uploaded = tmp_path / "kaggle.json"
    uploaded.write_text('{"username": "me", "key": "k"}')
    assert kaggle._sign_in(tmp_path).config_values == {"username": "me", "key": "k"}
    for content, message in [("{", "not JSON"), ("[]", "lacks"), ('{"username": "me"}', "lacks")]:
        uploaded.write_text(content)
        with pytest.raises(UserError, match=f"kaggle.json.*{message}"):
            kaggle._sign_in(tmp_path)


@pytest.mark.parametrize("ending", ["exit(1)", "raise OSError('offline')"])
def test_package_that_signs_in_while_imported(tmp_path, monkeypatch, capfd, ending):
    """kaggle 2.0, which Colab has, prints advice and exits while it is imported without a token."""
    package = tmp_path / "site" / "kaggle"
    (package / "api").mkdir(parents=True)
    (package / "api" / "__init__.py").write_text("")
    (package / "api" / "kaggle_api_extended.py").write_text("class KaggleApi: pass\n")
    (package / "__init__.py").write_text(
        f"from kaggle.api.kaggle_api_extended import KaggleApi\nprint('advice')\n{ending}\n"
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(package.parent))
    try:
        found = kaggle._client_class()
        assert inspect.getfile(found).startswith(str(package))
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
            del sys.modules[name]
    assert capfd.readouterr().out == ""


IN_A_CELL = """
import builtins, sys, types
from pathlib import Path
from dfclib.datasets import kaggle

before = {name: getattr(builtins, name, None) for name in ("exit", "quit")}

try:
    kaggle.download("data")
except BaseException as error:
    print("without:", type(error).__name__, str(error)[:21])

Path("kaggle.json").write_text('{"username": "me", "key": "k"}')
print("uploaded:", kaggle._sign_in(Path.cwd()).config_values)

userdata = types.ModuleType("google.colab.userdata")
userdata.SecretNotFoundError = userdata.NotebookAccessError = type("Missing", (Exception,), {})
userdata.get = {"KAGGLE_API_TOKEN": "T"}.get
colab = types.ModuleType("google.colab")
colab.userdata = userdata
sys.modules["google.colab"], sys.modules["google.colab.userdata"] = colab, userdata
print("secret:", kaggle._sign_in(Path.cwd()).config_values)
print("put back:", before == {name: getattr(builtins, name, None) for name in before}, sys.stdin.closed)
"""


def test_in_a_notebooks_cell_where_ipython_hides_exit(isolated):
    """kaggle calls exit(1) where it finds no token, and a cell has no such builtin: a NameError, not a SystemExit."""
    manager = pytest.importorskip("jupyter_client.manager")
    environment = os.environ | {"PYTHONPATH": str(Path(kaggle.__file__).parents[2])}
    kernel, client = manager.start_new_kernel(env=environment, cwd=str(Path.cwd()))
    printed = []
    try:
        client.execute_interactive(
            IN_A_CELL,
            timeout=120,
            output_hook=lambda message: printed.append(
                ""
                if message["msg_type"] in ("status", "execute_input")
                else message["content"].get("text", str(message))
            ),
        )
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    lines = "".join(printed).splitlines()
    assert lines == [
        "without: UserError no Kaggle token found",
        "uploaded: {'username': 'me', 'key': 'k'}",
        "secret: {'token': 'T'}",
        "put back: True False",
    ], "".join(printed)


def test_package_that_is_not_installed(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kaggle", None)  # makes importing it fail
    with pytest.raises(UserError, match="pip install"):
        kaggle.download(tmp_path)


# ---- the real package against a local server ----


class Server(http.server.ThreadingHTTPServer):
    """Answers as Kaggle's API does; attributes say how."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.archive, self.cut_at = zipped(), None
        self.status, self.body, self.upload_status = 200, {}, 200
        self.introspection = {"active": True, "username": "me"}
        self.requests, self.uploaded = [], None


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self.send_response(status)
        if isinstance(body, dict):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return data

    def note(self, body=b""):
        about = (self.command, self.path.split("?")[0].split("/")[-1])
        self.server.requests.append((*about, dict(self.headers), body))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.note(body)
        call, server = self.path.split("/")[-1], self.server
        if call == "IntrospectToken":
            self.wfile.write(self.answer(200, server.introspection))
        elif server.status != 200 or server.body:
            self.wfile.write(self.answer(server.status, server.body or b"", Retry_After="30"))
        elif call == "DownloadDataFiles":
            self.answer(302, Location=f"{server.address}/bundle/archive.zip?signature=x.y")
        elif call == "StartSubmissionUpload":
            self.wfile.write(self.answer(200, {"token": "T", "createUrl": f"{server.address}/upload"}))
        elif call == "CreateSubmission":
            self.wfile.write(self.answer(200, {"message": "Successfully submitted to X", "ref": 1}))

    def do_GET(self):
        self.note()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        rest = self.server.archive[start:]
        data = self.answer(
            206 if start else 200,
            rest,
            Accept_Ranges="bytes",
            ETag='"1"',
            Last_Modified="Mon, 02 Feb 2026 10:00:00 GMT",
        )
        self.wfile.write(data if self.server.cut_at is None else data[: max(0, self.server.cut_at - start)])
        self.close_connection = True

    def do_PUT(self):
        self.server.uploaded = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.server.upload_status)


@pytest.fixture
def server(real_api, monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda env: server.address)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the package waits a minute between its trials
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def token(isolated):
    (isolated / ".kaggle").mkdir()
    path = isolated / ".kaggle" / "access_token"
    path.write_text("KGAT_secret\n")
    return path


def test_real_package_downloads(server, token, tmp_path, capfd):
    kaggle.download(tmp_path / "data", progress=False)
    assert_downloaded(tmp_path / "data")
    headers = {name: headers for _, name, headers, _ in server.requests}
    assert headers["DownloadDataFiles"]["Authorization"] == "Bearer KGAT_secret"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("place", ["variable", "pair of variables", "kaggle.json", "uploaded", "secret"])
def test_real_package_uses_a_token_from(server, isolated, monkeypatch, tmp_path, place):
    pair = '{"username": "me", "key": "k"}'
    if place == "variable":
        monkeypatch.setenv("KAGGLE_API_TOKEN", "T")
    elif place == "pair of variables":
        monkeypatch.setenv("KAGGLE_USERNAME", "me")
        monkeypatch.setenv("KAGGLE_KEY", "k")
    elif place == "kaggle.json":
        (isolated / ".kaggle").mkdir()
        (isolated / ".kaggle" / "kaggle.json").write_text(pair)
    elif place == "uploaded":
        Path("kaggle.json").write_text(pair)
    else:
        colab(monkeypatch, {"KAGGLE_API_TOKEN": "T"})
    kaggle.download(tmp_path / "data", progress=False)
    (sent,) = [headers for _, name, headers, _ in server.requests if name == "DownloadDataFiles"]
    bearer = place in ("variable", "secret")
    assert sent["Authorization"] == ("Bearer T" if bearer else "Basic bWU6aw==")


def test_real_package_continues_a_broken_download(server, token, tmp_path):
    content = CONTENT | {"train/b.png": os.urandom(3 << 20)}
    server.archive, server.cut_at = zipped(content), 1_500_000  # the package writes whole MiB only
    with pytest.raises(UserError, match="cannot reach Kaggle .* run the same command again"):
        kaggle.download(tmp_path / "data", progress=False)
    server.cut_at = None
    server.requests.clear()
    kaggle.download(tmp_path / "data", progress=False)
    assert_downloaded(tmp_path / "data", content)
    ranges = [headers.get("Range") for method, _, headers, _ in server.requests if method == "GET"]
    assert ranges == [None, f"bytes={1 << 20}-"]


def test_real_package_fetches_a_damaged_archive_again(server, token, tmp_path):
    staging = tmp_path / "data" / kaggle.STAGING
    staging.mkdir(parents=True)
    damaged = staging / f"{kaggle.COMPETITION}.zip"  # complete by size and date, so the package keeps it
    damaged.write_bytes(bytes(len(server.archive)))
    kaggle.download(tmp_path / "data", progress=False)
    assert_downloaded(tmp_path / "data")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {}, ["401", TOKENS, RULES]),
        (403, {}, ["403", RULES]),
        (403, {"code": 403, "message": "You must accept the rules"}, ['"You must accept the rules"', RULES]),
        (200, {"code": 403, "message": "in the body"}, ["403", RULES]),
        (404, {}, ["404", "no competition", "https://www.kaggle.com/competitions"]),
        (429, {}, ["429", "30 seconds", "https://www.kaggle.com/competitions"]),
        (503, {}, ["503", "later"]),
        (400, {"code": 400, "message": "Submission limit reached"}, ["400", "Submission limit reached"]),
    ],
)
def test_refusals_of_the_server(server, token, tmp_path, status, body, expected):
    server.status, server.body = status, body
    csv = tmp_path / "submission.csv"
    csv.write_text("image_id,label\nd,0\n")
    for call in (
        lambda: kaggle.download(tmp_path / "data", progress=False),
        lambda: kaggle.submit(csv, "hello"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        sentence = str(caught.value)
        assert all(part in sentence for part in expected), sentence
        assert "\n" not in sentence
        assert "KGAT_secret" not in sentence


def test_refused_token_is_not_called_missing(server, token, tmp_path):
    server.introspection = {"active": False}
    with pytest.raises(UserError, match=f"refused the token in access_token.*{TOKENS}"):
        kaggle.download(tmp_path / "data", progress=False)


def test_answer_of_somebody_else(server, token, tmp_path):
    server.introspection = b"<html>Welcome to the hotel</html>"
    with pytest.raises(UserError, match="cannot reach Kaggle"):
        kaggle.download(tmp_path / "data", progress=False)


def test_broken_token_file(real_api, isolated, tmp_path):
    path = isolated / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text('{"username":')
    with pytest.raises(UserError) as caught:
        kaggle.download(tmp_path / "data", progress=False)
    assert f"{path} is" in str(caught.value)
    assert TOKENS in str(caught.value)


def test_no_network(server, token, tmp_path, monkeypatch):
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda env: "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"cannot reach Kaggle \(ConnectionError\).*https://www.kaggle.com"):
        kaggle.download(tmp_path / "data", progress=False)


def test_real_package_submits(server, token, tmp_path, capfd):
    csv = tmp_path / "submission.csv"
    csv.write_text("image_id,label\nd,0\n")
    answer = kaggle.submit(csv, "my message")
    assert answer.startswith("Successfully submitted to X")
    assert server.uploaded == csv.read_bytes()
    (sent,) = [json.loads(body) for _, name, _, body in server.requests if name == "CreateSubmission"]
    assert sent["submissionDescription"] == "my message"
    assert sent["competitionName"] == kaggle.COMPETITION
    assert capfd.readouterr() == ("", "")
    server.upload_status = 403
    with pytest.raises(UserError, match="did not take"):
        kaggle.submit(csv, "my message")
