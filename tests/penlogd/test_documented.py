"""Every option of the log tools is in its --help and in its man page."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import penlog.cli
import penlogd.cli
import penlogd.mergelogs

MAN = Path(__file__).parents[2] / "man"
TOOLS = {
    "penlog": penlog.cli.main,
    "penlogd": penlogd.cli.main,
    "mergelogs": penlogd.mergelogs.main,
}
OPTIONS = [
    (name, option)
    for name, command in TOOLS.items()
    for param in command.get_params(click.Context(command))
    if isinstance(param, click.Option)
    for option in param.opts
]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_option_is_documented(name, option):
    page = (MAN / f"{name}.1").read_text()
    tagged = " ".join(re.findall(r"^\.It Fl (.*)$", page, re.MULTILINE)).replace(",", " ")
    assert option.removeprefix("-") in re.findall(r"-?[\w-]+", tagged)
    shown = CliRunner().invoke(TOOLS[name], ["--help"]).output
    assert re.search(rf"^ .*{re.escape(option)}\b", shown, re.MULTILINE)


@pytest.mark.parametrize("name", TOOLS)
def test_version_and_help_exit_0(name):
    for option in ("--version", "--help"):
        result = CliRunner().invoke(TOOLS[name], [option])
        assert result.exit_code == 0
        assert name in result.output or "Usage:" in result.output
