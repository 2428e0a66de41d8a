"""`pyinfercost calibrate`: measure this machine and write a hardware file."""

from __future__ import annotations

import click

from .commands import command
from .options import EXIT_CODES, out_option
from .output import check_writable, messages_for_people, say, write
from .progress import working
from .types import InUnits

_PERCENTS = 100


@command(epilog=EXIT_CODES)
@out_option(help="The file to write, such as this.toml; default: stdout.")
@click.option("--threads", type=click.IntRange(min=1), help="Number of threads to measure with; default: all cores.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--seconds", type=InUnits("s", minimum=0.1), default=55.0, show_default=True, help="Of measurements.")
@click.option("--no-compile", is_flag=True, help="Skip torch.compile, which needs a C++ compiler.")
def calibrate(*, output: str | None, threads: int | None, device: str, seconds: float, no_compile: bool) -> None:
    """Measure this machine and write a hardware file for --hardware.

    It takes at most 90 seconds and needs an otherwise idle machine. No model is run: it measures peak matrix products,
    bandwidths, overheads of operators and kernels, and the speed of loops, all with the installed torch.
    """
    with messages_for_people():
        if output is not None:
            check_writable(output)
        from ..measuring.disturbance import is_busy, system_load

        load = system_load()
        if is_busy(load):
            say(f"Note: {load:.1f} processes run on this machine; measurements are not reliable while they run")
        with working("Measuring this machine, which has to be idle", "%") as shown:

            def report(_what: str, share: float) -> None:
                shown(round(_PERCENTS * share), _PERCENTS)

            if device == "cuda":
                from ..measuring.cuda import calibrate_cuda

                measured = calibrate_cuda(budget_s=seconds, report=report)
            else:
                from ..measuring.calibration import calibrate as measure

                measured = measure(threads=threads, budget_s=seconds, compiled=not no_compile, report=report)
        write(measured.to_toml(), output)
        for note in measured.notes:
            say(note)
        if output is not None:
            say(f"Wrote {output}: use it with --hardware {output}")
