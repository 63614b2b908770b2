"""A log in a file: what becomes of lines that could not be written."""

from pen.logs.filelog import FileLog


def test_a_closed_log_writes_into_nobody_elses_file(tmp_path):
    log = FileLog("/dev/full")
    log.add(b"a line\n")
    log.close()
    with (tmp_path / "other").open("wb") as other:  # has the descriptor's number now
        log.add(b"a late line\n")
        log.flush()
        other.flush()
        assert (tmp_path / "other").read_bytes() == b""
