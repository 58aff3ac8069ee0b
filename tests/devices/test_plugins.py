"""Plugins: found both ways, checked one by one, a broken one shown and nobody stopped by it."""

import importlib.metadata
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.devices.plugins import BrokenPlugin, Plugins, load_plugins
from labkit.plugin import commands_of
from tests.devices.fan import FAN, HOOK, METHODS
from tests.devices.written import Write, writer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of a `drivers` folder and return it: `write(fan="...")` makes drivers/fan.py."""
    return writer(tmp_path / "drivers", lambda name: f"{name}.py")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package of modules as pip would: files on the path, and metadata with an entry point for each."""
    site = tmp_path / "site"
    modules: list[str] = []

    def install_package(package: str, **sources: str) -> None:
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {package}_{name}" for name in sources]
        (info / "entry_points.txt").write_text("[labkit]\n" + "\n".join(lines) + "\n")
        for name, source in sources.items():
            modules.append(f"{package}_{name}")
            (site / f"{package}_{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))

    yield install_package
    for module in modules:
        sys.modules.pop(module, None)


def broken_in(plugins: Plugins, *names: str) -> list[BrokenPlugin]:
    return [broken for broken in plugins.broken if broken.name in names]


def error_of(folder: Path, name: str = "fan") -> str:
    plugins = load_plugins(folder)
    assert "fan" not in plugins.drivers
    (broken,) = broken_in(plugins, name)
    assert broken.origin == f"drivers/{name}.py"
    assert "\n" not in broken.error
    return broken.error


# -- found ---------------------------------------------------------------------------------------------------------


def test_no_drivers_folder_is_fine(tmp_path: Path) -> None:
    assert load_plugins(None).drivers == load_plugins(tmp_path / "drivers").drivers


def test_a_file_of_the_labs_own_folder_brings_its_driver(write: Write) -> None:
    plugins = load_plugins(write(fan=FAN + HOOK))
    assert plugins.drivers["fan"].kind == "fan"
    assert plugins.origins["fan"] == "drivers/fan.py"
    assert list(commands_of(plugins.drivers["fan"])) == ["turn"]
    assert not broken_in(plugins, "fan")


def test_an_installed_plugin_is_found_by_its_entry_point(install: Callable[..., None]) -> None:
    install("labfan", fan=FAN + HOOK)
    plugins = load_plugins(None)
    assert plugins.drivers["fan"].__module__ == "labfan_fan"
    assert plugins.origins["fan"] == "labfan 1.0, labfan_fan"
    assert plugins.manager.is_registered(sys.modules["labfan_fan"])


def test_every_installed_entry_point_is_loaded_or_shown_as_broken() -> None:
    points = importlib.metadata.entry_points(group="labkit")
    plugins = load_plugins(None)
    loaded = {name.split(" ")[0] for name, _ in plugins.manager.list_name_plugin()}
    assert loaded | {broken.name for broken in plugins.broken} == {point.name for point in points}


def test_files_of_two_labs_with_one_name_do_not_meet(write: Write, tmp_path: Path) -> None:
    other = tmp_path / "other" / "drivers"
    other.mkdir(parents=True)
    (other / "fan.py").write_text(FAN.replace('"fan"', '"ventilator"') + HOOK)
    first, second = load_plugins(write(fan=FAN + HOOK)), load_plugins(other)
    assert "fan" in first.drivers
    assert "ventilator" in second.drivers
    assert first.drivers["fan"].__module__ != second.drivers["ventilator"].__module__


def test_a_changed_file_is_run_anew_when_loaded_again(write: Write) -> None:
    first = load_plugins(write(fan=FAN + HOOK)).drivers["fan"]
    second = load_plugins(write(fan="# changed\n" + FAN.replace("turn(", "spin(") + HOOK)).drivers["fan"]
    assert (list(commands_of(first)), list(commands_of(second))) == (["turn"], ["spin"])


def test_a_helper_file_is_no_plugin_and_can_be_imported_by_its_neighbours(write: Write) -> None:
    plugins = load_plugins(write(_protocol="KIND = 'fan'\n", fan="from ._protocol import KIND\n" + FAN + HOOK))
    assert "fan" in plugins.drivers
    assert not broken_in(plugins, "fan", "_protocol")


def test_panels_come_by_kind(write: Write) -> None:
    folder = write(
        fan=FAN + HOOK + "from pathlib import Path\nfrom labkit.plugin import Panel\n"
        "@hookimpl\ndef labkit_panels():\n    return [Panel(kind='fan', module=Path(__file__).with_name('fan.js'))]\n"
    )
    (folder / "fan.js").write_text("export default function mount() {}\n")
    assert load_plugins(folder).panels["fan"].module == folder / "fan.js"
    (folder / "fan.js").unlink()
    plugins = load_plugins(folder)
    assert "fan" in plugins.drivers
    assert broken_in(plugins, "fan")[0].error == f"The panel of 'fan' is not an absolute .js file: {folder / 'fan.js'}."


# -- broken --------------------------------------------------------------------------------------------------------


def test_a_broken_file_stops_neither_its_neighbours_nor_labkit(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(a_scope="import no_such_library_of_a_scope\n", fan=FAN + HOOK, z_exits="import sys\nsys.exit(3)\n")
    with caplog.at_level(logging.ERROR, logger="labkit.plugins"):
        plugins = load_plugins(folder)
    assert "fan" in plugins.drivers
    assert broken_in(plugins, "a_scope", "z_exits") == [
        BrokenPlugin(
            name="a_scope",
            origin="drivers/a_scope.py",
            error="ModuleNotFoundError: No module named 'no_such_library_of_a_scope' (a_scope.py, line 1).",
        ),
        BrokenPlugin(name="z_exits", origin="drivers/z_exits.py", error="SystemExit: 3 (z_exits.py, line 2)."),
    ]
    assert "plugin broken name=a_scope origin='drivers/a_scope.py'" in caplog.text
    assert not [module for module in sys.modules if module.endswith((".a_scope", ".z_exits"))]


def test_file_that_skips_itself_as_a_test_does_is_broken(write: Write) -> None:
    skips = "class Skipped(BaseException): ...\nraise Skipped('no board here')\n"  # pytest's own would skip this test
    plugins = load_plugins(write(fan=FAN + HOOK, a_test=skips))
    assert "fan" in plugins.drivers
    assert broken_in(plugins, "a_test")[0].error == "Skipped: no board here (a_test.py, line 2)."


def test_a_broken_installed_plugin_stops_no_other(install: Callable[..., None]) -> None:
    install("labfan", broken="import no_such_library\n", fan=FAN + HOOK)
    install("labgone", gone="")
    sys.modules["labgone_gone"] = None  # type: ignore[assignment]  # as Python marks what must not be imported
    plugins = load_plugins(None)
    assert "fan" in plugins.drivers
    one, two = broken_in(plugins, "broken", "gone")
    assert (one.origin, two.origin) == ("labfan 1.0, labfan_broken", "labgone 1.0, labgone_gone")
    assert one.error == "ModuleNotFoundError: No module named 'no_such_library' (labfan_broken.py, line 1)."
    assert two.error.startswith("ModuleNotFoundError: import of labgone_gone halted")


HOOK_MISTAKES = {
    "class Fan(:\n": "SyntaxError: invalid syntax (fan.py, line 1).",
    FAN: "It has no hook. Add labkit_drivers, marked @hookimpl, or let its file's name begin with '_'.",
    FAN + HOOK.replace("@hookimpl", ""): "Its function labkit_drivers is not marked. Write @hookimpl above it.",
    FAN + HOOK.replace("labkit_drivers", "labkit_driver"): (
        "It has an unknown hook labkit_driver. Did you mean labkit_drivers?"
    ),
    FAN + HOOK.replace("return", ""): "labkit_drivers returned nothing. Return a list.",
    FAN + HOOK.replace("[Fan]", "3"): "labkit_drivers returned 3. Return a list.",
    FAN + HOOK.replace("[Fan]", "[3]"): "3 is not a driver class. Derive it from labkit.plugin.Driver.",
    FAN + HOOK.replace("return", "raise ValueError('no')\n    return"): "ValueError: no (fan.py, line 19).",
}


@pytest.mark.parametrize(("source", "error"), HOOK_MISTAKES.items())
def test_each_mistake_of_a_plugin_has_its_sentence(write: Write, source: str, error: str) -> None:
    assert error_of(write(fan=source)) == error


def test_a_hook_with_an_argument_that_labkit_does_not_give_is_refused(write: Write) -> None:
    error = error_of(write(fan=FAN + HOOK.replace("labkit_drivers()", "labkit_drivers(app)")))
    assert "labkit_drivers(app)" in error
    assert "{'app'}" in error


DRIVER_MISTAKES = {
    ('kind = "fan"', ""): 'Fan has no kind. Give it one, for example kind = "fan".',
    ('kind = "fan"', 'kind = "Big Fan"'): (
        "Fan has the kind 'Big Fan', which can't be used: a name has small letters, digits, '-' and '_', begins with a "
        "letter or digit, and has at most 40 characters."
    ),
    ("def make_safe(self): ...\n    def interrupt(self): ...", ""): "Fan does not implement make_safe(), interrupt().",
    ("speed: int", "speed: 'Speed'"): (
        "Fan has the command turn that takes arguments which can't be described: "
        "NameError: name 'Speed' is not defined."
    ),
    ("speed: int", "*speeds: int"): (
        "Fan has the command turn that takes *speeds: int. Name each argument: callers give them by name."
    ),
    ("(Driver[FanOptions]):", "(Driver):\n    Options = dict"): (
        "Fan has options <class 'dict'>. Derive them from labkit.plugin.DriverOptions."
    ),
    ("turned = Feed(bytes)", "simulated = dict"): "Fan.simulated is <class 'dict'>, not a driver class.",
}


@pytest.mark.parametrize(("change", "error"), DRIVER_MISTAKES.items())
def test_each_mistake_of_a_driver_has_its_sentence(write: Write, change: tuple[str, str], error: str) -> None:
    assert error_of(write(fan=FAN.replace(*change) + HOOK)) == error


def test_a_twin_that_lacks_a_command_or_takes_other_options_is_refused(write: Write) -> None:
    twin = f"class Other(DriverOptions): ...\nclass Twin(Driver[Other]):{METHODS}\nFan.simulated = Twin\n"
    assert error_of(write(fan=FAN + twin + HOOK)) == (
        "Fan.simulated takes Other; a twin takes the driver's own FanOptions. "
        "Fan.simulated lacks turn, turned; a twin has the same commands and feeds."
    )


def test_good_drivers_of_a_plugin_stay_when_another_of_it_is_refused(write: Write) -> None:
    plugins = load_plugins(write(fan=FAN + "class Half(Fan):\n    kind = ''\n" + HOOK.replace("[Fan]", "[Half, Fan]")))
    assert "fan" in plugins.drivers
    assert broken_in(plugins, "fan")[0].error == 'Half has no kind. Give it one, for example kind = "fan".'


def test_of_two_drivers_with_one_kind_the_first_stays_and_both_origins_are_named(
    write: Write, install: Callable[..., None]
) -> None:
    install("labfan", fan=FAN + HOOK)
    plugins = load_plugins(write(fan=FAN + HOOK))
    assert plugins.drivers["fan"].__module__ == "labfan_fan"
    assert broken_in(plugins, "fan") == [
        BrokenPlugin(
            name="fan",
            origin="drivers/fan.py",
            error="Two plugins bring a driver of kind 'fan': labfan 1.0, labfan_fan, which keeps it, "
            "and drivers/fan.py. Rename one.",
        )
    ]


# -- life-cycle hooks ----------------------------------------------------------------------------------------------

WITNESS = """
from labkit.plugin import hookimpl

@hookimpl
def labkit_session_started(event):
    pass
"""


def test_a_plugin_may_have_life_cycle_hooks_only(write: Write) -> None:
    plugins = load_plugins(write(witness=WITNESS))
    assert not broken_in(plugins, "witness")
    (witness,) = (plugin for plugin in plugins.loaded if plugin.name == "witness")
    assert (witness.drivers, witness.panels, witness.hooks) == ([], [], ["labkit_session_started"])


@pytest.mark.parametrize(
    ("change", "error"),
    {
        ("started", "startd"): ("It has an unknown hook labkit_session_startd. Did you mean labkit_session_started?"),
        ("@hookimpl\n", ""): "Its function labkit_session_started is not marked. Write @hookimpl above it.",
        ("(event)", "(session)"): "Argument(s) {'session'} are declared in the hookimpl",
    }.items(),
)
def test_each_mistake_of_a_life_cycle_hook_has_its_sentence(write: Write, change: tuple[str, str], error: str) -> None:
    assert error in error_of(write(fan=WITNESS.replace(*change)))


def test_what_each_plugin_brings_is_known(write: Write) -> None:
    panel = "\n@hookimpl\ndef labkit_panels():\n    return []\n"
    plugins = load_plugins(write(fan=FAN + HOOK + panel))
    (fan,) = (plugin for plugin in plugins.loaded if plugin.name == "fan")
    assert (fan.origin, fan.drivers, fan.panels) == ("drivers/fan.py", ["fan"], [])
    assert fan.hooks == ["labkit_drivers", "labkit_panels"]
