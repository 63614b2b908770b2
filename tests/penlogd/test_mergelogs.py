"""mergelogs over real files: joined, in time order, every line in its own zone."""

import gzip
import subprocess
import sys

import pytest

from penlogd.logfiles import Source, split_source

T = 1795449645  # 23/Nov/2026:16:00:45 +0000


@pytest.fixture
def files(tmp_path):
    (tmp_path / "pen.log").write_bytes(
        b"1.1.1.1 %d 10.0.0.1 GET /a HTTP/1.1\n" % T
        + b"2.2.2.2 %d 10.0.0.2 GET /a HTTP/1.1\n" % (T + 1)
        + b"not a record\n"
        + b"3.3.3.3 %d 10.0.0.1 GET /a HTTP/1.1\n" % (T + 2)
        + b"4.4.4.4 %d 10.0.0.1 GET /%b\n" % (T + 3, b"x" * 95)
    )
    (tmp_path / "one").write_bytes(
        b'pen - - [23/Nov/2026:18:00:47 +0200] "GET /a HTTP/1.1" 200 3\n'
        b'pen - - [23/Nov/2026:18:00:45 +0200] "GET /a HTTP/1.1" 200 1\n'
        b'pen - - [23/Nov/2026:18:00:48 +0200] "GET /' + b"x" * 200 + b' HTTP/1.1" 200 4\n'
        b'pen - - [23/Nov/2026:18:00:49 +0200] "GET /never HTTP/1.1" 200 5\n'
    )
    with gzip.open(tmp_path / "two.gz", "wb") as file:
        file.write(b'pen - - [23/Nov/2026:16:00:46 +0000] "GET /a HTTP/1.1" 200 2\nno quotes\n')
    return tmp_path


def run(files, *more):
    return mergelogs("-p", str(files / "pen.log"), f"10.0.0.1:{files}/one", *more)


def mergelogs(*words, stdin=None):
    command = [sys.executable, "-m", "penlogd.mergelogs", *words]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=30)
    done.output = done.stdout
    done.stdout, done.stderr = done.stdout.decode("ascii", "replace"), done.stderr.decode()
    return done


def test_lines_are_joined_sorted_and_keep_their_zones(files):
    result = run(files, f"10.0.0.2:{files}/two.gz")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "1.1.1.1", "2.2.2.2", "no", "3.3.3.3", "4.4.4.4", "10.0.0.1",
    ]  # fmt: skip
    assert "[23/Nov/2026:18:00:45 +0200]" in lines[0]
    assert "[23/Nov/2026:16:00:46 +0000]" in lines[1]
    counted = dict(word.split("=") for word in result.stderr.split()[1:])
    assert {name: int(value) for name, value in counted.items() if value != "0"} == {
        "records": 4, "bad_records": 1, "lines": 6, "joined": 4, "unmatched": 1, "unreadable": 1,
        "late": 1,
    }  # fmt: skip


def test_the_offset_and_the_jitter_are_heeded(files):
    assert run(files, "-j", "0", "-t", "100").stdout.count("10.0.0.1 - ") == 4
    assert run(files, "-j", "50", "-t", "7200").stdout.count("10.0.0.1 - ") == 4
    assert run(files, "-j", "7300", "-t", "7200").stdout.count("10.0.0.1 - ") == 1


def test_rejects_go_to_their_file(files):
    result = run(files, f"10.0.0.2:{files}/two.gz", "-r", str(files / "rejects"))
    assert "no quotes" not in result.stdout
    assert (files / "rejects").read_bytes() == b"no quotes\n"


def test_standard_input_is_read_gzipped_too(files):
    data = (files / "two.gz").read_bytes()
    result = mergelogs("-p", str(files / "pen.log"), "10.0.0.2:-", stdin=data)
    assert result.stdout.startswith("2.2.2.2 ")


@pytest.mark.parametrize(
    ("word", "name", "path"),
    [
        ("10.0.0.1:log", "10.0.0.1", "log"),
        ("www:a:b", "www", "a:b"),
        ("[::1]:log", "::1", "log"),
        ("2001:db8::1:log", "2001:db8::1", "log"),
    ],
)
def test_server_and_file_are_told_apart(word, name, path):
    assert split_source(word) == Source(name, path)


def test_mistakes_are_told_in_one_line(files):
    result = run(files, "10.0.0.2:/no/such/file")
    assert result.returncode == 1
    assert result.stderr == "mergelogs: /no/such/file: No such file or directory\n"
    assert run(files, "nothing").returncode == 2
    (files / "cut.gz").write_bytes((files / "two.gz").read_bytes()[:40])
    assert "cut.gz: Compressed file ended" in run(files, f"10.0.0.2:{files}/cut.gz").stderr


def test_the_summary_can_be_left_out_and_unmatched_lines_asked_for(files):
    assert run(files, "-q").stderr == ""
    told = run(files, "-q", "-d").stderr
    assert told.startswith("mergelogs: no client found: pen - - ")
    assert told.count("\n") == 1


def test_a_reader_that_goes_is_told_nothing(files):
    command = [sys.executable, "-m", "penlogd.mergelogs", "-p", str(files / "pen.log")]
    lines = (files / "one").read_bytes() * 2000
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        [*command, "10.0.0.1:-"], input=lines, stdout=reader.stdin, stderr=subprocess.PIPE
    )
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (1, b"")


def test_connection_records_make_it_exact(files):
    """Two clients ask for the same at the same second; the later one's connection came first."""
    (files / "both.log").write_bytes(
        b"=1 open tcp 1.1.1.1 7 10.0.0.9 5001 10.0.0.1 80 %d.2 0.0 0 0 \n" % T
        + b"=1 open tcp 2.2.2.2 8 10.0.0.9 5002 10.0.0.1 80 %d.1 0.1 0 0 \n" % T
        + b"1.1.1.1 %d 10.0.0.1 GET /a HTTP/1.1\n2.2.2.2 %d 10.0.0.1 GET /a HTTP/1.1\n" % (T, T)
        + b"=1 end tcp 1.1.1.1 7 10.0.0.9 5001 10.0.0.1 80 %d.2 0.5 9 9 done\n" % T
    )
    line = '10.0.0.9 - - [23/Nov/2026:16:00:45 +0000] "GET /a HTTP/1.1" 200 1 {} 80\n'
    (files / "www").write_text(line.format(5002) + line.format(5001) + line.format(6000))
    form = '%h %l %u %t "%r" %>s %b %{remote}p %{local}p'
    result = mergelogs(
        "-p", f"{files}/both.log", "--server-format", "10.0.0.1", form, f"10.0.0.1:{files}/www"
    )
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "2.2.2.2", "1.1.1.1", "1.1.1.1",
    ]  # fmt: skip
    assert "connections=3 lines=3 exact=2 exact_missing=1 " in result.stderr


def test_only_one_file_is_standard_input(files):
    result = mergelogs("-p", "-", "10.0.0.1:-", stdin=b"")
    assert result.returncode == 2
    assert "only one of the files can be standard input" in result.stderr
