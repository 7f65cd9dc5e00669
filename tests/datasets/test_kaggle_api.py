"""Signing in, and Kaggle's own package against a local server: no network, no token, and never a real one."""

import http.server
import inspect
import io
import json
import os
import sys
import threading
import types
from pathlib import Path

import pytest
from fakes import KAGGLE_FILES, assert_downloaded, zipped

from dfclib.datasets import kaggle, kaggle_api
from dfclib.errors import UserError

pytestmark = pytest.mark.usefixtures("isolated")
RULES = "https://www.kaggle.com/competitions/deepfake-classification-unibuc/rules"
TOKENS = "https://www.kaggle.com/settings"
PAIR = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": " k\n"}


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
        (PAIR, {"username": "me", "key": "k"}),
        ({"KAGGLE_API_TOKEN": "NotebookAccessError"} | PAIR, {"username": "me", "key": "k"}),
        ({}, "KAGGLE_API_TOKEN."),
        ({"KAGGLE_USERNAME": "me"}, "KAGGLE_API_TOKEN."),
        ({"KAGGLE_API_TOKEN": "NotebookAccessError"}, "switch on its notebook access"),
        ({"KAGGLE_API_TOKEN": "TimeoutException"} | PAIR, "only in a notebook's cell: TimeoutException"),
    ],
)
def test_colab_secrets(real_api, monkeypatch, tmp_path, secrets, expected):
    colab(monkeypatch, secrets)
    if isinstance(expected, dict):
        assert kaggle_api.sign_in(tmp_path).config_values == expected
    else:
        with pytest.raises(UserError, match=expected):
            kaggle_api.sign_in(tmp_path)


def test_uploaded_token(real_api, tmp_path):
    uploaded = tmp_path / "kaggle.json"
    uploaded.write_text('{"username": "me", "key": "k"}')
    assert kaggle_api.sign_in(tmp_path).config_values == {"username": "me", "key": "k"}
    for content, message in [("{", "not JSON"), ("[]", "lacks"), ('{"username": "me"}', "lacks")]:
        uploaded.write_text(content)
        with pytest.raises(UserError, match=f"kaggle.json.*{message}"):
            kaggle_api.sign_in(tmp_path)


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
        found = kaggle_api.client_class()
        assert inspect.getfile(found).startswith(str(package))
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "kaggle"]:
            del sys.modules[name]
    assert capfd.readouterr().out == ""


IN_A_CELL = """
import builtins, sys, types
from pathlib import Path
from dfclib.datasets import kaggle, kaggle_api

before = {name: getattr(builtins, name, None) for name in ("exit", "quit")}

try:
    kaggle.download("data")
except BaseException as error:
    print("without:", type(error).__name__, str(error)[:21])

Path("kaggle.json").write_text('{"username": "me", "key": "k"}')
print("uploaded:", kaggle_api.sign_in(Path.cwd()).config_values)

userdata = types.ModuleType("google.colab.userdata")
userdata.SecretNotFoundError = userdata.NotebookAccessError = type("Missing", (Exception,), {})
userdata.get = {"KAGGLE_API_TOKEN": "T"}.get
colab = types.ModuleType("google.colab")
colab.userdata = userdata
sys.modules["google.colab"], sys.modules["google.colab.userdata"] = colab, userdata
print("secret:", kaggle_api.sign_in(Path.cwd()).config_values)
print("put back:", before == {name: getattr(builtins, name, None) for name in before}, sys.stdin.closed)
"""


def test_in_a_notebooks_cell_where_ipython_hides_exit(isolated):
    """kaggle calls exit(1) where it finds no token, and a cell has no such builtin: a NameError, not a SystemExit."""
    manager = pytest.importorskip("jupyter_client.manager")
    environment = os.environ | {"PYTHONPATH": str(Path(kaggle.__file__).parents[2])}
    kernel, client = manager.start_new_kernel(env=environment, cwd=str(Path.cwd()))
    printed = []

    def keep(message):
        if message["msg_type"] not in ("status", "execute_input"):
            printed.append(message["content"].get("text", str(message)))

    try:
        client.execute_interactive(IN_A_CELL, timeout=120, output_hook=keep)
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
        headers = {"Accept_Ranges": "bytes", "ETag": '"1"', "Last_Modified": "Mon, 02 Feb 2026 10:00:00 GMT"}
        data = self.answer(206 if start else 200, rest, **headers)
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
    kaggle.download(tmp_path / "data")
    assert_downloaded(tmp_path / "data")
    headers = {name: headers for _, name, headers, _ in server.requests}
    assert headers["DownloadDataFiles"]["Authorization"] == "Bearer KGAT_secret"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("place", ["variable", "pair of variables", "kaggle.json", "uploaded", "secret"])
def test_real_package_uses_a_token_from(server, isolated, monkeypatch, tmp_path, place):
    pair = '{"username": "me", "key": "k"}'
    (isolated / ".kaggle").mkdir()
    {
        "variable": lambda: monkeypatch.setenv("KAGGLE_API_TOKEN", "T"),
        "pair of variables": lambda: (
            monkeypatch.setenv("KAGGLE_USERNAME", "me"),
            monkeypatch.setenv("KAGGLE_KEY", "k"),
        ),
        "kaggle.json": lambda: (isolated / ".kaggle" / "kaggle.json").write_text(pair),
        "uploaded": lambda: Path("kaggle.json").write_text(pair),
        "secret": lambda: colab(monkeypatch, {"KAGGLE_API_TOKEN": "T"}),
    }[place]()
    kaggle.download(tmp_path / "data")
    (sent,) = [headers for _, name, headers, _ in server.requests if name == "DownloadDataFiles"]
    bearer = place in ("variable", "secret")
    assert sent["Authorization"] == ("Bearer T" if bearer else "Basic bWU6aw==")


def test_real_package_continues_a_broken_download(server, token, tmp_path):
    content = KAGGLE_FILES | {"train/b.png": os.urandom(3 << 20)}
    server.archive, server.cut_at = zipped(content), 1_500_000  # the package writes whole MiB only
    with pytest.raises(UserError, match="cannot reach Kaggle .* run the same command again"):
        kaggle.download(tmp_path / "data")
    server.cut_at = None
    server.requests.clear()
    kaggle.download(tmp_path / "data")
    assert_downloaded(tmp_path / "data", content)
    ranges = [headers.get("Range") for method, _, headers, _ in server.requests if method == "GET"]
    assert ranges == [None, f"bytes={1 << 20}-"]


def test_real_package_fetches_a_damaged_archive_again(server, token, tmp_path):
    staging = tmp_path / "data" / kaggle.STAGING
    staging.mkdir(parents=True)
    damaged = staging / f"{kaggle.COMPETITION}.zip"  # complete by size and date, so the package keeps it
    damaged.write_bytes(bytes(len(server.archive)))
    kaggle.download(tmp_path / "data")
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
    for call in (lambda: kaggle.download(tmp_path / "data"), lambda: kaggle.submit(csv, "hello")):
        with pytest.raises(UserError) as caught:
            call()
        sentence = str(caught.value)
        assert all(part in sentence for part in expected), sentence
        assert "\n" not in sentence and "KGAT_secret" not in sentence


def test_refused_token_is_not_called_missing(server, token, tmp_path):
    server.introspection = {"active": False}
    with pytest.raises(UserError, match=f"refused the token in access_token.*{TOKENS}"):
        kaggle.download(tmp_path / "data")


def test_an_answer_that_is_not_kaggle_s(server, token, tmp_path):
    server.introspection = b"<html>Welcome to the hotel</html>"
    with pytest.raises(UserError, match="cannot reach Kaggle"):
        kaggle.download(tmp_path / "data")


def test_broken_token_file(real_api, isolated, tmp_path):
    path = isolated / ".kaggle" / "kaggle.json"
    path.parent.mkdir()
    path.write_text('{"username":')
    with pytest.raises(UserError) as caught:
        kaggle.download(tmp_path / "data")
    assert f"{path} is" in str(caught.value)
    assert TOKENS in str(caught.value)


def test_no_network(server, token, tmp_path, monkeypatch):
    monkeypatch.setattr("kagglesdk.kaggle_http_client.get_endpoint", lambda env: "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"cannot reach Kaggle \(ConnectionError\).*https://www.kaggle.com"):
        kaggle.download(tmp_path / "data")


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
