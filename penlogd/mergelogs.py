"""The command line of mergelogs: pen's log file and the servers' logs, merged into one."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from penlogd.accesslog import AccessLine
from penlogd.consolidator import canonical
from penlogd.logfiles import Progress, Source, SourceError, opened, size, split_source
from penlogd.merging import AHEAD, Merger
from penlogd.options import chosen_format, format_option, server_format_option

AT_A_TIME = 500
"""Lines written at a time."""


def _sources(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> list[Source]:
    try:
        return [split_source(word) for word in words]
    except SourceError as error:
        raise click.BadParameter(str(error)) from error


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
@click.option("-d", "--debug", count=True, help="Tell each line for which no client is found.")
@click.option("-q", "--quiet", is_flag=True, help="Tell no summary.")
@format_option(click.option)
@server_format_option(click.option)
@click.version_option(package_name="pen-suite", prog_name="mergelogs")
@click.argument(
    "sources", nargs=-1, required=True, metavar="SERVER:LOGFILE...", callback=_sources
)  # fmt: skip
def main(
    penlog: str,
    jitter: float,
    time_offset: float,
    rejects: str | None,
    no_cache: bool,
    debug: int,
    quiet: bool,
    formats: tuple[str, ...],
    own: tuple[tuple[str, str], ...],
    sources: list[Source],
) -> None:
    """Merge the logs of web servers behind pen into one, in time order, on stdout.

    In each line the real client, found in pen's log, takes the place of pen; SERVER takes it where
    none is found. SERVER is the address under which pen knows it. Files may be gzipped; - is stdin.
    """
    del no_cache
    line_format = chosen_format(formats, [(canonical(server), text) for server, text in own])
    if [penlog, *(source.path for source in sources)].count("-") > 1:
        raise click.UsageError("only one of the files can be standard input")
    gc.disable()  # lines and records are many and make no cycles
    merger = Merger(line_format, jitter, _tell_unmatched if debug else None)
    try:
        with _progress([penlog, *(source.path for source in sources)]) as progress:
            _read(merger, penlog, time_offset, sources, rejects, progress)
        _write(merger, sys.stdout.buffer)
    except BrokenPipeError:
        _close_stdout()
        sys.exit(1)
    except OSError as error:
        where = error.filename or "standard output"
        sys.exit(f"mergelogs: {where}: {error.strerror or error}")
    except EOFError as error:
        sys.exit(f"mergelogs: {error}")
    finally:
        merger.close()
    if not quiet:
        _tell(merger, jitter)


def _read(
    merger: Merger,
    penlog: str,
    ahead: float,
    sources: list[Source],
    rejects: str | None,
    progress: Progress | None,
) -> None:
    with opened(penlog, progress) as lines:
        merger.read_records(lines, ahead)
    with _rejects(rejects) as rejected:
        for source in sources:
            with opened(source.path, progress) as lines:
                merger.read_lines(source.name, lines, rejected)


def _write(merger: Merger, output: BinaryIO) -> None:
    some: list[bytes] = []
    for line in merger.merged():
        some.append(line)
        if len(some) == AT_A_TIME:
            output.write(b"\n".join(some) + b"\n")
            some.clear()
    if some:
        output.write(b"\n".join(some) + b"\n")
    output.flush()


@contextmanager
def _rejects(path: str | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    with open(path, "wb") as file:
        yield file


@contextmanager
def _progress(paths: list[str]) -> Iterator[Progress | None]:
    """Show on a terminal how far the files have been read."""
    length = sum(map(size, paths))
    if not length or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=length, label="Reading", file=sys.stderr) as bar:
        yield bar.update


def _tell_unmatched(line: AccessLine) -> None:
    text = line.text.decode("ascii", "backslashreplace")
    print(f"mergelogs: no client found: {text}", file=sys.stderr)


def _tell(merger: Merger, jitter: float) -> None:
    print(f"mergelogs: {merger.statistics.text()}", file=sys.stderr)
    if merger.looked_ahead is not None:
        print(
            f"mergelogs: looked for clients only {merger.looked_ahead:.0f} s after a line's time,"
            f" not {jitter:.0f} s, where pen's log has more than {AHEAD} requests in that time",
            file=sys.stderr,
        )


def _close_stdout() -> None:
    """Have the interpreter not try, and fail, to write what the reader no longer wants."""
    sys.stdout = None


if __name__ == "__main__":
    main()
