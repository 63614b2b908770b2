import subprocess
import sys
from pathlib import Path

import pytest

from bench import measure
from bench.processes import StartError, running

SUMMARY = """\
    calls syscall
--------- ----------------
       12 epoll_wait
        7 sendto
--------- ----------------
       19 total
"""


def test_strace_summary_is_counted_by_name():
    assert measure.parse_strace(SUMMARY) == {"epoll_wait": 12, "sendto": 7}


def test_empty_summary_counts_nothing():
    assert not measure.parse_strace("")


def test_cpu_is_that_of_the_process_itself():
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True); input()"
    command = [sys.executable, "-c", burn]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as burner:
        burner.stdout.readline()
        used = measure.tree_cpu_ns(burner.pid)
        burner.communicate(b"\n")
    assert 0.2e9 <= used < 1e9


def test_tree_has_grandchildren_and_all_are_gone_after_the_block(tmp_path):
    with running(["sh", "-c", "sh -c 'sleep 60; :'; :"], tmp_path / "log") as shell:
        while len(tree := measure.process_tree(shell.pid)) < 3:
            assert shell.process.poll() is None
        assert measure.tree_pss_kib(shell.pid) > 0
    for pid in tree:
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_a_server_that_ends_says_why(tmp_path):
    command = ["sh", "-c", "echo no such port >&2; exit 3"]
    with (
        running(command, tmp_path / "log") as shell,
        pytest.raises(StartError, match="ended with status 3: no such port"),
    ):
        shell.wait_until_listening("127.0.0.1", 1)


def test_a_missing_program_is_named(tmp_path):
    command = [str(tmp_path / "nothing")]
    with pytest.raises(StartError, match="nothing: No such file"), running(command, tmp_path / "l"):
        pass
