"""`pyinfercost monitor`: a sidecar of a serving engine, and the commands on its log."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..monitor.engines import ENGINES
from .commands import command_group
from .deployment_options import deployment_of_options, deployment_options, usage_errors
from .monitor_config_command import config
from .monitor_export_command import export
from .monitor_report_command import report
from .options import EXIT_CODES, format_option
from .output import messages_for_people, say, write_result
from .types import InUnits

if TYPE_CHECKING:
    from ..monitor.live_page import LivePage
    from ..monitor.sidecar import Sidecar

_LISTEN = "127.0.0.1:9400"
_LOOK_S = 1.0  # between looks at whether the engine answers
_SERVERS = ("listen", "page", "token_file", "top")


@command_group(invoke_without_command=True, no_args_is_help=True, epilog=EXIT_CODES)
@click.option(
    "--scrape", "url", metavar="URL", help="Address of the engine or of its page, such as http://127.0.0.1:8000."
)
@click.option(
    "--engine",
    type=click.Choice(("auto", *ENGINES)),
    default="auto",
    show_default=True,
    help="The engine; auto: by the names on its page.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="What is served, for predictions, FLOPs and bytes: a language model's config, such as hf:config.json.",
)
@click.option("--served", metavar="NAME", help="Model whose series count, of several on the page; default: all.")
@deployment_options(
    only=(
        "hardware",
        "on",
        "precision",
        "devices",
        "layout",
        "serving",
        "threads",
        "instances",
        "sustained",
        "host",
        "price",
    )
)
@click.option(
    "--correction",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Correction of predicted steps, as `serve --calibrate-from` writes it.",
)
@click.option(
    "--planned",
    "plan",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What `fleet --plan --format json` wrote.",
)
@click.option("--energy", metavar="DEVICE", help="Where joules are read on this machine: cpu, or cuda:0.")
@click.option(
    "--listen", metavar="ADDRESS", default=_LISTEN, show_default=True, help="Where /metrics is, for Prometheus."
)
@click.option(
    "--serve",
    "page",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Serve the live page, at the address of --listen or at one of its own.",
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Token that requests must have; default: the variable PYINFERCOST_MONITOR_TOKEN, else none.",
)
@click.option("--exporter", multiple=True, metavar="TO", help="Also export to otel, FILE.prom, FILE.jsonl, ...")
@click.option("--log", type=click.Path(dir_okay=False), metavar="FILE", help="Log for `monitor export` and `report`.")
@click.option(
    "--interval", "interval_s", type=InUnits("s"), default=15.0, show_default=True, help="Seconds between readings."
)
@click.option("--once", is_flag=True, help="Read twice, --interval apart, show what happened in between, and end.")
@click.option("--top", is_flag=True, help="Show the last hours in this terminal, and go on serving /metrics.")
@format_option("table", "json", "csv", "md")
@click.pass_context
def monitor(context: click.Context, /, *, form: str, **options: Any) -> None:
    """Count requests, use and cost of a serving engine from the metrics that it publishes, until Ctrl-C or SIGTERM.

    The engine's totals since the start of this command are exported with money, energy, utilization and predicted times
    beside them. An engine that does not answer yet is waited for. The commands below read the log.
    """
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if context.invoked_subcommand is not None:
        if given:
            option = next(each.opts[0] for each in monitor.params if each.name == given[0])
            raise click.UsageError(f"{option} is not an option of `monitor {context.invoked_subcommand}`; leave it out")
        return
    with messages_for_people():
        if options["url"] is None:
            raise click.UsageError("Missing option '--scrape'; expected an address, such as http://127.0.0.1:8000")
        if options["once"]:
            if set(given) & set(_SERVERS):
                raise click.UsageError("--once serves nothing; leave --listen, --serve, --token-file and --top out")
            _once(options, form)
        elif "form" in given:
            raise click.UsageError("--format is of --once; leave it out")
        elif options["top"] and not sys.stdout.isatty():
            raise click.UsageError("--top needs a terminal; --once prints what happens in an interval")
        else:
            with _stopped_by_signals() as stop:
                _watch(options, stop)


# A command of the group is one line here.
monitor.add_command(export)
monitor.add_command(config)
monitor.add_command(report)


def _sidecar(options: Mapping[str, Any]) -> Sidecar:
    from ..monitor.sidecar import Sidecar
    from ..serving.step_cost_factors import StepCostFactors

    on = deployment_of_options({**options, "engine": None})
    if options["model"] is not None and on.hardware is None:
        raise click.UsageError("--model needs --hardware; give the machine that it runs on, such as --hardware l4")
    with usage_errors():
        correction = None if options["correction"] is None else StepCostFactors.read(options["correction"])
        return Sidecar(
            options["url"],
            engine=options["engine"],
            on=on,
            model=options["model"],
            served=options["served"],
            correction=correction,
            energy=options["energy"],
            plan=options["plan"],
            exporters=list(options["exporter"]),
            log=options["log"],
            interval_s=options["interval_s"],
        )


def _first_reading(sidecar: Sidecar, engine: str, *, waits: bool) -> None:
    """Read once, so that a wrong address ends the command.

    Raises:
        SidecarError: Something else than metrics of the engine is there, or nothing if it is not waited for.
    """
    from ..monitor.sidecar import SidecarError

    sidecar.read()
    failure = sidecar.failure
    if failure is None:
        for note in sidecar.snapshot().notes:
            say(f"Note: {note}")
        return
    hint = "" if engine not in ENGINES else f" ({ENGINES[engine].hint})"
    if failure.is_wrong or not waits:
        raise SidecarError(f"{sidecar.url}: {failure.reason}; expected the metrics of a running engine{hint}")
    say(f"{sidecar.url}: {failure.reason}; waiting for it{hint}")


def _once(options: Mapping[str, Any], form: str) -> None:
    from ..monitor.history import History

    sidecar = _sidecar(options)
    history = History(sidecar, interval_s=sidecar.interval_s)
    with _stopped_by_signals() as stop:
        _first_reading(sidecar, options["engine"], waits=False)
        history.sample()
        say(f"Reading {sidecar.url} again in {sidecar.interval_s:g} s")
        stop.wait(sidecar.interval_s)
    sidecar.read()
    history.sample()
    sidecar.close()
    write_result(history.read(), form, None)


def _watch(options: Mapping[str, Any], stop: threading.Event) -> None:
    from ..monitor.terminal import top

    sidecar = _sidecar(options)
    pages = _pages(sidecar, options)
    try:
        _first_reading(sidecar, options["engine"], waits=True)
        with sidecar:
            say(f"Reading {sidecar.url} every {sidecar.interval_s:g} s")
            for page in pages:
                say(f"Metrics at {page.url}metrics, live page at {page.url}")
            if options["log"] is not None:
                say(f"Log in {options['log']}")
            if options["top"]:
                top(pages[0].histories[0], stop=stop)
            else:
                _wait(sidecar, stop)
    finally:
        for page in pages:
            page.close()
    say(_summary(sidecar))


def _pages(sidecar: Sidecar, options: Mapping[str, Any]) -> list[LivePage]:
    """Return the servers: one, or two if the live page has an address of its own."""
    from ..monitor.access import read_token
    from ..monitor.exporters.prometheus import metrics_page
    from ..monitor.live_page import LivePage

    token = read_token(options["token_file"])
    addresses = dict.fromkeys((options["listen"], options["page"] or options["listen"]))
    found: list[LivePage] = []
    try:
        for address in addresses:
            with usage_errors():
                page = LivePage(
                    sidecar, address=address, token=token, metrics=metrics_page, interval_s=sidecar.interval_s
                ).start()
            found.append(page)
    except BaseException:
        for page in found:
            page.close()
        raise
    return found


def _wait(sidecar: Sidecar, stop: threading.Event) -> None:
    """Wait for the end, and report when the engine stops answering and when it answers again."""
    known = sidecar.failure
    while not stop.wait(_LOOK_S):
        now = sidecar.failure
        if now is not None and (known is None or known.reason != now.reason):
            say(f"{sidecar.url}: {now.reason}")
        elif now is None and known is not None:
            say(f"{sidecar.url}: it answers")
        known = now


def _summary(sidecar: Sidecar) -> str:
    snapshot = sidecar.snapshot()
    tokens, cost = snapshot.value("output_tokens"), snapshot.value("cost_usd")
    paid_s = (snapshot.value("reserved_s") or 0.0) / sidecar.on.devices
    told = [f"{snapshot.value('requests') or 0:,.0f} requests"]
    told += [] if tokens is None else [f"{tokens:,.0f} generated tokens"]
    told += [] if cost is None else [f"{cost:,.4f} USD"]
    return f"Ended after {paid_s:,.0f} s: {', '.join(told)}"


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set: the usual signals that end a sidecar."""
    stop = threading.Event()
    before = {}
    with suppress(ValueError):  # not in the main thread: the caller ends it otherwise
        for each in (signal.SIGTERM, signal.SIGINT):
            before[each] = signal.signal(each, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
