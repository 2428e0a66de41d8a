"""`python -m pyinfercost` is the command `pyinfercost`."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="pyinfercost")
