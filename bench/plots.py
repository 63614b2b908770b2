"""Plots as SVG that takes the reader's colours, light or dark."""

import re
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"
"""Stands for the reader's colour of text."""
COLOURS = ("#1f83d6", "#e0702a", "#2e9e5b", "#a768d8", "#c98f00", "#d64f6f", "#7a8a99")
STYLE = (
    "<style>svg { color: #24292f; } "
    "@media (prefers-color-scheme: dark) { svg { color: #d7dde3; } }</style>"
)


def panels(rows: int, columns: int) -> tuple["Figure", list[Any]]:
    """A figure, and its axes row by row."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "pen",
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.grid": True,
            "grid.color": "#888888",
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "legend.fontsize": 7.5,
            "legend.frameon": False,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    size = (3.8 * columns, 3.2 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    return figure, list(axes.flat)


def plain(value: float, _position: int) -> str:
    """A label of an axis, without exponents."""
    return f"{value:,g}"


def svg(figure: "Figure") -> str:
    """The figure's text."""
    file = StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue().replace(INK, "currentColor")
    return re.sub(r"(<svg [^>]*>)", lambda match: match[1] + STYLE, text, count=1)
