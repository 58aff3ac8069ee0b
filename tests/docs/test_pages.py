"""Every page of the documentation holds what can be checked of it: links, settings, commands, tables of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from labkit.cli import main
from labkit.devices.declaration import BenchOptions
from labkit.plugin import DriverOptions
from labkit.settings import SETTINGS
from labkit.store.keys import FAMILIES
from labkit.store.sessions import EndReason, SessionState
from tests.docs.markdown import blocks_of, commands_in, links_of, rows_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETTING = re.compile(r"\b(?:WEBLAB|LABKIT)_[A-Z_]+\b")
OF_THE_PROGRAM = {
    "LABKIT_APP",
    "LABKIT_DEMO",
    "WEBLAB_",
    "LABKIT_",
}  # environment variables that are no settings, and the prefixes


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def section(page: str, head: str) -> str:
    """What stands under a `## ` head."""
    _, _, rest = (ROOT / page).read_text("utf-8").partition(f"\n## {head}\n")
    assert rest, f"{page} has no section {head}"
    return rest.partition("\n## ")[0]


def first_cells(page: str, head: str) -> list[str]:
    """The first column of a section's table, without its head and the marks of code."""
    return [row[0].strip("`") for row in rows_of(section(page, head))][1:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    inner = [link for link in links_of(page) if "://" not in link]
    missing = [link for link in inner if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    named = set(SETTING.findall(page.read_text("utf-8")))
    assert named - {setting.name for setting in SETTINGS} - OF_THE_PROGRAM == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_labkit_commands_that_a_page_shows_exist_with_their_options(page: Path) -> None:
    for words in commands_in(page):
        at = [
            index
            for index, word in enumerate(words)
            if (index == 0 and word == "labkit") or word.endswith("/bin/labkit")
        ]
        if at:
            parse(words[at[0] + 1 :])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_that_a_page_shows_exist(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {words[1] for words in commands_in(page) if words[0] == "make"}
    assert shown <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_and_toml_blocks_are_whole(page: Path) -> None:
    for block in blocks_of(page):
        if block.language == "python":
            compile(block.text, f"{page}: {block.file}", "exec")
        if block.language == "toml":
            tomllib.loads(block.text)


def test_architecture_names_every_key_of_the_store_and_what_it_holds() -> None:
    rows = [[row[0].strip("`"), row[1]] for row in rows_of(section("docs/architecture.md", "The store"))]
    assert rows[1:] == [[name, text] for name, text in FAMILIES]


def test_architecture_names_every_floor() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = [contract["layers"] for contract in contracts if contract["id"] == "floors"]
    wanted = [sorted(re.findall(r"\w+", floor)) for floor in floors]
    written = [sorted(re.findall(r"\w+", cell)) for cell in first_cells("docs/architecture.md", "The tree")]
    assert written == wanted


def test_architecture_says_of_every_file_of_the_loop_what_is_there() -> None:
    shown = set(re.findall(r"`loop/(\w+\.py)` *[|,]", section("docs/architecture.md", "The loop")))
    assert shown | {"__init__.py"} == {path.name for path in (ROOT / "labkit" / "loop").glob("*.py")}


def test_readme_spells_rlms_out_at_its_first_use() -> None:
    text = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert text.partition("RLMS")[0].endswith("remote-laboratory management system (")


def test_architecture_says_of_every_dependency_why_it_is_there() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\s<>=;\[]", line)[0] for line in dependencies}
    rows = rows_of(section("docs/architecture.md", "Dependencies"))[1:]
    assert [row[0] for row in rows] == sorted(names, key=str.lower)
    assert [row for row in rows if not row[1]] == []


def test_architecture_names_every_state_and_reason_of_a_session() -> None:
    words = section("docs/architecture.md", "Words")
    states = {state.value for state in SessionState} - {"unknown", "over"}
    assert [word for word in [*states, *(reason.value for reason in EndReason)] if f"`{word}`" not in words] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/tutorial.md"])
def test_files_of_the_code_that_a_page_names_exist(page: str) -> None:
    named = set(re.findall(r"`([\w./]+\.(?:py|lua|toml))`", (ROOT / page).read_text("utf-8")))
    places = [ROOT, ROOT / "labkit", ROOT / "labkit" / "store" / "lua", ROOT / "docs" / "examples" / "first-lab"]
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_declarations_page_has_every_key_of_a_bench() -> None:
    rows = rows_of(section("docs/reference/declarations.md", "The table `[bench]`"))[1:]
    keys = {row[0].strip("`"): row[2] for row in rows}
    assert keys == {name: field.description for name, field in BenchOptions.model_fields.items()}


def test_declarations_page_has_every_key_that_all_devices_have() -> None:
    rows = rows_of(section("docs/reference/declarations.md", "Keys that every device has"))[1:]
    keys = {row[0].strip("`"): row[2] for row in rows}
    assert keys.pop("driver")
    assert keys == {name: field.description for name, field in DriverOptions.model_fields.items()}


def parse(words: list[str]) -> None:
    """Let click read a command line without running it. Errors: click's, for what the program does not know."""
    command: click.Command = main
    context = click.Context(command, info_name="labkit")
    _, rest, _ = command.make_parser(context).parse_args(list(words))
    while isinstance(command, click.Group) and rest:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
        _, rest, _ = command.make_parser(context).parse_args(list(rest))


def test_files_of_labkit_that_any_page_names_exist() -> None:
    """A lab's own files, which most pages name, have other names."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    named = set(re.findall(r"`(labkit(?:_plugins)?/(?!static/)[\w./-]+)`", text))  # that is an address of a page
    assert len(named) >= 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
