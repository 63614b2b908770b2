"""--help with its options under headings: each option is declared under its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

Decorate = Callable[[Any], Any]
"""Adds an option to a command's function."""

Declare = Callable[..., Decorate]
"""As `click.option`."""


class _Option(click.Option):
    def __init__(self, *words: Any, heading: str, **settings: Any) -> None:
        super().__init__(*words, **settings)
        self.heading = heading


def under(heading: str) -> Declare:
    """Return what declares options, as `click.option` does, under a heading."""
    return partial(click.option, cls=_Option, heading=heading)


class HeadedCommand(click.Command):
    """A command whose help shows them so; those that click adds come last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = getattr(parameter, "heading", "Help")
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
