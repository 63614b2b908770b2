"""The one family of errors that people see."""


class PenError(Exception):
    """Something a person must mend; the message says what and where."""


class UsageError(PenError):
    """A command line that makes no sense."""


class AddressError(PenError):
    """An address, a port or a name that cannot be used."""


class ResolveError(AddressError):
    """A host name that does not resolve now; it may another time."""


class CommandError(PenError):
    """A control command that cannot be carried out; nothing was changed."""
