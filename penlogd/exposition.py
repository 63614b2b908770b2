"""The figures as Prometheus reads them: its text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from penlogd.figures import FIGURES, Figure, Kind
from penlogd.parts import Parts


class Exposition:
    """Shows the figures, and beside them the process's memory, CPU time and descriptors.

    Args:
        parts: What they are read from.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return what a scrape gets."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures, as prometheus-client asks for them."""
        for figure in FIGURES:
            yield _family(figure, self._parts)


def _family(figure: Figure, parts: Parts) -> Metric:
    labels = [figure.label] if figure.label else []
    kind = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily
    family = kind(f"penlogd_{figure.name}", figure.help, labels=labels)
    for label, value in figure.values(parts):
        family.add_metric([] if label is None else [label], value)
    return family
