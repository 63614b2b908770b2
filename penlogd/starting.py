"""penlogd from its options to its loop: all that can fail is tried before it goes on unseen."""

import gc
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penlog.tlsfiles import TlsFiles
from penlogd.acceptor import CONNECTIONS, Acceptor
from penlogd.accesslog import LineFormat, Order
from penlogd.attribution import Attribution
from penlogd.collector import Collector, Watcher, signal_socket
from penlogd.connections import Connections
from penlogd.consolidator import Consolidator
from penlogd.daemon import (
    DaemonError,
    Messages,
    PidFile,
    SyslogMessages,
    TerminalMessages,
    allowed_descriptors,
    become_daemon,
    drop_privileges,
    enter_chroot,
    find_user,
)
from penlogd.intake import Intake
from penlogd.journal import Journal, JournalInUseError
from penlogd.ordering import ReorderBuffer
from penlogd.parts import Parts
from penlogd.receiver import Receiver
from penlogd.senders import Senders
from penlogd.sink import Sink
from penlogd.statusfile import StatusFile

if TYPE_CHECKING:
    import ssl

    from penlogd.scrapes import Scrapes

OWN_DESCRIPTORS = 64
"""Descriptors kept for all but senders' connections."""

SPARED = 10.0
"""Seconds, beyond the hold, for which records stay in the cache whatever -n says."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    host: str
    port: str
    foreground: bool
    debug: bool
    chroot: str | None
    logfile: str | None
    cache: int
    pidfile: str | None
    user: str | None
    hold: float
    order: Order
    line_format: LineFormat
    servers: dict[bytes, bytes]
    journal: str | None
    sync: bool
    allow: tuple[str, ...]
    no_datagrams: bool
    tls: TlsFiles
    status: str | None
    metrics: tuple[str, str] | None


def run(options: Options) -> None:
    """Try all that can fail, go into the background, collect.

    Raises:
        DaemonError: Something that was asked for cannot be had.
    """
    messages = _messages(options)
    terminal = TerminalMessages("penlogd", debugging=options.debug)
    user = find_user(options.user) if options.user else None
    senders = _senders(options)
    context = _tls_context(options.tls)
    signals = signal_socket()  # before anybody can send lines, which TERM must not lose
    receiver = _receiver(options)
    acceptor = _acceptor(options, receiver, senders, context, terminal)
    if options.no_datagrams:
        receiver.close()  # it was bound all the same, so that the port is nobody else's
    scrapes = _scrapes(options)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if options.chroot:
        enter_chroot(options.chroot)
    pidfile = PidFile(options.pidfile) if options.pidfile else None
    sink = _sink(options, messages)
    journal = _journal(options, sink, terminal)
    consolidator = _consolidator(options)
    intake = Intake(consolidator, journal, sync=options.sync)
    _recover(intake, sink, terminal)
    if user is not None:
        if options.logfile:
            os.fchown(sink.fd, user.pw_uid, -1)  # so that it can be opened again on HUP
        if journal is not None:
            journal.chown(user.pw_uid)
        drop_privileges(user)
    parts = Parts(receiver, acceptor, senders, consolidator, intake, sink, time.time())
    watchers = _watchers(options, parts, scrapes, messages)
    terminal.debug(f"receive buffer of {receiver.buffer_size()} bytes")
    if not options.foreground:
        become_daemon(null)
    if pidfile is not None:
        pidfile.write()
    gc.freeze()
    gc.disable()  # it would look through all that is kept, which makes no cycles
    try:
        Collector(signals, parts, messages, watchers).run()
    finally:
        if pidfile is not None:
            pidfile.remove()


def _messages(options: Options) -> Messages:
    kind = TerminalMessages if options.foreground else SyslogMessages
    return kind("penlogd", debugging=options.debug)


def _receiver(options: Options) -> Receiver:
    try:
        return Receiver(options.host, options.port)
    except OSError as error:
        place = _place(options.host, options.port)
        raise DaemonError(f"cannot listen on {place}: {error.strerror}") from error


def _place(host: str, port: str) -> str:
    return f"{host}:{port}" if host else f"port {port}"


def _sink(options: Options, messages: Messages) -> Sink:
    try:
        return Sink(options.logfile, messages.say)
    except OSError as error:
        raise DaemonError(f"log file {options.logfile}: {error.strerror}") from error


def _scrapes(options: Options) -> "Scrapes | None":
    if options.metrics is None:
        return None
    from penlogd.scrapes import Scrapes  # prometheus-client takes 0.2 s to load

    host, port = options.metrics
    try:
        return Scrapes(host or "127.0.0.1", port)
    except OSError as error:
        place = _place(host, port)
        raise DaemonError(f"metrics: cannot listen on {place}: {error.strerror}") from error


def _watchers(
    options: Options, parts: Parts, scrapes: "Scrapes | None", messages: Messages
) -> list[Watcher]:
    """Return what tells of the figures; the status file is tried, as the user who will write it."""
    watchers: list[Watcher] = []
    if scrapes is not None:
        scrapes.show(parts)
        watchers.append(scrapes)
    if options.status is not None:
        file = StatusFile(options.status, parts, messages.say)
        try:
            file.write()
        except OSError as error:
            raise DaemonError(f"status file {options.status}: {error.strerror}") from error
        watchers.append(file)
    return watchers


def _senders(options: Options) -> Senders:
    try:
        return Senders(list(options.allow))
    except ValueError as error:
        raise DaemonError(f"--allow: {error}") from error


def _tls_context(files: TlsFiles) -> "ssl.SSLContext | None":
    if not files.certificate:
        return None
    from penlog.tls import receiver_context  # only where TLS is asked for: it takes a while

    try:
        return receiver_context(files)
    except OSError as error:
        named = ", ".join(filter(None, (files.certificate, files.key, files.authority)))
        raise DaemonError(f"TLS with {named}: {error.strerror or error}") from error


def _acceptor(
    options: Options,
    receiver: Receiver,
    senders: Senders,
    context: "ssl.SSLContext | None",
    messages: Messages,
) -> Acceptor:
    """Listen for connections; do without if others have the port, which C's penlogd left free."""
    most = allowed_descriptors(CONNECTIONS + OWN_DESCRIPTORS) - OWN_DESCRIPTORS
    try:
        return Acceptor(receiver.addresses(), context, senders.welcome, most)
    except OSError as error:
        trouble = f"cannot listen on TCP port {options.port}: {error.strerror}"
        if context is not None or options.no_datagrams:
            raise DaemonError(trouble) from error
        messages.say(f"{trouble}; taking datagrams only")
        return Acceptor([], None, senders.welcome)


def _journal(options: Options, sink: Sink, messages: Messages) -> Journal | None:
    """Return the journal that was asked for, or the usual one if it can be had."""
    path = options.journal
    if path == "none":
        return None
    if path is None:
        if options.logfile is None or not sink.is_file:
            return None
        path = f"{options.logfile}.journal"
    try:
        return Journal(path)
    except JournalInUseError as error:
        raise DaemonError(f"journal {path}: {error.strerror}; see --journal") from error
    except OSError as error:
        if options.journal is not None:
            raise DaemonError(f"journal {path}: {error.strerror}") from error
        messages.say(f"journal {path}: {error.strerror}; a crash will lose what is held")
        return None


def _recover(intake: Intake, sink: Sink, messages: Messages) -> None:
    """Go on where a penlogd that was killed stopped."""
    try:
        recovered = intake.recover()
    except OSError as error:
        raise DaemonError(f"journal: {error.strerror}") from error
    undone = sink.cut_back(recovered.mark) if recovered.mark else 0
    if recovered.waiting or undone:
        messages.say(
            f"the last run ended early: {recovered.waiting} lines taken up from the journal, "
            f"{undone} bytes of log undone, to be written again"
        )


def _consolidator(options: Options) -> Consolidator:
    hold = options.hold
    return Consolidator(
        options.line_format,
        Attribution(options.cache, spared=hold + SPARED if hold else 0.0),
        Connections(hold + SPARED),
        ReorderBuffer(hold) if hold else None,
        order=options.order,
        servers=options.servers,
    )
