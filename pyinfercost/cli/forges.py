"""Comments on pull requests of GitHub and merge requests of GitLab, from inside their CI. One comment for each key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

from .._checks import Range, is_whole, parse_json, read_json, shown, whole
from .._http import Gone, ask, header_token, http_address, status_words
from ..errors import FileAccessError, InputError, StateError

_PAGE = 100
_MOST_PAGES = 100
_MOST_BYTES = 64 * 2**20  # of a page of comments, each of at most 0.4 MB as JSON; GitLab allows longer ones
_TIMEOUT_S = 30
_IDS = Range(0, 2**63 - 1)
_KEY = re.compile(r"[A-Za-z0-9_. -]{1,100}")


class ForgeError(FileAccessError):
    """A comment that cannot be written."""


class _NotAllowedError(ForgeError):
    """The token may not write."""


@dataclass(frozen=True)
class Forge:
    """Where the comments of a pull request are.

    Attributes:
        name: For messages.
        setting: The variable with the address of the API, and its value, for messages.
        comments: Address of the list of comments, to which new ones are posted.
        comment: Address of one comment, without its number.
        method: HTTP method that changes a comment.
        token: The token; no message has it.
        headers: Headers of requests, with the token.
        needs: What the token needs, for messages.
    """

    name: str
    setting: str
    comments: str
    comment: str
    method: str
    token: str
    headers: Mapping[str, str]
    needs: str

    def error(self, reason: str) -> ForgeError:
        """Return the error of a comment that is not written."""
        told = f"no comment was written on {self.name} ({self.setting}): {reason}"
        return ForgeError(told.replace(self.token, "***"))  # a server may send it back


def post_comment(markdown: str, *, key: str) -> str:
    """Write a comment on the pull request of this job, or replace the one with the same key.

    No redirect is followed: the token is sent to the address of the forge alone.

    Args:
        markdown: The text.
        key: Name of the comment, in a line that is not shown.

    Returns:
        What was done, in words. A token that may not write, as in pull requests of forks, is no error.

    Raises:
        StateError: This is no job of a pull request, or the token is missing or has characters that no token has.
        ForgeError: The server refuses the comment, does not answer within 30 s, or answers something else.
    """
    if not _KEY.fullmatch(key) or "--" in key:
        raise InputError(f"the key of a comment has up to 100 letters, digits, '.', '_', '-' and spaces; got {key!r}")
    forge = _forge(os.environ)
    mark = f"<!-- {key}: written by pyinfercost -->"
    body = {"body": f"{mark}\n{markdown}"}
    try:
        known = _find(forge, mark)
        if known is None:
            _request(forge, "POST", forge.comments, HTTPStatus.CREATED, body)
            return f"Wrote a comment on {forge.name}"
        _request(forge, forge.method, f"{forge.comment}/{known}", HTTPStatus.OK, body)
        return f"Updated the comment on {forge.name}"
    except _NotAllowedError as refused:
        return str(refused)


def _find(forge: Forge, mark: str) -> int | None:
    """Return the number of the comment that starts with a line."""
    for page in range(1, _MOST_PAGES + 1):
        answer = _request(forge, "GET", f"{forge.comments}?per_page={_PAGE}&page={page}", HTTPStatus.OK)
        try:
            comments = parse_json(answer, "its list of comments")
            if not isinstance(comments, list) or not all(isinstance(each, dict) for each in comments):
                raise InputError(f"its list of comments is {shown(comments)}; expected a list of objects")
            for each in comments:
                if str(each.get("body")).startswith(mark):
                    return whole(each.get("id"), "the id of a comment", _IDS)
        except InputError as wrong:
            raise forge.error(str(wrong)) from None
        if len(comments) < _PAGE:
            return None
    return None


def _request(forge: Forge, method: str, address: str, expected: HTTPStatus, body: object = None) -> str:
    """Return the text of an answer with the expected status."""
    answer = ask(
        address,
        method=method,
        headers={**forge.headers, "Content-Type": "application/json"},
        body=None if body is None else json.dumps(body).encode(),
        timeout_s=_TIMEOUT_S,
        most_bytes=_MOST_BYTES,
        by_proxies=True,
    )
    if isinstance(answer, Gone):
        raise forge.error(answer.reason)
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise _NotAllowedError(
            f"No comment on {forge.name}: the token may not write ({answer.status}); it needs {forge.needs}"
        )
    if answer.status != expected:
        raise forge.error(f"it answers with {status_words(answer.status)}; expected {status_words(expected)}")
    return answer.text


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
    token = _token(environment, "GITHUB_TOKEN", "set it to ${{ github.token }}")
    event = read_json(_needed(environment, "GITHUB_EVENT_PATH", ""))
    pull = cast("dict[str, Any]", event).get("pull_request") if isinstance(event, dict) else None
    if not isinstance(pull, dict) or not is_whole(pull.get("number")):
        raise StateError("this job is of no pull request; run it `on: pull_request`")
    root = _root(environment.get("GITHUB_API_URL", "https://api.github.com"), "GITHUB_API_URL")
    repository = quote(_needed(environment, "GITHUB_REPOSITORY", ""))
    return Forge(
        name="GitHub",
        setting=f"GITHUB_API_URL: {root}",
        comments=f"{root}/repos/{repository}/issues/{pull['number']}/comments",
        comment=f"{root}/repos/{repository}/issues/comments",
        method="PATCH",
        token=token,
        headers={"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
        needs="permissions: pull-requests: write, which jobs of forks do not have",
    )


def _gitlab(environment: Mapping[str, str]) -> Forge:
    token = _token(environment, "GITLAB_TOKEN", "add a project access token with the scope api as a masked variable")
    root = _root(_needed(environment, "CI_API_V4_URL", ""), "CI_API_V4_URL")
    project = quote(_needed(environment, "CI_PROJECT_ID", ""), safe="")
    number = quote(_needed(environment, "CI_MERGE_REQUEST_IID", "run this in pipelines of merge requests"), safe="")
    notes = f"{root}/projects/{project}/merge_requests/{number}/notes"
    return Forge(
        name="GitLab",
        setting=f"CI_API_V4_URL: {root}",
        comments=notes,
        comment=notes,
        method="PUT",
        token=token,
        headers={"PRIVATE-TOKEN": token},
        needs="the scope api",
    )


def _needed(environment: Mapping[str, str], name: str, hint: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise StateError(f"{name} is not set" + (f"; {hint}" if hint else ""))
    return value


def _token(environment: Mapping[str, str], name: str, hint: str) -> str:
    return header_token(_needed(environment, name, hint), name, StateError)


def _root(address: str, name: str) -> str:
    return http_address(address, name, "an address that starts with https://", StateError).geturl().rstrip("/")
