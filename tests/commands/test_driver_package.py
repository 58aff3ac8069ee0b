"""A whole third-party package: made by `driver new --package`, installed, tested, listed, and run by a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.devices.declaration import read_declarations
from labkit.devices.plugins import load_plugins
from labkit.store.connection import Store
from tests.cli.program import Place, a_place
from tests.loop.host_bench import HostBench, Node
from tests.rules.conftest import ROOT
from tests.toy import wait_until


@dataclass(frozen=True, kw_only=True)
class Installed:
    """The package `labkit-blower`: its source, and the folder into which it was installed."""

    source: Path
    site: Path
    place: Place

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join([str(ROOT), str(self.site)])}


@pytest.fixture(scope="module")
def package() -> Iterator[Installed]:
    with a_place() as place:
        made = place.labkit("driver", "new", "blower", "--package")
        assert made.returncode == 0, made.stderr
        source, site = place.folder / "labkit-blower", place.folder.parent / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        subprocess.run(
            [*pip, "--no-deps", "--no-build-isolation", "--target", str(site), str(source)],
            check=True, timeout=100, env=place.environment,
        )  # fmt: skip
        yield Installed(source=source, site=site, place=place)


def test_package_has_all_that_others_need(package: Installed) -> None:
    files = {str(path.relative_to(package.source)) for path in package.source.rglob("*") if path.is_file()}
    assert files >= {
        "pyproject.toml", "README.md", "src/labkit_blower/__init__.py", "src/labkit_blower/driver.py",
        "src/labkit_blower/panel.js", "tests/test_driver.py",
    }  # fmt: skip
    assert (package.site / "labkit_blower" / "panel.js").is_file()


def test_its_own_tests_pass(package: Installed) -> None:
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--basetemp", "temporary", "-W", "error"],
        cwd=package.source, env=package.place.environment | package.environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "19 passed, 2 skipped" in tests.stdout


def test_it_keeps_the_contract_where_it_is_installed(package: Installed) -> None:
    tried = package.place.labkit("driver", "test", "blower", **package.environment)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "18 ok, 2 not tried" in tried.stdout


def test_it_is_listed_with_its_version_and_what_it_brings(package: Installed) -> None:
    listed = json.loads(package.place.labkit("plugins", "--json", **package.environment).stdout)
    (blower,) = (plugin for plugin in listed if plugin["name"] == "blower")
    assert blower["origin"] == "labkit-blower 0.1.0, labkit_blower.driver"
    assert (blower["drivers"], blower["panels"], blower["error"]) == (["blower"], ["blower"], None)


def test_a_host_runs_a_declared_device_of_it(
    package: Installed, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(package.site))
    (tmp_path / "devices").mkdir()
    declaration = '[fan]\ndriver = "blower"\nsimulate = true\nsafe = 5\n'
    (tmp_path / "devices" / "bench-1.toml").write_text(declaration)
    with HostBench(tmp_path, store, benches=()) as lab:
        lab.declarations = read_declarations(tmp_path / "devices", load_plugins(None))
        Node(lab).up()
        lab.wait_ok()
        session, fence = lab.session()
        set_speed = lab.caller.submit("bench-1/fan", "set_speed", fence=fence, seconds=20.0, args=(40,))
        assert set_speed.result() == 40
        lab.release(session, lab.end(session))
        lab.wait_ok()
        speed = next((tmp_path / "instance" / "devices").rglob("speed"))
        wait_until(lambda: speed.read_text() == "5", "the safe speed")
    for module in [name for name in sys.modules if name.startswith("labkit_blower")]:
        del sys.modules[module]
