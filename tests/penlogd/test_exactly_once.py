"""From a sender's pipe to the log, whatever is cut, killed or full meanwhile: each line once.

The sender's and the receiver's halves are put together without sockets. What is lost with a kill is
what the process had in memory: it is made anew from the files.
"""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import penlog.spool
from penlog.delivery import Delivery
from penlog.spool import Spool
from penlog.wire import FrameReader
from penlogd.accesslog import ByShape
from penlogd.attribution import Attribution
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator
from penlogd.intake import Intake
from penlogd.journal import Journal
from penlogd.ordering import ReorderBuffer
from penlogd.sink import Sink

SESSION = "s" * 32
HOLD = 2.0


class Receiver:
    """penlogd, but for its sockets."""

    def __init__(self, folder, now):
        buffer = ReorderBuffer(HOLD)
        attribution, connections = Attribution(1000, spared=10), Connections(10)
        self.consolidator = Consolidator(ByShape(), attribution, connections, buffer)
        self.said = []
        self.sink = Sink(str(folder / "log"), self.said.append)
        self.journal = Journal(str(folder / "journal"), segment=300)
        self.intake = Intake(self.consolidator, self.journal)
        recovered = self.intake.recover()
        if recovered.mark:
            self.sink.cut_back(recovered.mark)
        self.intake.written([], self.sink.mark())

    def write(self, now, note=True):
        self.sink.write(*self.intake.new(self.consolidator.due(now), self.consolidator.serials))
        settled = self.sink.settled()
        if note and settled:
            self.intake.written(settled, self.sink.mark())

    def kill(self):
        self.journal.close()
        os.close(self.sink.fd)


class Farm(RuleBasedStateMachine):
    """A sender with a spool, a receiver with a journal, and what is between them."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "spool").mkdir()
        self.spool_fd = os.open(self.folder / "spool", os.O_RDONLY)
        self.now = 1_795_000_000.0
        self.number = 0
        self.begun = b""
        self.plain = set()
        self.receiver = Receiver(self.folder, self.now)
        self.delivery = Delivery(Spool(self.spool_fd), window=300)
        self.connect()

    def connect(self):
        self.wire = b""
        self.frames = FrameReader()
        self.delivery.greeted(self.receiver.intake.sessions.have(SESSION))

    @rule(pieces=st.integers(1, 5), cut=st.integers(0, 40))
    def log(self, pieces, cut):
        """Lines come through the pipe, the last of them perhaps not whole yet."""
        for _ in range(pieces):
            self.begun += b"line %d\n" % self.number
            self.number += 1
        whole = max(0, len(self.begun) - cut)
        ready, self.begun = self.begun[:whole], self.begun[whole:]
        self.delivery.spool.append(ready)

    @rule()
    def send(self):
        self.wire += self.delivery.next_frame()

    @rule(size=st.integers(1, 200))
    def arrive(self, size):
        piece, self.wire = self.wire[:size], self.wire[size:]
        for offset, data in self.frames.feed(piece):
            self.receiver.intake.piece(SESSION, "10.0.0.1", offset, data, self.now)

    @rule()
    def acknowledge(self):
        have = self.receiver.intake.sessions.have(SESSION)
        if have <= self.delivery.sent:
            self.delivery.acknowledged(have)

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def write(self):
        self.receiver.write(self.now)

    @rule()
    def go_on(self):
        """What mostly happens."""
        self.log(3, 2)
        self.send()
        self.arrive(1 << 20)
        self.acknowledge()
        self.write()
        self.wait(1.0)

    @rule()
    def datagram(self):
        """A plain line comes beside the stream; it is in the journal too."""
        line = b"plain %d" % len(self.plain)
        self.plain.add(line)
        self.receiver.intake.datagrams([(line + b"\n", "10.0.0.2")], self.now)

    @rule()
    def cut_the_network(self):
        self.connect()

    @rule()
    def kill_the_sender(self):
        self.delivery = Delivery(Spool(self.spool_fd), window=300)
        self.connect()

    @rule(written=st.booleans())
    def kill_the_receiver(self, written):
        """It may have written to the log what its journal does not know yet."""
        if written:
            self.receiver.write(self.now, note=False)
        self.receiver.kill()
        self.receiver = Receiver(self.folder, self.now)
        self.connect()

    @rule()
    def rotate_the_log(self):
        (self.folder / "log").rename(self.folder / f"log.{self.number}.{len(self.logs())}")
        self.receiver.sink.reopen()
        self.receiver.intake.written(self.receiver.sink.settled(), self.receiver.sink.mark())

    def logs(self):
        return list(self.folder.glob("log*"))

    def logged(self):
        return [line for path in self.logs() for line in path.read_bytes().splitlines()]

    @invariant()
    def the_journal_is_bounded(self):
        sizes = [path.stat().st_size for path in self.folder.glob("journal.*")]
        held = self.receiver.consolidator._buffer.lines
        assert sum(sizes) < 6000 + 400 * held

    def teardown(self):
        try:
            self.finish()
        finally:
            os.close(self.spool_fd)
            self.receiver.kill()
            shutil.rmtree(self.folder)

    def finish(self):
        self.delivery.spool.append(self.begun)
        self.connect()
        while not self.delivery.done:
            self.send()
            self.arrive(1 << 20)
            self.acknowledge()
        self.wait(HOLD + 1)
        self.write()
        expected = {b"line %d" % number for number in range(self.number)} | self.plain
        logged = self.logged()
        assert len(logged) == len(set(logged))
        assert set(logged) == expected


def test_whatever_happens_each_line_is_logged_once(monkeypatch):
    monkeypatch.setattr(penlog.spool, "SEGMENT", 64)
    options = settings(
        max_examples=60,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(Farm, settings=options)


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver(tmp_path, 0.0)
    yield receiver
    receiver.kill()


def test_while_the_journals_disk_is_full_streams_wait_and_datagrams_pass(receiver, monkeypatch):
    intake, real_pwrite = receiver.intake, os.pwrite

    def half_full(fd, data, place):
        if len(data) > 8:
            return real_pwrite(fd, data[:8], place)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half_full)
        with pytest.raises(OSError, match="No space"):
            intake.piece(SESSION, "10.0.0.1", 0, b"stream\n", 1.0)
        intake.datagrams([(b"plain\n", "10.0.0.2")], 1.0)
        receiver.write(9.0)
    assert (intake.unjournaled, intake.sessions.have(SESSION)) == (1, 0)
    assert intake.piece(SESSION, "10.0.0.1", 0, b"stream\n", 1.0) == 7
    receiver.write(19.0)
    assert Path(receiver.sink._path).read_bytes() == b"plain\nstream\n"


def test_after_a_clean_end_the_journal_remembers_streams_and_nothing_else(receiver, tmp_path):
    receiver.intake.piece(SESSION, "10.0.0.1", 0, b"whole\nbegun ", 1.0)
    for number in range(100):
        receiver.intake.datagrams([(b"plain %d\n" % number, "10.0.0.2")], 1.0)
    receiver.write(9.0)
    receiver.intake.settle()
    assert sum(path.stat().st_size for path in tmp_path.glob("journal.*")) < 300
    receiver.kill()
    receiver.__init__(tmp_path, 0.0)
    assert receiver.intake.piece(SESSION, "10.0.0.1", 5, b"\nbegun and ended\n", 10.0) == 22
    receiver.write(19.0)
    assert (tmp_path / "log").read_bytes().splitlines()[-1] == b"begun and ended"


def test_a_log_that_was_moved_away_meanwhile_is_cut_back_where_it_is(tmp_path):
    receiver = Receiver(tmp_path, 0.0)
    receiver.intake.datagrams([(b"line\n", "10.0.0.2")], 1.0)
    receiver.write(9.0, note=False)
    receiver.kill()
    (tmp_path / "log").rename(tmp_path / "log.1")
    again = Receiver(tmp_path, 0.0)
    again.write(19.0)
    assert [(tmp_path / name).read_bytes() for name in ("log", "log.1")] == [b"line\n", b""]
    again.kill()


def test_a_rotation_that_a_full_journal_could_not_note_doubles_lines_and_loses_none(tmp_path):
    """The corner that the manual tells of: the journal knows the old file only."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    receiver = Receiver(tmp_path, 0.0)
    receiver.intake.datagrams([(b"line\n", "10.0.0.2")], 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        (tmp_path / "log").rename(tmp_path / "log.1")
        receiver.sink.reopen()
        receiver.intake.written(receiver.sink.settled(), receiver.sink.mark())
        receiver.write(9.0)
    receiver.kill()
    again = Receiver(tmp_path, 0.0)
    again.write(19.0)
    assert [(tmp_path / name).read_bytes() for name in ("log", "log.1")] == [b"line\n" * 2, b""]
    again.kill()


def test_the_journal_keeps_when_datagrams_came(tmp_path):
    receiver = Receiver(tmp_path, 0.0)
    sent = [(b"later\n", "10.0.0.2"), (b"earlier\n", "10.0.0.2")]
    receiver.intake.datagrams(sent, 5.0, [4.5, 3.5])
    receiver.kill()
    again = Receiver(tmp_path, 0.0)
    again.write(19.0)
    assert (tmp_path / "log").read_bytes() == b"earlier\nlater\n"
    again.kill()


def test_records_of_before_the_crash_still_tell_the_clients_of_lines(tmp_path):
    receiver = Receiver(tmp_path, 0.0)
    receiver.intake.datagrams([(b"+ 9.9.9.9 10.0.0.2 GET /a\n", "10.0.0.254")], 1.0)
    receiver.kill()
    again = Receiver(tmp_path, 0.0)
    again.intake.datagrams([(b'10.0.0.254 - - [x] "GET /a" 200 5', "10.0.0.2")], 2.0)
    again.write(19.0)
    assert (tmp_path / "log").read_bytes() == b'9.9.9.9 - - [x] "GET /a" 200 5\n'
    again.kill()
