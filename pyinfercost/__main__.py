"""`python -m pyinfercost` is the command `pyinfercost`."""

from ._interrupts import stop_at_once


def main() -> None:
    """Run the command line."""
    stop_at_once()
    from .cli import main as run

    try:
        run(prog_name="pyinfercost")
    finally:
        # Python ends by SIGINT if Ctrl-C came while a text was executed, as in the creation of a dataclass, whatever
        # caught it. Another text makes it forget that.
        exec("")


if __name__ == "__main__":
    main()
