"""The command line of mergelogs: pen's log file and the servers' logs, merged into one."""

import gzip
import ipaddress
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import BinaryIO, cast

import click

from penlog.records import RecordError, as_in_file, parse_file_line
from penlogd.accesslog import AccessLine, LineFormat, unreadable
from penlogd.attribution import Attribution
from penlogd.consolidator import APART, canonical
from penlogd.options import chosen_format, format_option

_GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Summary:
    """What became of the lines."""

    records: int = 0
    bad_records: int = 0
    lines: int = 0
    joined: int = 0
    unmatched: int = 0
    unreadable: int = 0
    garbage: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A web server's log file.

    Attributes:
        name: The server as it was given; it stands in lines whose client is not found.
        path: Its log; ``-`` is standard input.
    """

    name: str
    path: str


def _source(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> list[Source]:
    return [_split_source(word) for word in words]


def _split_source(word: str) -> Source:
    """Split ``server:logfile``; the server may be an IPv6 address, in brackets or not."""
    if word.startswith("[") and "]:" in word:
        name, _, path = word[1:].partition("]:")
        return Source(name, path)
    name, colon, path = word.partition(":")
    for place in (i for i, letter in enumerate(word) if letter == ":"):
        if _is_address(word[:place]):
            name, path = word[:place], word[place + 1 :]
    if not (name and colon and path):
        raise click.BadParameter(f"{word}: expected server:logfile")
    return Source(name, path)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@click.command(
    context_settings={"help_option_names": ["--help"]},
    epilog="Example: mergelogs -p pen.log 10.0.0.1:access_log.1 10.0.0.2:access_log.2.gz",
)
@click.option("-p", "--penlog", metavar="FILE", required=True, help="Log file of pen (pen -l).")
@click.option(
    "-j", "--jitter", metavar="SECONDS", type=click.FloatRange(0), default=600.0,
    show_default=True, help="How far pen's and a server's clock may be apart.",
)  # fmt: skip
@click.option(
    "-t", "--time-offset", metavar="SECONDS", type=float, default=0.0, show_default=True,
    help="How far pen's log is ahead of UTC.",
)  # fmt: skip
@click.option("-r", "--rejects", metavar="FILE", help="Put lines that cannot be read there.")
@click.option("-c", "--no-cache", is_flag=True, help="Accepted for compatibility; no effect.")
@click.option("-d", "--debug", count=True, help="Tell a summary; twice: and each unmatched line.")
@format_option
@click.version_option(version("pen-suite"), prog_name="mergelogs")
@click.argument(
    "sources", nargs=-1, required=True, metavar="SERVER:LOGFILE...", callback=_source
)  # fmt: skip
def main(
    penlog: str,
    jitter: float,
    time_offset: float,
    rejects: str | None,
    no_cache: bool,
    debug: int,
    formats: tuple[str, ...],
    sources: list[Source],
) -> None:
    """Merge the logs of web servers behind pen into one, in time order, on stdout.

    In each line the real client, found in pen's log, takes the place of pen; SERVER takes it where
    none is found. SERVER is the address under which pen knows it. Files may be gzipped; - is stdin.
    """
    del no_cache
    summary = Summary()
    attribution = Attribution(None, window=jitter, oldest_first=True)
    merger = Merger(chosen_format(formats), attribution, summary, debug > 1)
    try:
        merger.read_records(penlog, time_offset)
        with _rejects(rejects) as rejected:
            for source in sources:
                merger.read_lines(source, rejected)
        merger.write(sys.stdout.buffer)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        where = error.filename or "mergelogs"
        sys.exit(f"mergelogs: {where}: {error.strerror or error}")
    except EOFError as error:
        sys.exit(f"mergelogs: {error}")
    if debug:
        _tell(summary)


class Merger:
    """Holds the records and lines until all are read, then joins them in time order."""

    def __init__(
        self,
        line_format: LineFormat,
        attribution: Attribution,
        summary: Summary,
        tell_unmatched: bool,
    ) -> None:
        self._attribution = attribution
        self._summary = summary
        self._tell_unmatched = tell_unmatched
        self._format = line_format
        self._lines: list[tuple[float, int, AccessLine, bytes]] = []  # stamp, turn, line, name

    def read_records(self, path: str, ahead: float) -> None:
        """Read pen's log, whose clock is so many seconds ahead of UTC."""
        records: list[tuple[float, bytes, bytes, bytes]] = []
        with _opened(path) as file:
            for text in file:
                try:
                    record = parse_file_line(text)
                except RecordError:
                    self._summary.bad_records += 1
                    continue
                server = canonical(record.server)
                # Whole seconds: a little is added to keep the order in which pen wrote them.
                when = (record.epoch or 0) - ahead + len(records) % 500_000 * APART
                records.append((when, server, record.request, record.client))
        for when, server, request, client in sorted(records):
            self._attribution.add(server, request, client, when)
        self._summary.records = len(records)

    def read_lines(self, source: Source, rejected: BinaryIO | None) -> None:
        """Read a server's log. A line without a time goes after the one before it."""
        server, name = canonical(source.name), source.name.encode()
        stamp = float("-inf")
        with _opened(source.path) as file:
            for text in file:
                line = self._read(text.removesuffix(b"\n"), server, rejected)
                if line is None:
                    continue
                if line.stamp is not None:
                    stamp = line.stamp
                self._lines.append((stamp, len(self._lines), line, name))

    def write(self, output: BinaryIO) -> None:
        """Join all lines and write them in time order."""
        self._lines.sort()
        for stamp, _, line, name in self._lines:
            output.write(self._joined(line, stamp, name) + b"\n")
        output.flush()
        self._summary.lines = len(self._lines)

    def _read(self, text: bytes, server: bytes, rejected: BinaryIO | None) -> AccessLine | None:
        line = self._format.read(text, server)
        if line is not None:
            return line
        line = unreadable(text, server)
        if line is None:
            self._summary.garbage += 1
        else:
            self._summary.unreadable += 1
        if rejected is not None:
            rejected.write(text + b"\n")
            return None
        return line

    def _joined(self, line: AccessLine, stamp: float, name: bytes) -> bytes:
        if line.request is None:
            return line.text
        began, latest = line.span_by_stamp(stamp)
        client = self._attribution.nearest(line.server, as_in_file(line.request), began, latest)
        if client is not None:
            self._summary.joined += 1
            return line.with_client(client)
        self._summary.unmatched += 1
        if self._tell_unmatched:
            text = line.text.decode("ascii", "backslashreplace")
            print(f"mergelogs: no client found: {text}", file=sys.stderr)
        return line.with_client(name)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a log, gzipped or not; ``-`` is standard input.

    Raises:
        OSError: It cannot be read.
    """
    if path == "-":
        yield _unzipped(sys.stdin.buffer)
        return
    with open(path, "rb", buffering=1 << 20) as file:
        try:
            yield _unzipped(file)
        except (EOFError, zlib.error) as error:
            raise EOFError(f"{path}: {error}") from error
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), path) from error


def _unzipped(file: BinaryIO) -> BinaryIO:
    peek = getattr(file, "peek")  # noqa: B009 - BinaryIO lacks what its buffered readers have
    return cast(BinaryIO, gzip.open(file)) if peek(2)[:2] == _GZIP else file


@contextmanager
def _rejects(path: str | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with open(path, "wb") as file:
        yield file


def _tell(summary: Summary) -> None:
    counted = " ".join(f"{name}={getattr(summary, name)}" for name in Summary.__slots__)
    print(f"mergelogs: {counted}", file=sys.stderr)


if __name__ == "__main__":
    main()
