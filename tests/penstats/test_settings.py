"""The variables: every right form is read, every wrong one is one message that names it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstats.errors import NoPageError
from penstats.settings import VARIABLES, Control, Files, load, parse_control


@pytest.fixture
def environment(tmp_path):
    """An environment whose settings file is empty, so that this machine's own is not read."""
    conf = tmp_path / "penstats.conf"
    conf.write_text("")
    return {"PENSTATS_CONF": str(conf)}


@pytest.fixture
def conf(environment, tmp_path):
    def write(text):
        (tmp_path / "penstats.conf").write_bytes(text if isinstance(text, bytes) else text.encode())
        return environment

    return write


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ("8888", Control("127.0.0.1", 8888)),
        ("lb:8888", Control("lb", 8888)),
        ("[::1]:8888", Control("::1", 8888)),
        ("::1:8888", Control("::1", 8888)),
        ("/run/pen/control", Control(path="/run/pen/control")),
        ("/run/a:b", Control(path="/run/a:b")),
    ],
)
def test_control_address(text, control):
    assert parse_control(text) == control


@pytest.mark.parametrize("control", [Control("::1", 1), Control("lb", 2), Control(path="/a")])
def test_control_address_round_trip(control):
    assert parse_control(str(control)) == control


@pytest.mark.parametrize("text", ["0", "65536", "lb", "lb:", ":80", "[]:80", "lb:http", "-1", "٣"])
def test_wrong_control_address(text):
    with pytest.raises(NoPageError, match="PENSTATS_CONTROL") as error:
        parse_control(text)
    assert error.value.status == 500


def test_environment(environment):
    settings = load(environment | {"PENSTATS_CONTROL": "8888", "PENSTATS_TIMEOUT": "1.5"})
    assert settings == (Control("127.0.0.1", 8888), 1.5)


def test_file(conf):
    text = "# pen's\n\nPENSTATS_PIDFILE = /run/pen.pid\nPENSTATS_WEBFILE=/run/a=b.html\n"
    assert load(conf(text)) == (Files("/run/pen.pid", "/run/a=b.html"), 5.0)


def test_environment_goes_before_the_file(conf):
    environment = conf("PENSTATS_TIMEOUT=1\nPENSTATS_CONTROL=1\n")
    assert load(environment | {"PENSTATS_TIMEOUT": "2"}) == (Control("127.0.0.1", 1), 2.0)
    files = {"PENSTATS_PIDFILE": "/p", "PENSTATS_WEBFILE": "/w"}
    assert load(environment | files) == (Files("/p", "/w"), 1.0)


def test_empty_is_not_set(conf):
    environment = conf("PENSTATS_PIDFILE=\nPENSTATS_CONTROL=7\n")
    assert load(environment | {"PENSTATS_WEBFILE": ""}).way == Control("127.0.0.1", 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not told where pen is"),
        ("PENSTATS_CONTROL 8888", "penstats.conf:1: a line is NAME=VALUE"),
        ("\n# x\nPENSTATS_PORT=1\n", "penstats.conf:3: unknown name 'PENSTATS_PORT'"),
        ("PENSTATS_CONF=/etc/x\n", "penstats.conf:1: unknown name"),
        ("PENSTATS_CONTROL=1\nPENSTATS_CONTROL=1\n", "penstats.conf:2: .* second time"),
        ("PENSTATS_CONTROL=1\nPENSTATS_PIDFILE=/p\n", "CONTROL and PENSTATS_PIDFILE are both"),
        ("PENSTATS_PIDFILE=/p\n", "PENSTATS_PIDFILE is set, but PENSTATS_WEBFILE is not"),
        ("PENSTATS_WEBFILE=/w\n", "PENSTATS_WEBFILE is set, but PENSTATS_PIDFILE is not"),
        ("PENSTATS_PIDFILE=p\nPENSTATS_WEBFILE=/w\n", "PENSTATS_PIDFILE: 'p' is not an absolute"),
        ("PENSTATS_CONTROL=1\nPENSTATS_TIMEOUT=0\n", "PENSTATS_TIMEOUT: '0'"),
        ("PENSTATS_CONTROL=1\nPENSTATS_TIMEOUT=61\n", "PENSTATS_TIMEOUT: '61'"),
        ("PENSTATS_CONTROL=1\nPENSTATS_TIMEOUT=nan\n", "PENSTATS_TIMEOUT: 'nan'"),
        (b"PENSTATS_CONTROL=\xff\n", "not UTF-8"),
    ],
)
def test_wrong_settings(conf, text, message):
    with pytest.raises(NoPageError, match=message) as error:
        load(conf(text))
    assert error.value.status == 500


def test_named_file_must_exist(tmp_path):
    with pytest.raises(NoPageError, match="gone: no such file"):
        load({"PENSTATS_CONF": str(tmp_path / "gone"), "PENSTATS_CONTROL": "1"})


def test_file_that_is_a_folder(tmp_path):
    with pytest.raises(NoPageError, match="cannot be read"):
        load({"PENSTATS_CONF": str(tmp_path)})


NAMES = sorted(set(VARIABLES) - {"PENSTATS_CONF"})
VALUES = st.text() | st.sampled_from(["8888", "lb:1", "/run/x", "1.5", "60"])


def outcome(environment):
    """The settings, or the one declared error."""
    try:
        return load(environment)
    except NoPageError as error:
        return error


@given(values=st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1))
def test_any_values_are_accepted_or_the_one_error(tmp_path_factory, values):
    conf = tmp_path_factory.getbasetemp() / "empty.conf"
    conf.touch()
    result = outcome(values | {"PENSTATS_CONF": str(conf)})
    if isinstance(result, NoPageError):
        assert result.status == 500
        assert result.problem.isprintable()
    else:
        assert 0 < result.timeout <= 60


@given(text=st.binary(max_size=300))
def test_any_file_is_accepted_or_the_one_error(tmp_path_factory, text):
    conf = tmp_path_factory.getbasetemp() / "any.conf"
    conf.write_bytes(text)
    with pytest.raises(NoPageError, match=r"any\.conf|not told|PENSTATS_"):
        load({"PENSTATS_CONF": str(conf)})
