"""The browser libraries are those of package-lock.json, to the byte, whatever a registry sends; by the real npm."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import runpy
import sys
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import hatch_build

ROOT = Path(__file__).resolve().parents[2]
NAME, VERSION = "some-library", "1.0.0"


def packed(code: str) -> bytes:
    """A package as a registry has it; it would like to run a script of its own where it is installed."""
    facts = {"name": NAME, "version": VERSION, "scripts": {"install": "touch ran", "preinstall": "touch ran"}}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in (("package.json", json.dumps(facts)), ("index.js", code)):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


class Registry:
    """A registry that sends what it is told to, with the hash of just that."""

    def __init__(self) -> None:
        self.sends = b""
        registry = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                data = registry.sends if self.path.endswith(".tgz") else registry.facts()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})

    def facts(self) -> bytes:
        dist = {"tarball": f"{self.url}/{NAME}/-/{NAME}-{VERSION}.tgz", "integrity": integrity(self.sends)}
        version = {"name": NAME, "version": VERSION, "dist": dist}
        return json.dumps({"name": NAME, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}).encode()


@pytest.fixture
def registry() -> Iterator[Registry]:
    made = Registry()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join(30)
    made.server.server_close()


def test_library_that_was_tampered_with_ends_the_build(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = packed("export const good = 1;"), packed("export const evil = 1;")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", registry.url)
    packages = {
        "": {"name": "x", "dependencies": {NAME: VERSION}},
        f"node_modules/{NAME}": {"version": VERSION, "integrity": integrity(good), "hasInstallScript": True},
    }
    (tmp_path / "package.json").write_text(json.dumps({"name": "x", "dependencies": {NAME: VERSION}}))
    lock = {"name": "x", "lockfileVersion": 3, "requires": True, "packages": packages}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / ".npmrc").write_text((ROOT / ".npmrc").read_text())
    library = tmp_path / "node_modules" / NAME / "index.js"

    registry.sends = bad
    with pytest.raises(hatch_build.FetchError, match="EINTEGRITY"):
        hatch_build.npm_ci(tmp_path)
    assert not library.exists()

    registry.sends = good
    hatch_build.npm_ci(tmp_path)
    assert library.read_text() == "export const good = 1;"
    assert not list(tmp_path.rglob("ran"))


def test_every_library_is_locked_by_its_hash() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    named = {path: facts for path, facts in lock["packages"].items() if path}
    assert named
    for path, facts in named.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", facts["integrity"]), path
        assert "resolved" not in facts, path  # from where is the builder's business; what, is the lock's
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert {name: named[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    sources = set(hatch_build.FILES.values())
    assert {
        source for source in sources if not any(f"node_modules/{source}".startswith(f"{p}/") for p in named)
    } == set()


def test_libraries_are_fetched_without_running_their_scripts_and_only_by_the_lock() -> None:
    assert hatch_build.NPM[:2] == ("ci", "--ignore-scripts")


# -- make audit


def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, npm: str) -> int:
    """Run tools/audit.py with a pip-audit and an npm that say what a test wants them to."""
    programs = {
        "pip-audit": f"for a in \"$@\"; do case $a in --output=*) echo '{python}' >${{a#--output=}};; esac; done",
        "npm": npm,
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", ["audit.py", str(tmp_path / "pip-audit")])
    return int(AUDIT["main"]())


AUDIT = runpy.run_path(str(ROOT / "tools" / "audit.py"))
PINS: dict[str, str] = AUDIT["resolved"]()
SOUND = json.dumps({"dependencies": [{"name": name, "version": pin, "vulns": []} for name, pin in PINS.items()]})
ILL = SOUND.replace('"vulns": []', '"vulns": [{"id": "PYSEC-1"}]', 1)
SKIPPED = SOUND.replace('"vulns": []', '"skip_reason": "not found"', 1)
NPM_SOUND = 'echo \'{"vulnerabilities": {}, "metadata": {"dependencies": {"total": 11}}}\''
NPM_ILL = NPM_SOUND.replace('s": {}', 's": {"socket.io-client": {}}') + "; exit 1"
NPM_AWAY = "echo npm error audit endpoint returned an error; exit 1"


@pytest.mark.parametrize(
    ("python", "npm", "code"),
    [
        (SOUND, NPM_SOUND, 0), (ILL, NPM_SOUND, 1), (SOUND, NPM_ILL, 1), (ILL, NPM_AWAY, 1), (SKIPPED, NPM_SOUND, 2),
        (SOUND, NPM_AWAY, 2), ("", NPM_SOUND, 2), ("{}", NPM_SOUND, 2), ('{"dependencies": []}', NPM_SOUND, 2),
    ],
)  # fmt: skip
def test_audit_ends_well_only_where_everything_was_asked_about_and_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str, npm: str, code: int
) -> None:
    assert audit(tmp_path, monkeypatch, python, npm) == code


def test_audit_asks_about_all_that_an_installation_brings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for name in ("gpio", "camera") for line in project["optional-dependencies"][name]]
    direct = {re.split(r"[\s<>=;\[]", line)[0].lower() for line in [*project["dependencies"], *extras]}
    assert direct <= set(PINS)
    assert {"werkzeug", "jinja2", "wsproto"} <= set(PINS)  # what those bring
