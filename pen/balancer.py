"""The composition root: makes every part, wires them, and owns the order of things.

Starting: settings from the options, the config file, the servers; then everything that
can fail (names, binding, files, user, chroot); then the background; then the loop.
One turn of the loop is `net.reactor`'s. Signals, control commands and config files all
change `state` inside `changing`, whose end makes the world agree with the settings.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

from pen import daemon
from pen.control.commands import make_registry
from pen.control.configfile import ConfigFile, load_config, read_config
from pen.control.ports import ControlPorts
from pen.core.address import (
    Endpoint,
    Resolve,
    is_name,
    named_host,
    parse_listen,
    parse_server,
    resolve,
)
from pen.core.applying import Applier
from pen.core.errors import AddressError, PenError, ResolveError, UsageError
from pen.core.names import Found, Names
from pen.core.servers import ABUSE_SLOT, EMERGENCY_SLOT, Server
from pen.core.state import State
from pen.engine import Serving
from pen.net.gradual import Work
from pen.net.lookups import Lookups
from pen.options import Options, Step
from pen.stats import html, text
from pen.stats.facts import Facts, LocalFacts
from pen.workers import make_engine

logger = logging.getLogger("pen")

T = TypeVar("T")

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Balancer:
    """A pen. Make it, `start` it, `run` it."""

    def __init__(self, options: Options, lookup: Resolve = resolve) -> None:
        """`lookup` asks for the address of a host, and may take its time."""
        self.names = Names(lookup)
        self.options = options
        self.state = State()
        self.facts: Facts = LocalFacts(self.state, lambda: self.now)
        self.registry = make_registry()
        self.command_line = options.command_line
        self.running = False
        self.engine: Serving
        self._applier: Applier
        self._control: ControlPorts
        self._pid_file: daemon.PidFile | None = None
        self._closing = ExitStack()
        self._changing = self._changing_tables = False
        self._reloads = 0
        self._saving: Work | None = None

    # Starting.

    def start(self) -> None:
        """Do all that can fail, then go into the background if that is asked for.

        Raises:
            PenError: what cannot be done, and why; nothing is left behind.
        """
        background = None if self.options.foreground else daemon.Background()
        try:
            self._configure()
            self._open()
            if background is not None:
                background.enter(self._settle)
            else:
                self._settle()
        except BaseException:
            self._closing.close()
            raise

    def _configure(self) -> None:
        """Settings: options in their order, the config file, the command line's servers."""
        options, settings = self.options, self.state.settings
        with _usage_errors():
            for step in options.steps:
                self._take(step)
        if options.config_file is not None:
            settings.config_file = os.path.abspath(options.config_file)
            self._say(read_config(self.registry, self, settings.config_file))
        settings.listen = options.listen or settings.listen
        if not settings.listen:
            raise UsageError("nowhere to listen: give an address, or 'listen' in the config file")
        with _usage_errors():
            listen = parse_listen(settings.listen, protocol=settings.protocol)
            self._add_servers(listen.port)
        if not any(server.in_use for server in self.state.servers):
            raise UsageError("no servers: give them after the address, or in the config file")
        for caution in self.state.selector.cautions():
            logger.warning("%s", caution)

    def _take(self, step: Step) -> None:
        """Carry out an option that is a setting."""
        if step.setting is not None:
            setattr(self.state.settings, step.setting, step.value)
            return
        try:
            invocation = self.registry.understand(step.command or "")
            if invocation is not None:
                self._say(invocation.loaded(self).run(self))
        except PenError as error:
            raise UsageError(f"option {step.option}: {error}") from None

    def _say(self, reply: str) -> None:
        """Replies of commands at start are only for those who debug."""
        if self.state.settings.debug and reply:
            logger.debug("%s", reply.rstrip("\n"))

    def _add_servers(self, default_port: int) -> None:
        options, table = self.options, self.state.servers
        for slot, argument in enumerate(options.servers):
            spec = parse_server(argument, default_port, self.state.settings.protocol)
            server = table.slot(slot)
            server.move(spec.host, self.names.resolve(spec.host, spec.port))
            server.max, server.hard = spec.max, spec.hard
            server.weight, server.prio = spec.weight, spec.prio
        if options.emergency is not None:
            table.emergency = self._special(options.emergency, EMERGENCY_SLOT, default_port)
        if options.abuse is not None:
            table.abuse = self._special(options.abuse, ABUSE_SLOT, default_port)

    def _special(self, argument: str, slot: int, default_port: int) -> Server:
        spec = parse_server(argument, default_port, self.state.settings.protocol)
        return Server(slot, self.names.resolve(spec.host, spec.port), spec.host)

    def _open(self) -> None:
        """Everything that asks the system for something; it is closed in reverse order."""
        options = self.options
        user = daemon.find_user(options.user) if options.user is not None else None
        self.engine = make_engine(self.state, self.names.resolve)
        self.facts = self.engine.facts
        if options.pid_file:
            self._pid_file = daemon.PidFile(options.pid_file)
            self._closing.callback(self._pid_file.remove)
        self._lookups = Lookups(self.engine.reactor, self.names.lookup)
        self._control = ControlPorts(self.registry, self, self.engine.reactor)
        self._closing.callback(self._control.close)
        self._open_control(user)
        self._closing.callback(self.engine.close)
        self._applier = Applier(*self.engine.parts, self._control.follow)
        self._applier.apply(self.state.settings)
        daemon.confine(options.chroot, user, raw_network=self.state.settings.transparent)

    def _open_control(self, user: daemon.User | None) -> None:
        where = self.options.control
        if where is None:
            return
        if os.geteuid() == 0 and user is None:
            logger.warning("no control port: pen runs as root; use -u USER, or -u root to insist")
            return
        self._control.open(where)

    def _settle(self) -> None:
        """In the process that stays: signals, pid file, and the descriptors' handlers."""
        self._signals = daemon.Signals(SIGNALS)
        self.engine.reactor.add(self._signals.fileno(), self._on_signal)
        if self._pid_file is not None:
            self._pid_file.write()

    # Running.

    def run(self) -> None:
        """Serve until told to stop, then close everything."""
        self.running = True
        self._control.start()
        try:
            self.engine.run()
            if self._saving is not None:
                self._saving.finish()  # who asks by USR1, then says TERM, wants both
        finally:
            self._closing.close()

    def stop(self) -> None:
        """End cleanly: after the time of `grace`, or at once when asked again."""
        self.engine.stop()

    @property
    def now(self) -> float:
        """Monotonic seconds of this turn."""
        return self.engine.reactor.now if self.running else time.monotonic()

    def _on_signal(self, mask: int) -> None:  # noqa: ARG002
        for number in self._signals.take():
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                self._reload()
            elif number == signal.SIGUSR1:
                self.save_statistics()

    def _reload(self) -> None:
        """HUP: reopen files at once; read the config, and look names up again, in good time."""
        engine, settings = self.engine, self.state.settings
        self._try("HUP", engine.reopen_files)
        log_host = named_host(settings.log or "")
        if log_host is None:
            self._try("HUP", engine.reopen_log)
        config = None
        if settings.config_file is not None and self.options.config_file:
            config = self._try("HUP", partial(load_config, self.registry, settings.config_file))
        hosts = [server.name for server in self.state.servers.all()]
        hosts += [] if log_host is None else [log_host]
        if config is not None:
            hosts += config.hosts
        self._reloads += 1
        self._lookups.ask(filter(is_name, hosts), partial(self._go_on, config, self._reloads))

    def _go_on(self, config: ConfigFile | None, reload: int, found: Mapping[str, Found]) -> None:
        """HUP: the names are known, as far as they can be."""
        if reload != self._reloads:
            return  # another HUP came meanwhile, and goes by what the file said then
        with self.names.knowing(self._keep_addresses(found)):
            if config is not None:
                self._try("HUP", partial(config.run, self))
            if named_host(self.state.settings.log or "") is not None:
                self._try("HUP", self.engine.reopen_log)
            with self.changing(tables=True):
                for server in self.state.servers.all():
                    server.move(server.name, self.names.resolve(server.name, server.port))

    def _keep_addresses(self, found: Mapping[str, Found]) -> dict[str, Found]:
        """Servers whose names do not resolve stay where they are."""
        kept = dict(found)
        for server in self.state.servers.all():
            error = found.get(server.name)
            if isinstance(error, ResolveError):
                logger.error("HUP: server %d: %s; keeping %s", server.slot, error, server.address)
                kept[server.name] = server.endpoint
        return kept

    @staticmethod
    def _try(why: str, step: Callable[[], T]) -> T | None:
        """Do it; a mistake is told, and all stays as it was."""
        try:
            return step()
        except PenError as error:
            logger.error("%s: %s; going on as before", why, error)
            return None

    # Making the world agree with the settings.

    @contextmanager
    def changing(self, *, tables: bool = False) -> Iterator[None]:
        """See `control.context.Pen.changing`. Only the outermost block takes effect."""
        if self._changing and (self._changing_tables or not tables):
            yield  # whoever is outside takes it back, or makes it effective
            return
        outermost, self._changing = not self._changing, True
        before, self._changing_tables = self._changing_tables, tables
        try:
            with self.state.attempt(tables=tables):
                yield
                if outermost and self.running:
                    self._applier.apply(self.state.settings)
        finally:
            self._changing, self._changing_tables = not outermost, before

    # What commands ask for.

    def when_known(self, hosts: Iterable[str], then: Callable[[], object]) -> None:
        """See `control.context.Pen.when_known`."""

        def proceed(found: Mapping[str, Found]) -> None:
            with self.names.knowing(found):
                then()

        self._lookups.ask(filter(is_name, hosts), proceed)

    def gradually(
        self,
        pieces: Iterator[str],
        done: Callable[[str], object],
        failed: Callable[[PenError], object],
    ) -> None:
        """See `net.gradual`."""
        Work(self.engine.reactor, pieces, done, failed)

    def resolve(self, host: str, port: int) -> Endpoint:
        """The address of a host; see `core.names`."""
        return self.names.resolve(host, port)

    def listening_on(self) -> str:
        """Address that clients connect to, as it was given."""
        return self.engine.listening_on() if self.running else self.state.settings.listen

    def controlled_on(self) -> str:
        """Address of the control port, as it was given."""
        given = self.options.control
        return given.address if given and self.running and self._control.endpoint else ""

    def status_page(self) -> Iterator[str]:
        """The status page, in pieces."""
        return html.pieces(self.facts.snapshot(int(time.time())))

    def save_statistics(self) -> None:
        """USR1: to the web file if there is one, else to stderr or syslog."""
        path, now = self.state.settings.web_stats, int(time.time())

        def save(told: str) -> None:
            try:
                if path is None:
                    logger.info("%s", told.rstrip("\n"))
                else:
                    html.save(told, path)
            except PenError as error:
                _complain(error)

        try:
            told = self.status_page() if path else text.pieces(self.facts.snapshot(now))
            self._saving = Work(self.engine.reactor, told, save, _complain)
        except PenError as error:
            _complain(error)

    def close_connection(self, number: int) -> None:
        """Close a session if it is there."""
        self.engine.close_connection(number)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """What is wrong with an address here is wrong with the command line."""
    try:
        yield
    except ResolveError:
        raise
    except AddressError as error:
        raise UsageError(str(error)) from None


def _complain(error: PenError) -> None:
    """Statistics could not be saved."""
    logger.error("USR1: %s", error)
