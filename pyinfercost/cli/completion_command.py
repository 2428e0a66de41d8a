"""`pyinfercost completion`: scripts with which shells complete models, machines, figures and options."""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from .commands import command

VARIABLE = "_PYINFERCOST_COMPLETE"

_HOW = """Print the script with which a shell completes commands, options, models, machines and figures.

\b
bash:  eval "$(pyinfercost completion bash)"                              in ~/.bashrc
zsh:   eval "$(pyinfercost completion zsh)"                               in ~/.zshrc, after compinit
fish:  pyinfercost completion fish > ~/.config/fish/completions/pyinfercost.fish
"""

# Bash takes a colon for the end of a word: words come from the line, and completions lose the part before it.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}" current response completion kind value
    current="${line##*[[:space:]]}"
    response=$(env COMP_LINE="$line" %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for completion in $response; do
        IFS=',' read -r kind value <<< "$completion"
        if [[ $kind == dir || $kind == file ]]; then
            compopt -o default
        elif [[ $kind == plain ]]; then
            [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && value="${value#"${current%%"${current##*:}"}"}"
            COMPREPLY+=("$value")
            [[ $value == *[:/] ]] && compopt -o nospace
        fi
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Completion of bash, in which words may have colons."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Start no other shell to ask for its version."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]


# A completion may have commas, as lists of machines do.
_FISH = FishComplete.source_template.replace('string split ","', 'string split --max 1 ","')


class Fish(FishComplete):
    """Completion of fish, in which words may have commas."""

    source_template = _FISH


add_completion_class(Bash)
add_completion_class(Fish)


@command(help=_HOW)
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    kind: Any = get_completion_class(shell)
    click.echo(kind(context.find_root().command, {}, "pyinfercost", VARIABLE).source())
