"""`pyinfercost ci`: what a change in a repository costs; `pyinfercost comment`: a report as a comment on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from .._checks import read_text
from ..errors import InputError
from .commands import command
from .configuration import REQUESTS
from .configured import configuration, is_configured
from .options import out_option
from .output import LIMIT_BROKEN, check_writable, messages_for_people, say, write
from .progress import working

if TYPE_CHECKING:
    from ..predict.review import ModelReview
    from .ci_sides import SideOfChange

_FAIL_IF_HELP = (
    "Limit on a figure of each model, as of `diff`, or on usd_per_month, the cost of all models; repeatable. Default: "
    "[limits] of the configuration. If a limit is exceeded, the exit code is 3."
)


@command(
    epilog="OPTIONS of `profile` follow, such as `-- --hardware l4 --price spot`; models of a pyinfercost.toml have "
    "their options there. Exit codes: 0 success, 1 failure, 2 usage error, 3 a limit is exceeded, 130 interrupted."
)
@click.option("--base", metavar="COMMIT", default="HEAD", show_default=True, help="The commit before the change.")
@click.option("--model", "-m", "models", multiple=True, metavar="MODEL", help="A spec or a name; repeatable.")
@click.option("--fail-if", "limits", multiple=True, metavar="FIGURE:LIMIT", help=_FAIL_IF_HELP)
@click.option("--title", default="Cost of this change", show_default=True, help="Title of the Markdown.")
@click.option("--format", "form", type=click.Choice(("md", "json")), default="md", show_default=True, help="Format.")
@out_option()
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS...]")
def ci(
    *,
    base: str,
    models: tuple[str, ...],
    limits: tuple[str, ...],
    title: str,
    form: str,
    output: str | None,
    options: tuple[str, ...],
) -> None:
    """Compare models in the working tree with the models of a commit, and add up what they cost in a month.

    Without --model, all models of pyinfercost.toml are compared. A model with requests_per_month and a price has a cost
    of a month.
    """
    with messages_for_people():
        from ..predict.limits import LIMITED, LimitError, limit_of
        from ..predict.review import MONTHLY, review_of
        from ..report.documents import as_json
        from ..report.review import review_document, review_markdown
        from .ci_sides import sides_of_change

        if is_configured("limits"):  # some of them may be of fleets
            limits = tuple(text for text in limits if text.partition(":")[0] in (*LIMITED, MONTHLY))
        try:
            of_all = {text: limit_of(text, (*LIMITED, MONTHLY)).figure == MONTHLY for text in limits}
        except LimitError as error:
            raise click.UsageError(f"--fail-if: {error}") from error
        if output is not None:
            check_writable(output)
        read = configuration()
        if not models and (read is None or not read.models):
            raise click.UsageError("no models: give --model, or name them in pyinfercost.toml (`pyinfercost init`)")
        with sides_of_change(base, read) as sides, TemporaryDirectory(prefix="pyinfercost-") as scratch:
            names = models or tuple(dict.fromkeys(name for side in reversed(sides) for name in side.models))
            of_each = [text for text, is_sum in of_all.items() if not is_sum]
            found = [_review(name, sides, options, of_each, Path(scratch)) for name in names]
        review = review_of(found, limits=[text for text, is_sum in of_all.items() if is_sum])
        whole = as_json(review_document(review)) + "\n" if form == "json" else review_markdown(review, title=title)
        write(whole, output)
        for name, broken in review.failed:
            say(f"FAILED {name}: {broken}" if name else f"FAILED {broken}")
        if review.failed:
            raise click.exceptions.Exit(LIMIT_BROKEN)


def _review(
    name: str, sides: tuple[SideOfChange, SideOfChange], options: Sequence[str], limits: Sequence[str], scratch: Path
) -> ModelReview:
    """Return the review of one model.

    Raises:
        InputError: The side after cannot be profiled.
    """
    from ..predict.review import UNKNOWN, ModelReview, model_review

    before, after = sides
    is_named = name in before.models or name in after.models
    given = (after.models.get(name) or before.models.get(name) or {}).get(REQUESTS)
    requests = None if given is None else float(given)
    documents = []
    error = ""
    for label, side in (("before", before), ("after", after)):
        document = None
        if name in side.models or not is_named:
            try:
                with working(f"Profiling {name} {label} the change"):
                    document = side.profile(name, options, scratch / f"{label}.json")
            except InputError as problem:
                if side is after:
                    raise InputError(f"{name} cannot be profiled: {problem}") from problem
                error = f"not profiled before the change: {problem}"
        documents.append(document)
    if error:
        return ModelReview(name, UNKNOWN, None, requests, error)
    return model_review(name, *documents, requests_per_month=requests, limits=limits)


@command()
@click.option("--key", default="pyinfercost", show_default=True, help="Name of the comment, which is updated by name.")
@click.argument("report", type=click.Path(dir_okay=False), metavar="REPORT.md")
def comment(*, key: str, report: str) -> None:
    """Write a Markdown file as a comment on the pull request that this job is of, or update the comment.

    GitHub Actions and GitLab CI are recognized by their variables. GITHUB_TOKEN needs `pull-requests: write`; GitLab
    needs a token with the scope `api` in GITLAB_TOKEN.
    """
    with messages_for_people():
        from .forges import post_comment

        say(post_comment(read_text(report), key=key))
