"""Plugins: found, checked and loaded one by one, so that a broken one is shown and stops nobody else.

Two ways lead in, and the bundled drivers take the first like anybody's: installed packages with an entry point in the
group `labkit`, and the files of the lab's own `drivers/` folder. Used by the catalog. Nothing here opens a device.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import sys
import traceback
import types
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from labkit.devices.driver_rules import faults_of
from labkit.devices.problems import nearest
from labkit.plugin import Driver, Panel, hooks

log = logging.getLogger("labkit.plugins")

GROUP = "labkit"
"""The entry-point group, and the name of pluggy's project."""


def hook_manager() -> pluggy.PluginManager:
    """A plugin manager that knows labkit's hooks and has no plugins."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    return manager


@dataclass(frozen=True, kw_only=True)
class BrokenPlugin:
    """A plugin, or one driver or panel of it, that was not taken; `error` is one line."""

    name: str
    origin: str
    error: str


@dataclass(frozen=True, kw_only=True)
class LoadedPlugin:
    """A plugin that was taken: the kinds of drivers and panels that it brings, and the hooks that it has."""

    name: str
    origin: str
    drivers: Sequence[str]
    panels: Sequence[str]
    hooks: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Plugins:
    """What was found: drivers and panels by kind, where each kind's driver comes from, and what is broken."""

    manager: pluggy.PluginManager = field(default_factory=hook_manager, repr=False)
    drivers: Mapping[str, type[Driver[Any]]] = field(default_factory=dict)
    panels: Mapping[str, Panel] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    loaded: Sequence[LoadedPlugin] = ()
    broken: Sequence[BrokenPlugin] = ()


def load_plugins(drivers_folder: Path | None) -> Plugins:
    """Load all installed plugins, then the lab's own drivers (`*.py`, but none whose name begins with "_").

    Never raises for a plugin's fault: that is logged and stands in `broken`. Where two bring the same kind, the first
    keeps it; installed ones come first, by name. Calling it again runs the lab's files anew.
    """
    loader = _Loader()
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        loader.add(point.name, _origin(point), point.load)
    if drivers_folder is not None and drivers_folder.is_dir():
        package = _lab_package(drivers_folder)
        for path in sorted(drivers_folder.glob("*.py")):
            if not path.name.startswith(("_", ".")):
                loader.add(path.stem, f"{drivers_folder.absolute().name}/{path.name}", _from_file(path, package))
    return loader.found()


def _origin(point: importlib.metadata.EntryPoint) -> str:
    dist = f"{point.dist.name} {point.dist.version}, " if point.dist is not None else ""
    return f"{dist}{point.value}"


class _Refused(Exception):
    """A plugin breaks a rule; the text says which."""


class _Loader:
    """Takes plugins one after another and keeps what is good of each."""

    def __init__(self) -> None:
        self._manager = hook_manager()
        self._drivers: dict[str, type[Driver[Any]]] = {}
        self._panels: dict[str, Panel] = {}
        self._driver_origins: dict[str, str] = {}
        self._panel_origins: dict[str, str] = {}
        self._loaded: list[LoadedPlugin] = []
        self._broken: list[BrokenPlugin] = []

    def found(self) -> Plugins:
        return Plugins(
            manager=self._manager,
            drivers=types.MappingProxyType(self._drivers),
            panels=types.MappingProxyType(self._panels),
            origins=types.MappingProxyType(self._driver_origins),
            loaded=tuple(self._loaded),
            broken=tuple(self._broken),
        )

    def add(self, name: str, origin: str, load: Callable[[], object]) -> None:
        try:
            plugin = load()
            if self._manager.is_registered(plugin):
                raise _Refused(f"It is the same module as plugin {self._manager.get_name(plugin)}.")
            drivers, panels = _ask(plugin)
            self._manager.register(plugin, f"{name} ({origin})")
        except _Refused as error:
            self._refuse(name, origin, str(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a script in drivers/ may well call sys.exit(), a test skip itself
            log.debug("plugin traceback name=%s", name, exc_info=True)
            self._refuse(name, origin, _sentence(error))
        else:
            before = set(self._drivers), set(self._panels)
            for driver in drivers:
                self._take_driver(name, origin, driver)
            for panel in panels:
                self._take_panel(name, origin, panel)
            self._loaded.append(
                LoadedPlugin(
                    name=name,
                    origin=origin,
                    drivers=[kind for kind in self._drivers if kind not in before[0]],
                    panels=[kind for kind in self._panels if kind not in before[1]],
                    hooks=sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ()),
                )
            )

    def _take_driver(self, name: str, origin: str, driver: Any) -> None:
        faults = faults_of(driver)
        if not faults and driver.kind in self._drivers:
            faults = [_twice("driver", driver.kind, self._driver_origins[driver.kind], origin)]
        if faults:
            self._refuse(name, origin, " ".join(faults))
        else:
            self._drivers[driver.kind] = driver
            self._driver_origins[driver.kind] = origin

    def _take_panel(self, name: str, origin: str, panel: Any) -> None:
        if not (isinstance(panel, Panel) and isinstance(panel.module, Path)):
            self._refuse(name, origin, f"labkit_panels returned {panel!r}. Return Panel(kind=..., module=Path(...)).")
        elif panel.kind in self._panels:
            self._refuse(name, origin, _twice("panel", panel.kind, self._panel_origins[panel.kind], origin))
        elif not (panel.module.is_absolute() and panel.module.suffix == ".js" and panel.module.is_file()):
            self._refuse(name, origin, f"The panel of '{panel.kind}' is not an absolute .js file: {panel.module}.")
        else:
            self._panels[panel.kind] = panel
            self._panel_origins[panel.kind] = origin

    def _refuse(self, name: str, origin: str, error: str) -> None:
        self._broken.append(BrokenPlugin(name=name, origin=origin, error=error))
        log.error("plugin broken name=%s origin=%r error=%r", name, origin, error)


def _twice(what: str, kind: str, first: str, second: str) -> str:
    return f"Two plugins bring a {what} of kind '{kind}': {first}, which keeps it, and {second}. Rename one."


def _ask(plugin: Any) -> tuple[list[object], list[object]]:
    """Check a plugin's hooks and call them on a manager of its own, so that a broken one leaves no mark."""
    probe = hook_manager()
    try:
        probe.register(plugin)
    except pluggy.PluginValidationError as error:
        raise _Refused(" ".join(str(error).split()) + ".") from None
    _check_hooks(probe, plugin)
    return _answers(probe.hook.labkit_drivers), _answers(probe.hook.labkit_panels)


def _check_hooks(probe: pluggy.PluginManager, plugin: Any) -> None:
    callers = probe.get_hookcallers(plugin) or []
    known = [name for name in vars(probe.hook) if name.startswith("labkit_") and getattr(probe.hook, name).has_spec()]
    used = {caller.name for caller in callers}
    for name in sorted(used - set(known)):
        meant = nearest(name, known)
        raise _Refused(f"It has an unknown hook {name}.{f' Did you mean {meant}?' if meant else ''}")
    for name in known:
        if name not in used and callable(getattr(plugin, name, None)):
            raise _Refused(f"Its function {name} is not marked. Write @hookimpl above it.")
    if not used:
        raise _Refused("It has no hook. Add labkit_drivers, marked @hookimpl, or let its file's name begin with '_'.")


def _answers(hook: pluggy.HookCaller) -> list[object]:
    """What a plugin's hook gives. pluggy leaves out the answer None, so a forgotten `return` shows as no answer."""
    if not hook.get_hookimpls():
        return []
    answers: Iterable[object] = hook()
    for answer in answers:
        if not isinstance(answer, Iterable) or isinstance(answer, (str, bytes)):
            raise _Refused(f"{hook.name} returned {answer!r}. Return a list.")
        return list(answer)
    raise _Refused(f"{hook.name} returned nothing. Return a list.")


def load_file(path: str | Path) -> types.ModuleType:
    """Load one file as if it lay in a lab's `drivers/`. Errors: the file's own."""
    path = Path(path)
    return _from_file(path, _lab_package(path.parent))()


def _lab_package(folder: Path) -> str:
    """Make the folder a package under a name of its own, so that its files can say `from ._protocol import Frame`."""
    name = f"labkit_lab_{zlib.crc32(str(folder.absolute()).encode()):08x}"
    for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
        del sys.modules[loaded]
    package = types.ModuleType(name, f"The lab's own drivers in {folder}.")
    package.__path__ = [str(folder.absolute())]
    sys.modules[name] = package
    return name


def _from_file(path: Path, package: str) -> Callable[[], types.ModuleType]:
    def load() -> types.ModuleType:
        name = f"{package}.{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise _Refused(f"{path} can't be loaded as Python.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    return load


def _sentence(error: BaseException) -> str:
    """An author's exception on one line, with the place where it was raised."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError) or not frames or frames[-1].filename == __file__:
        return f"{text}."
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})."
