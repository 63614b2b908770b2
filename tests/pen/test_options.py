"""Options as getopt programs take them: combined, in any order, by letters and by long names.

What each combination set is read from what `write` says of the running pen.
"""

import os
import signal
import subprocess

import click
import pytest

from pen.cli import OBSOLETE, SETTING_OPTIONS, make_command
from tests.pen.conftest import BIN, DEADLINE, echo, naming, until
from tests.ports import free_port

C_PEN = "/usr/bin/pen"


@pytest.fixture
def server(backend) -> str:
    return f"127.0.0.1:{backend(naming(b'a')).port}"


def saved(running, tmp_path) -> list[str]:
    """The settings of a running pen as commands."""
    path = tmp_path / "saved"
    assert running.ctl(f"write {path}") == ""
    return path.read_text().splitlines()[2:]


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=DEADLINE)


SAME = [
    ("-rW", "-r -W", "--round-robin --by-weight"),
    ("-hsP", "-P -s -h", "--hash --stubborn --poll"),
    ("-b9 -c3000", "-b 9 -c 3000", "--blacklist=9 --clients-max 3000"),
    ("-rb9", "-r -b 9", "--round-robin --blacklist 9"),
    ("-t5 -T60 -x9", "-x 9 -T 60 -t 5", "--timeout 5 --tracking 60 --conn-max 9"),
    ("-m7 -q99 -a", "-a -q 99 -m 7", "--multi-accept 7 --backlog 99 --ascii"),
    ("-dd", "-d -d", "--debug --debug"),
    ("-N", "-o hash\\ unsaved", "--hash-unsaved"),
    ("-wpage -llog", "-w page -l log", "--web-stats page --log log"),
    ("-e127.0.0.1:9", "-e 127.0.0.1:9", "--emergency 127.0.0.1:9"),
    ("-B 127.0.0.1:9", "-B127.0.0.1:9", "--abuse=127.0.0.1:9"),
    ("-otimeout\\ 9", "-O timeout\\ 9", "--command timeout\\ 9 --option timeout\\ 9"),
]


def words(line: str) -> list[str]:
    return [word.replace("\\", " ") for word in line.replace("\\ ", "\\").split()]


@pytest.mark.parametrize("forms", SAME, ids=lambda forms: forms[0])
def test_forms_that_mean_the_same(pen, server, tmp_path, forms):
    def here() -> None:
        os.chdir(tmp_path)

    states = [saved(pen(*words(form), server, preexec=here), tmp_path) for form in forms]
    ours = [line for line in states[0] if not line.startswith("listen ")]
    for state in states[1:]:
        assert [line for line in state if not line.startswith("listen ")] == ours
    plain = saved(pen(server), tmp_path)
    assert ours != [line for line in plain if not line.startswith("listen ")]


def test_options_after_addresses(tmp_path, backend):
    """As getopt permutes: `pen 10000 -F file`, `pen -f 10000 host -r`."""
    config, page, pid = tmp_path / "config", tmp_path / "page", tmp_path / "pid"
    port = backend(echo).port
    config.write_text(f"server 0 address 127.0.0.1 port {port}\ntimeout 9\nweb_stats {page}\n")
    after = "{listen} -F {config} -f -p {pid}"
    around = "-f {listen} 127.0.0.1:{port} -rF {config} -p{pid}"
    for places in (after, around):
        line = places.format(listen=f"127.0.0.1:{free_port()}", config=config, port=port, pid=pid)
        process = subprocess.Popen([BIN / "pen", *line.split()], stderr=subprocess.DEVNULL)
        try:
            until(lambda: pid.exists() and pid.read_text(), "pen has started")
            process.send_signal(signal.SIGUSR1)
            until(page.exists, "the config file was read")
        finally:
            process.terminate()
        assert process.wait(DEADLINE) == 0
        assert not pid.exists()
        page.unlink()


ENDINGS = [
    "-f -- {listen} -r", "-f {listen} -- -r", "-f {listen} nosuch.invalid -z", "-f --foo {listen}",
    "-fz {listen} 127.0.0.1", "-f {listen} 127.0.0.1 -b",
]  # fmt: skip


@pytest.mark.parametrize("line", ENDINGS)
def test_what_cs_getopt_refuses_or_takes_as_a_host_we_do_too(line):
    """C says so and ends with 0 or serves nobody; we end with 1 or 2."""
    arguments = line.format(listen=f"127.0.0.1:{free_port()}").split()
    ended = run(BIN / "pen", *arguments)
    named = arguments[-1] if "--" in arguments else arguments
    assert ended.returncode == (1 if "--" in arguments else 2)
    assert ended.stderr.count("\n") == 1
    assert any(word.lstrip("-f") in ended.stderr for word in named)
    theirs = run(C_PEN, *arguments)
    told = theirs.stdout + theirs.stderr
    assert ("-r" in told) if "--" in arguments else ("option" in told)


@pytest.mark.parametrize(("asked", "got"), [("1", "50"), ("49", "50"), ("50", "50"), ("51", "51")])
def test_the_backlog_is_at_least_50(pen, server, asked, got):
    assert pen("-q", asked, server).ctl("backlog") == f"{got}\n"


def test_every_letter_has_a_long_name_and_no_name_is_given_twice():
    options = [each for each in make_command().params if isinstance(each, click.Option)]
    names = [name for each in options for name in each.opts]
    assert len(names) == len(set(names))
    obsolete = {f"-{letter}" for letter, _, _ in OBSOLETE}
    for each in options:
        if each.opts[0] not in obsolete:
            assert any(name.startswith("--") for name in each.opts), each.opts
    assert all(option.command or option.setting for option in SETTING_OPTIONS)


def test_the_i_of_windows_is_unknown():
    ended = run(BIN / "pen", "-i", "x")
    assert (ended.returncode, "-i" in ended.stderr) == (2, True)


def test_obsolete_options_change_nothing(pen, server):
    running = pen("-QDnS9", server)
    assert running.ask() == b"a"
    for letter in "QDnS":
        assert f"pen: -{letter}" in running.stderr


def test_options_take_effect_from_left_to_right(pen, server):
    running = pen("-t5", "-o", "timeout 6", "-t", "7", "-b", "1", "-O", "blacklist 2", server)
    assert (running.ctl("timeout"), running.ctl("blacklist")) == ("7\n", "2\n")


def test_special_servers_by_command(pen, backend, server):
    """The same as -e and -B, while pen runs; who is open stays where it was."""
    other = backend(naming(b"other")).port
    running = pen(server)
    assert running.ctl(f"emergency 127.0.0.1:{other}") == f"127.0.0.1:{other}\n"
    running.ctl("server 0 blacklist 600")
    assert running.ask() == b"other"
    running.ctl("server 0 blacklist 0")
    assert running.ctl(f"abuse 127.0.0.1:{other}") == f"127.0.0.1:{other}\n"
    running.ctl("acl 1 deny 127.0.0.0/8")
    running.ctl("client_acl 1")
    assert running.ask("127.0.0.9") == b"other"
    assert running.ctl("no abuse") == ""
    assert running.ctl("abuse") == "\n"
    assert "needs a port" in running.ctl("abuse 127.0.0.1:0")
