"""What a pen is started with, beside its settings."""

from dataclasses import dataclass, field

from pen.core.settings import ControlAddress


@dataclass(frozen=True, slots=True)
class Step:
    """An option that is a setting: carried out in the order given."""

    option: str
    """As typed, for messages."""
    command: str | None = None
    """A control command to run; or"""
    setting: str | None = None
    """the name of a setting to give `value`."""
    value: str | int | None = None


@dataclass(slots=True)
class Options:
    """The command line, understood but not yet carried out."""

    listen: str | None = None
    servers: list[str] = field(default_factory=list)
    emergency: str | None = None
    abuse: str | None = None
    steps: list[Step] = field(default_factory=list)
    config_file: str | None = None
    control: ControlAddress | None = None
    foreground: bool = False
    chroot: str | None = None
    user: str | None = None
    pid_file: str | None = None
    command_line: str = ""
