"""Comments on pull requests of GitHub and merge requests of GitLab, from inside their CI. One comment for each key."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from .._checks import parse_json, read_text
from ..errors import FileAccessError, InputError, StateError

_PAGE = 100
_MOST_PAGES = 100
_TIMEOUT_S = 30
_KEY = re.compile(r"[A-Za-z0-9_. -]{1,100}")


class ForgeError(FileAccessError):
    """A comment that cannot be written."""


@dataclass(frozen=True)
class Forge:
    """Where the comments of a pull request are.

    Attributes:
        name: For messages.
        comments: Address of the list of comments, to which new ones are posted.
        comment: Address of one comment, without its number.
        method: HTTP method that changes a comment.
        headers: Headers of requests, with the token.
        needs: What the token needs, for messages.
    """

    name: str
    comments: str
    comment: str
    method: str
    headers: Mapping[str, str]
    needs: str


def post_comment(markdown: str, *, key: str) -> str:
    """Write a comment on the pull request of this job, or replace the one with the same key.

    Args:
        markdown: The text.
        key: Name of the comment, in a line that is not shown.

    Returns:
        What was done, in words. A token that may not write, as in pull requests of forks, is no error.

    Raises:
        StateError: This is no job of a pull request, or the token is missing.
        ForgeError: The server refuses the comment, or does not answer.
    """
    if not _KEY.fullmatch(key) or "--" in key:
        raise InputError(f"the key of a comment has up to 100 letters, digits, '.', '_', '-' and spaces; got {key!r}")
    forge = _forge(os.environ)
    mark = f"<!-- {key}: written by pyinfercost -->"
    body = {"body": f"{mark}\n{markdown}"}
    try:
        known = _find(forge, mark)
        if known is None:
            _request(forge, "POST", forge.comments, body)
            return f"Wrote a comment on {forge.name}"
        _request(forge, forge.method, f"{forge.comment}/{known}", body)
        return f"Updated the comment on {forge.name}"
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            return f"No comment on {forge.name}: the token may not write ({error.code}); it needs {forge.needs}"
        raise ForgeError(f"{forge.name} answered {error.code} {error.reason}; no comment was written") from error
    except (OSError, TimeoutError) as error:
        raise ForgeError(f"{forge.name} does not answer: {error}") from error


def _find(forge: Forge, mark: str) -> int | None:
    """Return the number of the comment that starts with a line."""
    for page in range(1, _MOST_PAGES + 1):
        comments = _request(forge, "GET", f"{forge.comments}?per_page={_PAGE}&page={page}", None)
        for each in comments:
            if isinstance(each, dict) and str(each.get("body", "")).startswith(mark):
                return int(each["id"])
        if len(comments) < _PAGE:
            return None
    return None


def _request(forge: Forge, method: str, address: str, body: object) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {**forge.headers, "Content-Type": "application/json", "User-Agent": "pyinfercost"}
    request = urllib.request.Request(address, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return parse_json(answer.read().decode(), address)


def _forge(environment: Mapping[str, str]) -> Forge:
    """Return the forge whose variables are set."""
    if environment.get("GITLAB_CI"):
        return _gitlab(environment)
    if environment.get("GITHUB_ACTIONS"):
        return _github(environment)
    raise StateError(
        "this is no job of GitHub Actions or GitLab CI: neither GITHUB_ACTIONS nor GITLAB_CI is set; comments are "
        "written from there only"
    )


def _github(environment: Mapping[str, str]) -> Forge:
    token = _needed(environment, "GITHUB_TOKEN", "set it to ${{ github.token }}")
    event = parse_json(read_text(_needed(environment, "GITHUB_EVENT_PATH", "")), Path("GITHUB_EVENT_PATH").name)
    pull = cast("dict[str, Any]", event).get("pull_request") if isinstance(event, dict) else None
    if not isinstance(pull, dict) or not isinstance(pull.get("number"), int):
        raise StateError("this job is of no pull request; run it `on: pull_request`")
    root = _http(environment.get("GITHUB_API_URL", "https://api.github.com"), "GITHUB_API_URL")
    repository = quote(_needed(environment, "GITHUB_REPOSITORY", ""))
    return Forge(
        name="GitHub",
        comments=f"{root}/repos/{repository}/issues/{pull['number']}/comments",
        comment=f"{root}/repos/{repository}/issues/comments",
        method="PATCH",
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
        needs="permissions: pull-requests: write, which jobs of forks do not have",
    )


def _gitlab(environment: Mapping[str, str]) -> Forge:
    token = _needed(environment, "GITLAB_TOKEN", "add a project access token with the scope api as a masked variable")
    root = _http(_needed(environment, "CI_API_V4_URL", ""), "CI_API_V4_URL")
    project = quote(_needed(environment, "CI_PROJECT_ID", ""), safe="")
    number = quote(_needed(environment, "CI_MERGE_REQUEST_IID", "run this in pipelines of merge requests"), safe="")
    notes = f"{root}/projects/{project}/merge_requests/{number}/notes"
    return Forge(
        name="GitLab",
        comments=notes,
        comment=notes,
        method="PUT",
        headers={"PRIVATE-TOKEN": token},
        needs="the scope api",
    )


def _needed(environment: Mapping[str, str], name: str, hint: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise StateError(f"{name} is not set" + (f"; {hint}" if hint else ""))
    return value


def _http(address: str, name: str) -> str:
    if not address.startswith(("https://", "http://")):
        raise StateError(f"{name} is {address!r}; expected an address that starts with https://")
    return address.rstrip("/")
