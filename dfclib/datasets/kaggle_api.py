"""Kaggle's own package: signing in from wherever a token lies, and its failures as sentences for the user."""

import builtins
import contextlib
import io
import sys
from collections.abc import Iterator
from json import JSONDecodeError
from pathlib import Path
from socket import gaierror
from typing import Any

from dfclib.errors import UserError
from dfclib.files import read_json

TOKEN_PAGE = "https://www.kaggle.com/settings"
COMPETITIONS_PAGE = "https://www.kaggle.com/competitions"
COMPETITION = "deepfake-classification-unibuc"
PAGE = f"{COMPETITIONS_PAGE}/{COMPETITION}"


def sign_in(folder: Path) -> Any:
    """A signed-in KaggleApi: by the package's own places, else a Colab secret, else `folder`/kaggle.json."""
    client = client_class()()
    from kagglesdk import get_access_token_from_env

    try:
        with _quiet():
            client.authenticate()
        return client
    except SystemExit:
        pass  # the package ends the program where it finds no token that works
    except ValueError as error:
        if get_access_token_from_env()[0]:  # the package asked Kaggle about that one
            raise
        raise UserError(f"{client.config} is not a Kaggle token ({error}): make a new one at {TOKEN_PAGE}.") from error

    token, source = get_access_token_from_env()
    if token:  # or the explicit ones below would be overruled by it
        raise UserError(
            f"Kaggle refused the token in {source}: it is mistyped, expired or revoked; make a new one at {TOKEN_PAGE}."
        )
    credentials, hint = _colab_secrets()
    credentials = credentials or _uploaded_token(folder / "kaggle.json")
    if not credentials:
        if Path(client.config).is_file():
            hint += f" ({client.config} is there, but without username and key)"
        raise UserError(
            f"no Kaggle token found: make one at {TOKEN_PAGE} and save it as ~/.kaggle/access_token, or set "
            f"KAGGLE_API_TOKEN to it, or put kaggle.json into ~/.kaggle or {folder}, or in Colab add it as "
            f"the secret KAGGLE_API_TOKEN{hint}."
        )
    client.config_values = credentials
    return client


def client_class() -> Any:
    """The class KaggleApi, whatever importing its package does."""
    try:
        with _quiet():
            from kaggle.api.kaggle_api_extended import KaggleApi
        return KaggleApi
    except ModuleNotFoundError as error:
        raise UserError(f"{error}: install Kaggle's package with `pip install 'kaggle>=2,<3'`.") from error
    except (Exception, SystemExit):
        # kaggle 2.0 signs in while it is imported, and exits or raises where it cannot (no token, no network); the
        # class was loaded before that
        if module := sys.modules.get("kaggle.api.kaggle_api_extended"):
            return module.KaggleApi
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the package from printing its advice, and have its exit(1) raise SystemExit wherever it is called.

    Python's own exit closes standard input, and in a notebook's cell IPython hides it: there the package would die of
    a NameError before the other places for a token are looked at.
    """
    before = {name: vars(builtins)[name] for name in ("exit", "quit") if name in vars(builtins)}
    try:
        builtins.exit = builtins.quit = sys.exit
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        del builtins.exit, builtins.quit
        vars(builtins).update(before)


def _colab_secrets() -> tuple[dict[str, str], str]:
    """The credentials among Colab's secrets ({} if none), and a hint to add to the advice."""
    try:
        from google.colab import userdata
    except ImportError:
        return {}, ""
    found, hint = {}, ""
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        try:
            found[name] = (userdata.get(name) or "").strip()
        except userdata.SecretNotFoundError:
            continue
        except userdata.NotebookAccessError:
            hint = f" (the secret {name} is there: switch on its notebook access)"
        except Exception as error:
            # A timeout without a browser, or no kernel in `!python -m dfclib`: the next would fail too.
            hint = f" (secrets cannot be read here, only in a notebook's cell: {type(error).__name__})"
            break
    if found.get("KAGGLE_API_TOKEN"):
        return {"token": found["KAGGLE_API_TOKEN"]}, ""
    pair = {"username": found.get("KAGGLE_USERNAME"), "key": found.get("KAGGLE_KEY")}
    return (pair, "") if all(pair.values()) else ({}, hint)


def _uploaded_token(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    match read_json(path):
        case {"username": str() as username, "key": str() as key} if username and key:
            return {"username": username, "key": key}
    raise UserError(f"{path} lacks username or key: make a new one at {TOKEN_PAGE}.")


@contextlib.contextmanager
def explained_failures() -> Iterator[None]:
    """Raise UserError for the failures of Kaggle and of the network; others go through."""
    import requests
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (requests.RequestException, HTTPError, ConnectionError, TimeoutError, gaierror, JSONDecodeError) as error:
        if isinstance(error, requests.HTTPError) and error.response is not None:
            raise UserError(_refusal(error)) from error
        raise UserError(
            f"cannot reach Kaggle ({type(error).__name__}): check that {COMPETITIONS_PAGE} opens on "
            "this machine and run the same command again; what has come is kept."
        ) from error


def _refusal(error: Any) -> str:
    """One sentence for an answer of Kaggle's that is an error."""
    status, message = error.response.status_code, ""
    with contextlib.suppress(ValueError, OSError, AttributeError, TypeError):
        body = error.response.json()
        message = str(body.get("message") or "").strip()
        # some errors come as 200 OK with the code in the body
        status = max(status, int(body.get("code") or 0))
    wait = error.response.headers.get("Retry-After", "")
    wait = f"{wait} seconds" if wait.isdigit() else "some minutes"
    advice = {
        # Kaggle also answers 401, without a word, where only the rules are missing
        401: f"it refused the token; make a new one at {TOKEN_PAGE}, and if that is refused too, accept the rules at "
        f"{PAGE}/rules",
        403: f"accept the competition's rules at {PAGE}/rules and run the same command again",
        404: f"it knows no competition {COMPETITION!r}; look for its name at {COMPETITIONS_PAGE}",
        429: f"too many requests; wait {wait} and run the same command again, or use {PAGE}",
    }
    trouble = f"Kaggle itself is in trouble; try again later, and see whether {PAGE} opens"
    received = f"Kaggle answered {status}" + (f' "{message}"' if message else "")
    return f"{received}: {advice.get(status, trouble if status >= 500 else f'see {PAGE}')}."
