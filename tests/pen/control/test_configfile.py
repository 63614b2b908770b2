"""Config files: whole or not at all, read again, and written so that they read back the same."""

import os

import pytest

from pen.control.commands import make_registry
from pen.control.configfile import read_config, write_config
from pen.core.errors import CommandError
from tests.doubles import FakePen, memory


@pytest.fixture
def registry():
    return make_registry()


def entries(pen, number: int) -> list[str]:
    return [str(entry) for entry in pen.state.acls[number].entries]


def write(path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_comments_blank_lines_and_carriage_returns(registry, tmp_path):
    pen = FakePen()
    path = tmp_path / "conf"
    path.write_bytes(b"\n# one\n   #two\n#\n\ttimeout\t7  # seven\r\n\r\n  no hash\nblacklist 9")
    assert read_config(registry, pen, str(path)) == "7\n9\n"
    assert (pen.state.settings.timeout, pen.state.settings.blacklist) == (7, 9)


@pytest.mark.parametrize(
    "mistake",
    ["bogus", "timeout x", "server 0 port", "acl 0 permit 1.2.3", "include /nowhere", "\x00",
     "server 1 address nosuchhost.invalid", "timeout \xff", "x" * 70_000],
)  # fmt: skip
def test_a_mistake_names_its_line_and_changes_nothing(registry, tmp_path, mistake):
    pen = FakePen()
    registry.answer(pen, "acl 2 permit 10.0.0.1")
    before = memory(pen, registry)
    lines = ["timeout 9", "acl 2 deny 10.0.0.2", "server 3 address 127.0.0.1 port 3", "", mistake]
    path = write(tmp_path / "conf", *lines)
    with pytest.raises(CommandError, match=f"{path}:5: .+"):
        read_config(registry, pen, path)
    assert memory(pen, registry) == before


def test_a_mistake_in_an_included_file_names_both(registry, tmp_path):
    pen = FakePen()
    inner = write(tmp_path / "inner", "timeout 9", "bogus")
    outer = write(tmp_path / "outer", "blacklist 4", f"include {inner}")
    before = memory(pen, registry)
    with pytest.raises(CommandError, match=f"{outer}:2: {inner}:2: 'bogus'"):
        read_config(registry, pen, outer)
    assert memory(pen, registry) == before


def test_a_circle_of_files_ends(registry, tmp_path):
    pen = FakePen()
    path = tmp_path / "circle"
    write(path, "timeout 9", f"include {path}")
    with pytest.raises(CommandError, match="include each other"):
        read_config(registry, pen, str(path))
    assert pen.state.settings.timeout == 3


def test_a_file_is_read_once(registry, tmp_path):
    """What is run is what the names were looked up for; from a pipe there is no second time."""
    pen, path, replies = FakePen(), tmp_path / "pipe", []
    os.mkfifo(path)
    pen.running = True
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"timeout 9\n")
    registry.answer_to(replies.append, pen, f"include {path}", "nobody", questions_only=False)
    os.close(writer)
    assert replies == [""]
    assert pen.state.settings.timeout == 9


def test_a_running_pen_waits_for_no_pipe(registry, tmp_path):
    pen, path = FakePen(), tmp_path / "pipe"
    os.mkfifo(path)
    pen.running = True
    assert registry.answer(pen, f"include {path}") == ""
    writer = os.open(path, os.O_RDWR)
    assert "is a pipe with nothing in it yet" in registry.answer(pen, f"include {path}")
    os.write(writer, b"timeout 9\n")
    os.close(writer)


def test_reading_again_replaces_lists_that_the_file_names(registry, tmp_path):
    pen = FakePen()
    registry.answer(pen, "acl 1 deny 9.9.9.9")
    registry.answer(pen, "acl 2 deny 9.9.9.9")
    path = write(tmp_path / "conf", "acl 1 permit 1.1.1.1", "acl 1 permit 2.2.2.2")
    for _ in range(3):
        read_config(registry, pen, path)
    assert [entry.split()[1] for entry in entries(pen, 1)] == ["1.1.1.1", "2.2.2.2"]
    assert len(entries(pen, 2)) == 1


def test_included_files_are_parts_of_the_file(registry, tmp_path):
    pen = FakePen()
    inner = write(tmp_path / "inner", "acl 1 permit 2.2.2.2", "acl 2 permit 4.4.4.4")
    outer = write(
        tmp_path / "outer", "acl 1 permit 1.1.1.1", f"include {inner}", "acl 1 permit 3.3.3.3"
    )
    for _ in range(2):
        read_config(registry, pen, outer)
    assert [entry.split()[1] for entry in entries(pen, 1)] == ["1.1.1.1", "2.2.2.2", "3.3.3.3"]
    assert len(entries(pen, 2)) == 1


SETTINGS = [
    "acl 3 permit country se", "geoip_db /usr/share/GeoIP/GeoLite2-Country.mmdb",
    "acl 0 permit 10.0.0.0 255.0.255.0", "acl 0 deny 192.168.7.0/24", "acl 9 deny 2001:db8::/33",
    "ascii", "blacklist 77", "client_acl 3", "clients_max 17", "conn_max 9", "control_acl 4",
    "source 127.0.0.9", "source ::1", "peek", "dummy", "grace 30", "idlers 4",
    "debug 2", "hash", "hash unsaved", "hash consistent", "hash consistent unsaved",
    "idle_timeout 60", "keepalive", "listen 127.0.0.1:8080", "log /var/log/pen",
    "pending_max 7", "poll", "prio", "roundrobin", "stubborn", "tcp_fastclose both",
    "tcp_nodelay", "timeout 8", "tracking 99", "web_stats /tmp/page.html", "weight",
    "abort_on_error", "control_readonly /run/pen/ask 660 0",
    'control_readonly "/run/my pen"', "control_readonly 127.0.0.1:0",
    "server 0 address 127.0.0.5 port 80 max 3 hard 4 weight 5 prio 6 acl 7",
    "server 2 address ::1 port 8081 blacklist 500",
    "server 1 address 127.0.0.6 port 81 state drain",
    'listen "/run/my pen"', 'log "/var/log/#my \\"pen\\".log"', 'web_stats "#page"',
]  # fmt: skip


@pytest.mark.parametrize("lines", [SETTINGS, *[[line] for line in SETTINGS], []])
def test_what_is_written_reads_back_the_same(registry, tmp_path, lines):
    pen, again, path = FakePen(), FakePen(), str(tmp_path / "saved")
    for line in lines:
        assert not registry.answer(pen, line).startswith("error"), line
    write_config(registry, pen, path)
    read_config(registry, again, path)
    assert memory(again, registry) == memory(pen, registry)


def test_writing_fails_whole(registry, tmp_path):
    pen = FakePen()
    for target in ("/nowhere/file", "/dev/null", str(tmp_path)):
        with pytest.raises(CommandError):
            write_config(registry, pen, target)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CommandError, match="needs a file name"):
        write_config(registry, pen, None)


def test_once_pen_runs_tables_do_not_shrink(registry):
    pen = FakePen()
    assert registry.answer(pen, "conn_max 100") == "100\n"
    pen.running = True
    assert registry.answer(pen, "conn_max 50") == "100\n"
    assert registry.answer(pen, "conn_max 150") == "150\n"
