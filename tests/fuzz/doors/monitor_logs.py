"""Logs of monitors: damaged lines and values are counted or refused, reported, and written as a workload."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from support.monitored import MONDAY_S, Observed, requests_at

from pyinfercost.errors import Error
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.log_reader import read_log
from pyinfercost.monitor.log_report import report_log
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.serving.traffic import parse_traffic

from ..door import Door, Figure, figures_in, require
from ..mutate import broken_json, mutate, mutated_bytes
from ..values import Value

_MOST = 50


class MonitorLogs(Door):
    """`read_log`, its report, and its export, which is read again."""

    share = 7_500
    libraries = ("numpy.random",)

    def seeds(self) -> Value:
        """Return the lines of a log with rows of requests, and of one with counters alone."""
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for rows in (True, False):
                path = Path(folder) / f"{rows}.jsonl"
                for run in range(2):
                    observed = Observed(f"run {run}", MONDAY_S + 300.0 * run)
                    with MonitorLog(path, start_s=observed.now_s, price_usd_per_h=1.0, spec="hf:x") as log:
                        for minute in range(4):
                            observed.count("requests", 5, outcome="ok")
                            observed.count("output_tokens", 50)
                            for figure in ("measured_s", "predicted_s", "predicted_low_s", "predicted_high_s"):
                                observed.count(figure, 1.0 + minute, part="all")
                            for use in ("busy", "idle"):
                                observed.count("reserved_s", 30.0, use=use)
                                observed.count("cost_usd", 0.01, use=use)
                            for name in ("request_prompt_tokens", "request_output_tokens", "ttft_s"):
                                observed.sample(name, 3.0, 40.0, bounds=(1.0, 10.0, 100.0))
                            observed.gauge("in_flight", minute)
                            observed.gauge("planned_usd_per_h", 1.0)
                            now = observed.now_s
                            log.append(observed.snapshot(60.0), requests_at([now + 1.0, now + 2.0]) if rows else None)
                found.append([json.loads(line) for line in path.read_bytes().splitlines()])
        return found

    def draw(self, random: Random) -> Value:
        """Return the bytes of a log."""
        lines = [json.dumps(line) for line in random.choice(self.corpus)]
        for _ in range(random.choice((1, 1, 2, 5))):
            place = random.randrange(len(lines))
            try:
                tree = json.loads(lines[place])
            except (ValueError, RecursionError):
                continue
            lines[place] = broken_json(random, tree) if random.random() < 0.2 else json.dumps(mutate(random, tree))
        if random.random() < 0.1:
            lines.insert(random.randrange(len(lines) + 1), _long(random))
        content = "\n".join(lines).encode(errors="replace")
        return mutated_bytes(random, content) if random.random() < 0.2 else content

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the log, report it, and read its workload."""
        path = self.folder / "log.jsonl"
        path.write_bytes(value)
        log = read_log(path)
        report = report_log(log)
        document = json.loads(report.to_json())
        report.to_text()
        page = report.to_html().lower()
        scripts = page.count("<script"), page.count("</script")
        require(scripts in ((0, 0), (1, 1)), "a page of others has no script but its own")
        whole = document["monitor_report"]["whole"]
        yield from figures_in({name: whole[name] for name in ("length_s", "covered_s")})
        try:
            found = export_workload(log, self.folder / "out.csv", model=log.models[0])
        except Error:  # the log has no requests, or not this many
            return
        options = {} if found.has_lengths else {"prompt": 1, "output": 1}
        workload = parse_traffic(found.path, requests=_MOST, **options)
        count = sum(len(chunk) for chunk in workload.chunks())
        require(count == min(_MOST, found.requests), "what was written is what is read", (count, found.requests))


def _long(random: Random) -> str:
    """Draw a line that is long or nested, or an interval of many requests, labels or years."""
    many = random.choice((10, 1000, 50_000))
    interval: dict[str, Value] = {"record": "interval", "run": "run 0", "from_s": MONDAY_S, "to_s": MONDAY_S + 60}
    kind = random.randrange(7)
    if kind == 0:
        return random.choice(("[", '{"a":', "a", '"', "\0", "[],")) * many
    if kind == 1:
        count, base = random.choice((many, 10**9, 2**62)), random.choice((0, 10**17))
        arrival = random.choice((0, [0] * min(many, 1000), [0, -5], [2**62], [[0]]))
        interval["requests"] = {"count": count, "base_us": base, "arrival_us": arrival}
    elif kind == 2:
        interval["values"] = [[random.choice(("measured_s", "requests")), f"p{number}", 1.0] for number in range(many)]
    elif kind == 3:
        interval |= {"from_s": random.choice((0, 3e9, 9e10)), "to_s": random.choice((1, 1e11, -1)), "values": []}
    elif kind == 4:
        interval["values"] = [["cost_usd", "busy", random.choice((1e308, -5, 10**400))]]
    elif kind == 5:
        return "\n".join(json.dumps({**interval, "run": str(number)}) for number in range(min(many, 500)))
    else:
        place = random.choice(("/etc/passwd", "/dev/zero", "../../x.toml", 7, [], {"hardware": "/dev/zero"}))
        return json.dumps({"record": "run", "run": "run 0", random.choice(("plan", "deployment", "spec")): place})
    return json.dumps(interval)
