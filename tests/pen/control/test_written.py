"""Whatever state commands can reach, what `write` writes of it brings it back."""

from dataclasses import fields
from enum import Enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pen.control.commands import make_registry
from pen.control.configfile import read_config, write_config
from pen.control.ports import control_address
from pen.core.settings import Settings, SslOption
from tests.doubles import FakePen, memory
from tests.pen.control.grammar import lines

REGISTRY = make_registry()
OTHERWISE = {"include", "write", "exit", "pid", "status"}
"""Commands that have nothing to do with the state."""
COMMANDS = [command for command in REGISTRY if command.words not in OTHERWISE]
UNWRITTEN = {"exit_enabled", "config_file"}
"""What belongs to the command line and has no command; penctl(1), `write`, says so."""
UNLIKE = {
    "poller": "poll",
    "source": "127.0.0.1",
    "control_readonly": control_address("/run/ask", 0o640, None),
    "ssl_options": frozenset({SslOption.NO_TICKET}),
}
"""Values other than the default, where one of the same type will not do."""

PART_OF = {"hash_consistent": "hash", "hash_unsaved": "hash"}
"""Settings that count only while another is on."""


def written_and_read(pen: FakePen, folder) -> FakePen:
    again, path = FakePen(), str(folder / "saved")
    write_config(REGISTRY, pen, path)
    read_config(REGISTRY, again, path)
    return again


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@settings(max_examples=300, deadline=None)
@given(typed=st.lists(lines(COMMANDS), max_size=25))
def test_any_state_that_commands_reach_is_brought_back(folder, typed):
    pen = FakePen()
    for line in typed:
        REGISTRY.answer(pen, line)
    again = written_and_read(pen, folder)
    assert memory(again, REGISTRY) == memory(pen, REGISTRY)


def other_than(field):
    """Another value of a setting than its default."""
    value = field.default
    if field.name in UNLIKE:
        return UNLIKE[field.name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, Enum):
        return next(each for each in type(value) if each is not value)
    if "int" in str(field.type):
        return (value or 0) + 1
    return "127.0.0.1:99"


@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_setting_is_written(folder, field):
    pen, name, value = FakePen(), field.name, other_than(field)
    setattr(pen.state.settings, name, value)
    if name in PART_OF:
        setattr(pen.state.settings, PART_OF[name], True)
    again = written_and_read(pen, folder)
    assert (getattr(again.state.settings, name) == value) is (name not in UNWRITTEN)
