"""Nothing is lost on the way when programs are killed: penlogd, penlog, both, again and again."""

import os
import select
import signal
from pathlib import Path

from tests.real.logsite import lines, ready
from tests.real.peers import group_of, wait_for


def test_penlogd_killed_again_and_again(site):
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    for turn in range(8):
        site.write(pipe, 1000)
        wait_for(lambda turn=turn: site.count() > turn * 800, "lines on the way")
        site.write(pipe, 500)
        site.penlogd.kill()
        site.write(pipe, 500)
        site.start_penlogd()
    site.check()


def test_the_log_rotated_between_the_kill_and_the_start(site):
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    for turn in range(4):
        site.write(pipe, 2000)
        wait_for(lambda turn=turn: site.count() > turn * 1500, "lines on the way")
        site.penlogd.kill()
        site.log.rename(site.log.with_suffix(f".log.{turn + 2}"))
        site.start_penlogd()
    site.check()


def test_penlog_killed_again_and_again_and_started_on_the_same_pipe(site):
    site.start_penlogd()
    pipe = site.pipe()
    for turn in range(10):
        logger = site.start_penlog(pipe)
        site.write(pipe, 700)
        if turn % 2:
            wait_for(lambda: site.count() > site.written - 700, "lines on the way")
        os.write(pipe[1], lines(site.written, site.written + 1)[:40])
        logger.kill()
        logger.wait()
        os.write(pipe[1], lines(site.written, site.written + 1)[40:])
        site.written += 1
    site.start_penlog(pipe)
    site.check()


def test_both_killed_and_two_generations_side_by_side(site):
    site.start_penlogd()
    old, new = site.pipe(), site.pipe()
    for _ in range(4):
        loggers = [site.start_penlog(pipe) for pipe in (old, new)]
        for pipe in (old, new):
            site.write(pipe, 500)
        for pipe in (old, new):
            wait_for(lambda p=pipe: not ready(p[0], select.POLLIN), "an empty pipe")
        site.penlogd.kill()
        loggers[0].send_signal(signal.SIGTERM)
        for pipe in (old, new):
            site.write(pipe, 500)
        for logger in loggers:
            logger.kill()
            logger.wait()
        site.start_penlogd()
    for pipe in (old, new):
        site.start_penlog(pipe)
        site.end(pipe)
    site.check()
    wait_for(lambda: all(logger.poll() is not None for logger in site.loggers), "their ends")
    assert list((site.folder / "spool").glob("*/*.*")) == []


def test_what_a_logger_left_is_sent_by_the_next(site):
    site.start_penlogd()
    pipe = site.pipe()
    logger = site.start_penlog(pipe)
    site.write(pipe, 100)
    wait_for(lambda: site.count() == 100, "100 lines")
    site.penlogd.kill()
    site.write(pipe, 1000)
    site.end(pipe)
    wait_for(lambda: logger.send_signal(signal.SIGTERM) or logger.poll() is not None, "its end")
    assert "stay in the spool" in site.said()
    site.start_penlogd()
    pipe = site.pipe()
    site.start_penlog(pipe)
    site.end(pipe)
    site.check()


def test_penlog_killed_under_a_real_apache(farm, pool):
    """Apache starts another on the same pipe, which goes on."""
    apache = farm.web_servers[0]

    def ask(number):
        return farm.get("127.0.0.30", f"/p.html?n={number}")[0]

    asked = [pool.submit(ask, number) for number in range(600)]
    for share in (100, 300, 500):
        wait_for(lambda share=share: sum(answer.done() for answer in asked) > share, "requests")
        for pid in wait_for(lambda: loggers_of(apache), "a logger of Apache's"):
            os.kill(pid, signal.SIGKILL)
    assert {answer.result() for answer in asked} == {200}
    logged = farm.wait_for_lines(600)
    assert sorted(url for _, url, _ in logged) == sorted(f"/p.html?n={n}" for n in range(600))


def loggers_of(apache):
    """The processes that run penlog for an Apache."""
    members = group_of(apache.peer.pid)
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in members}
    return [
        pid for pid, path in commands.items()
        if path.exists() and b"/penlog\0" in path.read_bytes()
    ]  # fmt: skip
