"""Write requirements/lock.txt: the newest versions that requirements.txt allows, one set for every Python.

    python requirements/lock.py python3.11 python3.12 python3.13        (or: make lock)

The oldest Python is resolved first, because what it can install the newer ones can as well; each newer one is
then resolved under those versions, and what it needs besides is added with a marker.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = """\
# The exact versions that `make` and CI install, on Python {first} to {last}.
# Written by `make lock` from requirements.txt; do not edit.
"""


def resolve(python: str, constraints: Path | None = None) -> tuple[str, dict[str, str]]:
    """What pip of `python` would install, nothing counted as present: ("3.11", {name: version})."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    # setuptools builds the package itself (see the Makefile), so it is locked as well
    command += ["setuptools", "-r", str(HERE.parent / "requirements.txt")]
    if constraints is not None:
        command += ["-c", str(constraints)]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    packages = (item["metadata"] for item in report["install"])
    return version, {package["name"]: package["version"] for package in packages}


def main(pythons: list[str]) -> None:
    lock = HERE / "lock.txt"
    first, locked = resolve(pythons[0])
    lines = {name: f"{name}=={version}" for name, version in locked.items()}
    last = first
    for python in pythons[1:]:
        lock.write_text("\n".join(lines.values()) + "\n")
        last, found = resolve(python, constraints=lock)
        for name in found.keys() - lines.keys():
            lines[name] = f'{name}=={found[name]}; python_version == "{last}"'
    body = "\n".join(sorted(lines.values(), key=str.lower))
    lock.write_text(HEADER.format(first=first, last=last) + body + "\n")
    print(f"{lock}: {len(lines)} packages")


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
