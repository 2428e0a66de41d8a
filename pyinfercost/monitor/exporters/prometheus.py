"""Export to Prometheus: a collector over observers, the page of metrics, and an HTTP server for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ... import _core
from ..._checks import Range, errors_of_writing, path_of, whole
from ..._lazy import optional_library
from ...errors import InputError
from ...results.live import Distribution, Labels, Snapshot
from ...results.live_figures import HISTOGRAM, LIVE_FIGURES
from ..metric_names import INFO_LABELS, MODEL, PREFIX, prometheus_name
from .buckets import cumulative
from .periodic import INTERVAL_S, Failures, Periodic

if TYPE_CHECKING:
    from ..observer import Observer

_USER, _EXTRA = "the exporter to Prometheus", "prometheus"
_NAME = "prometheus"
_UNKNOWN = "unknown"
_LOCALHOST = "127.0.0.1"
_PORTS = Range(0, 65_535)
_RETRY_S = 5.0


class _Memory:
    """State of an observer between scrapes.

    Attributes:
        model: Name of its model; known since its first snapshot.
        failures: Snapshots that failed.
    """

    def __init__(self) -> None:
        self.model = _UNKNOWN
        self.failures = Failures("a reading of an observer for Prometheus")


_MEMORIES: WeakKeyDictionary[Any, _Memory] = WeakKeyDictionary()
_LOCK = threading.Lock()


class PrometheusCollector:
    """A collector for a registry of `prometheus_client`, over one or several observers.

    Names, types and texts come from the catalog of figures. Every series has the label `model` and the labels of its
    figure. A second observer of a model of the same name has `NAME (2)`. An observer that fails increases
    `pyinfercost_exporter_errors_total`; its other series are absent from that scrape.

    Args:
        observers: The observers; `add` and `remove` change them.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self._families = optional_library("prometheus_client.core", _USER, _EXTRA)
        self._text_of = optional_library("prometheus_client.utils", _USER, _EXTRA).floatToGoString
        self._observers = tuple(observers)

    def add(self, observer: Observer) -> None:
        """Export another observer."""
        self._observers = (*self._observers, observer)

    def remove(self, observer: Observer) -> None:
        """Export an observer no longer."""
        self._observers = tuple(each for each in self._observers if each is not observer)

    def describe(self) -> Sequence[Any]:
        """Return no names, so that registering this collector reads no observer."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics; no exception of an observer leaves it."""
        rows: dict[str, dict[Labels, float | Distribution]] = {}
        infos: dict[Labels, float] = {}
        taken: set[str] = set()
        for observer in self._observers:
            memory = memory_of(observer)
            found: list[tuple[str, Labels, float | Distribution]] = []
            info: dict[str, str] = {}
            try:
                snapshot = observer.snapshot()
                info = dict(snapshot.info)
                memory.model = _clean(info.get(MODEL, _UNKNOWN))
                found = _rows_of(snapshot)
            except Exception as error:
                memory.failures.add(error)
            model = next(name for name in _names(memory.model) if name not in taken)
            taken.add(model)
            if info:
                known = {**info, MODEL: model, "version": _core.__version__}
                infos[tuple((label, _clean(known.get(label, ""))) for label in INFO_LABELS)] = 1.0
            found.append(("exporter_errors", (("exporter", _NAME),), float(memory.failures.count)))
            for key, labels, value in found:
                named = ((MODEL, model), *labels)
                rows.setdefault(key, {})[named] = value
        if infos:
            yield self._family(
                "Gauge", f"{PREFIX}_info", "Labels of the observed model; the value is 1.", INFO_LABELS, infos
            )
        for key, figure in LIVE_FIGURES.items():
            if key in rows:
                kind, names = figure.kind.capitalize(), (MODEL, *figure.labels)
                yield self._family(kind, prometheus_name(figure), figure.help, names, rows[key])

    def _family(self, kind: str, name: str, told: str, labels: Sequence[str], rows: dict[Labels, Any]) -> Any:
        family = getattr(self._families, f"{kind}MetricFamily")(name, told, labels=labels)
        for named, value in rows.items():
            texts = [text for _, text in named]
            if isinstance(value, Distribution):
                bounds, counts = cumulative(value, seconds=name.endswith("_seconds"))
                ends = [*map(self._text_of, bounds), "+Inf"]
                family.add_metric(texts, list(zip(ends, counts, strict=True)), value.total)
            else:
                family.add_metric(texts, value)
        return family


def memory_of(observer: Observer) -> _Memory:
    """Return the state of an observer, from any collector."""
    with _LOCK:
        try:
            return _MEMORIES.setdefault(observer, _Memory())
        except TypeError:  # an object of a class without hashes or weak references
            return _Memory()


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} ({number})"
        number += 1


def _rows_of(snapshot: Snapshot) -> list[tuple[str, Labels, float | Distribution]]:
    """Return the figures of a snapshot with their own labels, those that are finite."""
    found: list[tuple[str, Labels, float | Distribution]] = []
    for series, value in snapshot.values.items():
        if LIVE_FIGURES[series.figure].kind != HISTOGRAM and isfinite(value):
            found.append((series.figure, _cleaned(series.labels), float(value)))
    for series, distribution in snapshot.distributions.items():
        if LIVE_FIGURES[series.figure].kind == HISTOGRAM and isfinite(distribution.total):
            found.append((series.figure, _cleaned(series.labels), distribution))
    return found


def _cleaned(labels: Labels) -> Labels:
    return tuple((name, _clean(text)) for name, text in labels)


def _clean(text: object) -> str:
    """Return a text that UTF-8 can hold: a page with anything else could not be sent."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


def metrics_page(observers: Iterable[Observer], accept: str | None = None) -> tuple[bytes, str]:
    """Return the page of metrics of observers, the answer of an HTTP server to a scrape.

    Args:
        observers: The observers.
        accept: The header `Accept` of the request: a client that lists OpenMetrics gets that format, others the text
            format of Prometheus, and so does one whose header cannot be read.

    Returns:
        The page, and its content type.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
    """
    exposition = optional_library("prometheus_client.exposition", _USER, _EXTRA)
    try:
        encoder, content_type = exposition.choose_encoder(accept or "")
    except Exception:  # a version that is no number
        encoder, content_type = exposition.choose_encoder("")
    return encoder(PrometheusCollector(observers)), content_type


# A registry takes the names of one collector, so exporters of one registry share it.
_COLLECTORS: WeakKeyDictionary[Any, PrometheusCollector] = WeakKeyDictionary()


class PrometheusExporter:
    """Export to Prometheus, which reads a page over HTTP.

    Args:
        port: The port of a server of this exporter, which has the observer alone; 0 is any free one. None adds the
            observer to a registry instead, which something else serves.
        host: Address of the server. Others than this machine can read it only if it is not localhost.
        registry: The `prometheus_client.CollectorRegistry`; None is the default one.

    Attributes:
        port: The port of the server, once it listens; None without one.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
        InputError: The port is out of range, or given together with a registry.
    """

    def __init__(self, port: int | None = None, *, host: str = _LOCALHOST, registry: Any = None) -> None:
        if port is not None and registry is not None:
            raise InputError("port and registry are both given; a server of this exporter has a registry of its own")
        self._client = optional_library("prometheus_client", _USER, _EXTRA)
        self._wanted = None if port is None else whole(port, "port", _PORTS)
        self._host = host
        self._registry = registry
        self._observer: Observer | None = None
        self._failures = Failures(f"the page of metrics on {host}:{port}")
        self._stopped = threading.Event()
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self.port: int | None = None

    @property
    def errors(self) -> int:
        """Snapshots that failed, and attempts to listen."""
        seen = 0 if self._observer is None else memory_of(self._observer).failures.count
        return self._failures.count + seen

    def start(self, observer: Observer) -> None:
        """Serve an observer, or add it to the registry. A port in use is a warning; it is tried again."""
        self._observer = observer
        if self._wanted is None:
            registry = self._client.REGISTRY if self._registry is None else self._registry
            with _LOCK:
                if registry not in _COLLECTORS:
                    _COLLECTORS[registry] = PrometheusCollector()
                    registry.register(_COLLECTORS[registry])
                _COLLECTORS[registry].add(observer)
            return
        if not self._listen(observer):
            self._thread = threading.Thread(target=self._retry, args=(observer,), name="pyinfercost port", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop the server, or remove the observer from the registry."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._observer is not None and self._wanted is None:
            registry = self._client.REGISTRY if self._registry is None else self._registry
            _COLLECTORS[registry].remove(self._observer)
        self._observer = None

    def _listen(self, observer: Observer) -> bool:
        """Start the server; return whether it listens."""
        try:
            registry = self._client.CollectorRegistry()
            registry.register(PrometheusCollector([observer]))
            self._server, _ = self._client.start_http_server(self._wanted, self._host, registry)
            self.port = self._server.server_port
        except Exception as error:  # the port is in use, or the host is none of this machine
            self._failures.add(error)
            return False
        return True

    def _retry(self, observer: Observer) -> None:
        while not self._stopped.wait(_RETRY_S):
            if self._listen(observer):
                return


class PrometheusTextfileExporter:
    """Write the page of metrics to a file at regular intervals, for the textfile collector of the node exporter.

    Args:
        path: The file, which is replaced as a whole; the collector reads names that end in `.prom`.
        interval_s: Time between writes.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
        InputError: The interval is out of range.
    """

    def __init__(self, path: str | PathLike[str], *, interval_s: float = INTERVAL_S) -> None:
        self._write_to = optional_library("prometheus_client", _USER, _EXTRA).write_to_textfile
        self._path = path_of(path)
        self._failures = Failures(f"the exporter to {self._path}")
        self._periodic = Periodic(self._write, interval_s, self._failures)
        self._collector = PrometheusCollector()

    @property
    def errors(self) -> int:
        """Pages that could not be written."""
        return self._failures.count

    def start(self, observer: Observer) -> None:
        """Begin to write."""
        self._collector.add(observer)
        self._periodic.start()

    def close(self) -> None:
        """Write the last page."""
        self._periodic.close()

    def _write(self) -> None:
        with errors_of_writing(self._path):
            self._write_to(str(self._path), self._collector)
