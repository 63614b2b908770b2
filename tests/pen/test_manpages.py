"""pen(1) and penctl(1) tell of every option and command there is, and of no others."""

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import pen.penctl
from pen.cli import OBSOLETE, make_command
from pen.control.commands import make_registry
from pen.control.commands.servers import ATTRIBUTES
from pen.core.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "man").glob("*.1"))
EXECUTABLES = {"pen": make_command(), "penctl": pen.penctl.command}
OPTIONS = [
    (name, option, param.hidden)
    for name, command in EXECUTABLES.items()
    for param in command.get_params(click.Context(command))
    if isinstance(param, click.Option)
    for option in param.opts
    if option.startswith("-")
]
COMMANDS = list(make_registry())
DEFAULTS = {each.name: each.default for each in fields(Settings)}


def page(name):
    return (ROOT / "man" / f"{name}.1").read_text()


def section(name, title):
    """The lines of a page's section."""
    return re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page(name), re.M | re.S)[1]


def items(text):
    """(depth of the list, head, body) of each tagged item, the body without inner items."""
    found, depth = [], 0
    for line in text.splitlines():
        if line.startswith((".Bl", ".El")):
            depth += 1 if line.startswith(".Bl") else -1
        elif line.startswith(".It"):
            found.append((depth, line.removeprefix(".It").strip(), []))
        elif found and depth:
            found[-1][2].append(line)
    assert depth == 0
    return [(depth, head, "\n".join(body)) for depth, head, body in found]


def option_items(name):
    """Option -> body of the item whose head names it."""
    return {
        f"-{option}": body
        for _, head, body in items(page(name))
        if head.startswith("Fl ")
        for option in re.findall(r"(?:Fl|,) (?!Fl )(-?[\w-]+)", head)
    }


def command_items():
    """Words of a command -> (head, body) of its item."""
    return {
        re.match(r"Cm (.*?)(?= (?:Ar|Op|Cm) |$)", part)[1]: (part, body)
        for depth, head, body in items(section("penctl", "COMMANDS"))
        if depth == 1
        for part in head.split(" , ")
    }


def help_of(name):
    result = CliRunner().invoke(EXECUTABLES[name], ["--help"], prog_name=name)
    assert result.exit_code == 0
    return result.output


def spoken(text):
    """Text as it reads, macros and line ends gone."""
    return " ".join(re.sub(r"^\.[A-Z][a-z]+ ", "", text, flags=re.M).split())


@pytest.mark.parametrize(("name", "option", "hidden"), OPTIONS)
def test_option_is_in_its_page_and_help(name, option, hidden):
    assert option in option_items(name)
    shown = re.search(rf"^  (?:-\w, )?{re.escape(option)}\b", help_of(name), re.M)
    assert bool(shown) is not hidden


@pytest.mark.parametrize("name", EXECUTABLES)
def test_page_has_no_option_that_does_not_exist(name):
    declared = {option for owner, option, _ in OPTIONS if owner == name}
    assert set(option_items(name)) == declared


def test_synopsis_shows_every_letter():
    synopsis = section("pen", "SYNOPSIS")
    flags = re.search(r"^\.Op Fl (\w+)$", synopsis, re.M)[1]
    valued = re.findall(r"^\.Op Fl (\w) Ar ", synopsis, re.M)
    obsolete = {letter for letter, _, _ in OBSOLETE}
    letters = {
        option[1]: not (param.is_flag or param.count)
        for param in EXECUTABLES["pen"].params
        if isinstance(param, click.Option)
        for option in param.opts
        if re.fullmatch(r"-\w", option) and option[1] not in obsolete
    }
    assert set(flags) == {letter for letter, takes_value in letters.items() if not takes_value}
    assert set(valued) == {letter for letter, takes_value in letters.items() if takes_value}


def test_help_names_all_options_that_are_not_obsolete():
    obsolete = {f"-{letter}" for letter, _, _ in OBSOLETE}
    assert {option for name, option, hidden in OPTIONS if name == "pen" and hidden} == obsolete


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("--blacklist", "blacklist"),
        ("--clients-max", "clients_max"),
        ("--multi-accept", "multi_accept"),
        ("--backlog", "backlog"),
        ("--tracking", "tracking"),
        ("--timeout", "timeout"),
        ("--conn-max", "conn_max"),
    ],
)
def test_option_tells_its_default(option, setting):
    told = spoken(option_items("pen")[option])
    assert re.search(rf"\bdefault (?:is )?{DEFAULTS[setting]}\b", told)
    assert re.search(rf"{option} \w+.*?\[{DEFAULTS[setting]}\]", help_of("pen"), re.S)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.words)
def test_command_is_in_the_page_and_help(command):
    head, body = command_items()[command.words]
    assert body.strip() or command.obsolete
    takes = head.removeprefix(f"Cm {command.words}").strip()
    assert bool(takes) is bool(command.arguments)
    assert ("Op " in takes) is any(argument.optional for argument in command.arguments)
    if not command.obsolete:
        assert re.search(rf"^    {re.escape(command.words)}( |$)", help_of("penctl"), re.M)


def test_page_has_no_command_that_does_not_exist():
    assert set(command_items()) == {command.words for command in COMMANDS}


def test_help_has_no_command_that_does_not_exist():
    shown = re.findall(r"^    (\S.*)$", help_of("penctl").partition("Commands:")[2], re.M)
    assert len(shown) == sum(not command.obsolete for command in COMMANDS)


def test_page_has_the_attributes_of_a_server():
    inner = [head for depth, head, _ in items(section("penctl", "COMMANDS")) if depth == 2]
    assert {head.split()[1] for head in inner} == set(ATTRIBUTES)


@pytest.mark.parametrize(
    "words",
    ["blacklist", "timeout", "tracking", "clients_max", "conn_max", "pending_max", "idle_timeout"],
)
def test_command_tells_its_default(words):
    told = spoken(command_items()[words][1])
    value = DEFAULTS[words]
    assert re.search(rf"\b{value} by default\b|\b{value}, the default\b", told)


def test_every_executable_has_a_page():
    with (ROOT / "pyproject.toml").open("rb") as file:
        scripts = tomllib.load(file)["project"]["scripts"]
    assert {path.stem for path in PAGES} == set(scripts)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_mandoc_finds_no_fault(path):
    command = ["mandoc", "-Tlint", "-Wwarning", path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.stdout + result.stderr, result.returncode) == ("", 0)
