"""
Commit statuses: what each forge wants to be sent, and what its answers mean.

| forge | where | limit of the description |
|---|---|---|
| GitHub | `POST {url}/repos/{owner}/{repo}/statuses/{sha}` | 140 |
| Gitea, Forgejo | `POST {url}/api/v1/repos/{owner}/{repo}/statuses/{sha}` | 255 |
| GitLab | `POST {url}/api/v4/projects/{id}/statuses/{sha}` | 255 |
"""

import email.utils
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from urllib.parse import quote

from reconciler.messages import Mark, MarkState
from reconciler.settings import Provider, StatusTarget

AT_MOST = 3600.0
"""Seconds that we wait because a forge asks us to."""

RATE_LIMIT_WAIT = 60.0
"""Seconds that GitHub wants between tries where it does not say more."""

QUOTED = 200
"""Characters that we quote of what a forge says."""

_PUBLIC = {
    Provider.GITHUB: "https://api.github.com",
    Provider.GITLAB: "https://gitlab.com",
}
_PATHS = {
    Provider.GITHUB: "/repos/{repository}/statuses/{commit}",
    Provider.GITEA: "/api/v1/repos/{repository}/statuses/{commit}",
    Provider.FORGEJO: "/api/v1/repos/{repository}/statuses/{commit}",
    Provider.GITLAB: "/api/v4/projects/{id}/statuses/{commit}",
}
_API = {
    Provider.GITEA: "/api/v1",
    Provider.FORGEJO: "/api/v1",
    Provider.GITLAB: "/api/v4",
}
_LIMITS = {Provider.GITHUB: 140}
_LIMIT = 255
_GITLAB_STATES = {
    MarkState.PENDING: "pending",
    MarkState.SUCCESS: "success",
    MarkState.FAILURE: "failed",
    MarkState.ERROR: "failed",  # it knows no "error"
    MarkState.SUPERSEDED: "canceled",
}
_STATES = {
    **{state: state.value for state in MarkState},
    # Neither knows "canceled", and nothing failed.
    MarkState.SUPERSEDED: "pending",
}
_REFUSED = {
    400: "the forge does not accept the status",
    401: "the token is wrong or has expired",
    403: "the token may not set statuses there",
    404: "there is no such repository or commit, or the token may not see it",
    422: "the forge does not accept the status, or knows no such commit",
}
_SAME_STATE = "Cannot transition status"
_SUCCESS, _MOVED, _BAD_REQUEST, _FORBIDDEN = 200, 300, 400, 403
_TOO_MANY, _SERVER = 429, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be posted."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a forge answered, as far as we look at it."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an answer means."""

    accepted: bool = False
    error: str = ""
    lasting: bool = False  # the same request will be refused again
    wait: float = 0.0  # seconds that the forge asks us to wait


def request_of(target: StatusTarget, mark: Mark, token: str) -> Request:
    """Return the request that sets *mark*."""
    gitlab = target.provider is Provider.GITLAB
    states = _GITLAB_STATES if gitlab else _STATES
    body = {
        "state": states[mark.state],
        "description": fitted(mark.text, _LIMITS.get(target.provider, _LIMIT)),
        "name" if gitlab else "context": target.context,
    }
    if target.link is not None:
        body["target_url"] = Template(target.link).substitute(
            commit=mark.commit,
            host=quote(mark.hosts[0] if mark.hosts else "", safe=""),
            attempt=quote(mark.attempt, safe=""),
        )
    return Request(
        url=_url(target, mark), headers=_headers(target.provider, token), body=body
    )


def result_of(answer: Answer, *, token: str, now: float) -> Result:
    """Return what *answer* means; no error holds the *token*."""
    status = answer.status
    if _SUCCESS <= status < _MOVED:
        return Result(accepted=True)
    # GitLab refuses to go from a state to the same one; then it is there already.
    if status == _BAD_REQUEST and _SAME_STATE in answer.text:
        return Result(accepted=True)
    error = f"HTTP status {status}"
    if said := _said(answer, token):
        error = f"{error}: {said}"
    if status == _TOO_MANY or status >= _SERVER or _is_rate_limit(answer):
        return Result(error=error, wait=_wait(answer, now))
    if status < _BAD_REQUEST:
        why = "the forge answers from another address now: correct `url`, `repository`"
    else:
        why = _REFUSED.get(status, "the forge refuses")
    return Result(error=f"{why} ({error})", lasting=True)


def fitted(text: str, limit: int) -> str:
    """Return *text*, cut to so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _url(target: StatusTarget, mark: Mark) -> str:
    provider = target.provider
    base = (target.url or _PUBLIC.get(provider, "")).removesuffix(
        _API.get(provider, "\0")
    )
    return base + _PATHS[provider].format(
        repository=target.repository,
        id=quote(target.repository, safe=""),
        commit=mark.commit,
    )


def _headers(provider: Provider, token: str) -> dict[str, str]:
    headers = {"Accept": "application/json", "User-Agent": "reconciler"}
    match provider:
        case Provider.GITHUB:
            headers["Accept"] = "application/vnd.github+json"
            headers["X-GitHub-Api-Version"] = "2022-11-28"
            headers["Authorization"] = f"Bearer {token}"
        case Provider.GITEA | Provider.FORGEJO:
            headers["Authorization"] = f"token {token}"
        case Provider.GITLAB:
            headers["PRIVATE-TOKEN"] = token
    return headers


def _said(answer: Answer, token: str) -> str:
    """Return the reason that a forge gave, where it gave one as these do."""
    try:
        found = json.loads(answer.text)
    except ValueError:
        return ""
    message = (
        found.get("message") or found.get("error") if isinstance(found, dict) else ""
    )
    text = message if isinstance(message, str) else json.dumps(message)
    return fitted(" ".join(text.split()).replace(token, "…"), QUOTED)


def _is_rate_limit(answer: Answer) -> bool:
    """GitHub answers 403 also where 429 is meant."""
    if answer.status != _FORBIDDEN:
        return False
    headers = answer.headers
    exhausted = headers.get("x-ratelimit-remaining") == "0"
    return exhausted or "retry-after" in headers or "rate limit" in answer.text.lower()


def _wait(answer: Answer, now: float) -> float:
    headers = answer.headers
    wait = _retry_after(headers.get("retry-after", ""), now)
    if wait is None and headers.get("x-ratelimit-remaining") == "0":
        wait = _seconds(headers.get("x-ratelimit-reset", ""), since=now)
    if wait is None:
        wait = 0.0 if answer.status >= _SERVER else RATE_LIMIT_WAIT
    return min(max(wait, 0.0), AT_MOST)


def _retry_after(text: str, now: float) -> float | None:
    """Return the seconds that a Retry-After header means: a number, or a date."""
    seconds = _seconds(text, since=0.0)
    if seconds is not None or not text:
        return seconds
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _seconds(text: str, *, since: float) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value - since if math.isfinite(value) else None
