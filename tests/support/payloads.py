"""Payloads of pushes with the fields that receivers read, and what can be wrong."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ZEROS = "0" * 40
HEAD = "e5bd3914e2e596debea16f433f57875b5b90bcd6"
BEFORE = "8fc58ab5f0e4a5a0a8b0c4f2d3f1c9b7a6e5d4c3"
URLS = {
    "clone_url": "https://git.example.org/me/nixos-configs.git",
    "git_url": "git://git.example.org/me/nixos-configs.git",
    "html_url": "https://git.example.org/me/nixos-configs",
    "ssh_url": "git@git.example.org:me/nixos-configs.git",
}

WRONG: tuple[Any, ...] = (None, "", 0, [], {}, True, "x" * 1_000_000)
"""What each field is replaced by in turn."""

REFS = (
    *("refs/tags/main", "refs/heads/other", "main", "refs/heads/"),
    *("refs/heads/../../etc", "refs/heads/.*[(", "refs/heads/main\nroot", "-x"),
    *("--upload-pack=touch /tmp/x", "refs/heads/--upload-pack=id", "\ud800", "\0"),
)
CLONE_URLS = ("--upload-pack=id", "ext::sh -c id", "file:///etc/passwd", "javascript:1")
AFTERS = (ZEROS, "0" * 64, "f" * 64, "x", HEAD[:39])


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload, and the name of the route for it."""

    name: str
    value: Any


def _hub(**more: object) -> dict[str, Any]:
    """Return what GitHub and those who took after it send."""
    commit = {
        "id": HEAD,
        "message": "Move lufta",
        "added": [],
        "removed": [],
        "modified": ["hosts/lufta/configuration.nix"],
    }
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": HEAD,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare_url": URLS["html_url"],
        "commits": [commit],
        "head_commit": commit,
        "repository": {
            "full_name": "me/nixos-configs",
            "default_branch": "main",
            **URLS,
        },
        "pusher": {"name": "me", "email": "me@example.org"},
        **more,
    }


PAYLOADS = {
    "github": Payload(name="github", value=_hub()),
    "gitea": Payload(name="gitea", value=_hub(total_commits=1)),
    "forgejo": Payload(name="forgejo", value=_hub(total_commits=1)),
    "gogs": Payload(name="gogs", value=_hub()),
    "gitlab": Payload(
        name="gitlab",
        value={
            "object_kind": "push",
            "ref": "refs/heads/main",
            "before": BEFORE,
            "after": HEAD,
            "checkout_sha": HEAD,
            "project": {
                "git_http_url": URLS["clone_url"],
                "git_ssh_url": URLS["ssh_url"],
                "web_url": URLS["html_url"],
                "path_with_namespace": "me/nixos-configs",
                "default_branch": "main",
            },
            "commits": [{"id": HEAD}],
            "total_commits_count": 1,
        },
    ),
    "bitbucket cloud": Payload(
        name="bitbucket",
        value={
            "push": {
                "changes": [
                    {
                        "new": {
                            "type": "branch",
                            "name": "main",
                            "target": {"hash": HEAD},
                        },
                        "truncated": False,
                        "forced": False,
                    },
                    {"new": None, "old": {"type": "branch", "name": "gone"}},
                ]
            },
            "repository": {
                "full_name": "me/nixos-configs",
                "links": {"html": {"href": URLS["html_url"]}},
            },
        },
    ),
    "bitbucket data center": Payload(
        name="bitbucket",
        value={
            "changes": [
                {
                    "ref": {"id": "refs/heads/main", "type": "BRANCH"},
                    "refId": "refs/heads/main",
                    "toHash": HEAD,
                    "type": "UPDATE",
                },
                {"refId": "refs/heads/gone", "toHash": ZEROS, "type": "DELETE"},
            ],
            "repository": {
                "links": {"clone": [{"href": URLS["clone_url"], "name": "http"}]}
            },
        },
    ),
    "azure": Payload(
        name="generic",
        value={
            "eventType": "git.push",
            "resource": {
                "refUpdates": [{"name": "refs/heads/main", "newObjectId": HEAD}],
                "repository": {
                    "remoteUrl": URLS["clone_url"],
                    "defaultBranch": "refs/heads/main",
                },
            },
        },
    ),
    "sourcehut": Payload(
        name="sourcehut",
        value={
            "push": "1b2c3d",
            "pusher": {"canonical_name": "~me"},
            "refs": [{"name": "refs/heads/main", "old": {}, "new": {"id": HEAD}}],
        },
    ),
}


def changed(payload: Payload) -> Iterator[bytes]:
    """Yield the body of *payload* as it is, and with each thing wrong in turn."""
    whole = payload.value
    yield _dumps(whole)
    for odd in ([], [whole], "push", 5, None, True):
        yield _dumps(odd)
    for place in _places(whole):
        for value in (*WRONG, *_special(place)):
            other = copy.deepcopy(whole)
            held: Any = other
            for key in place[:-1]:
                held = held[key]
            held[place[-1]] = value
            yield _dumps(other)


def _special(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what is wrong in particular with what is at *place*."""
    match place[-1]:
        case "ref" | "refId" | "name":
            return REFS
        case "after" | "hash" | "toHash" | "newObjectId" | "checkout_sha":
            return AFTERS
        case "clone_url" | "git_http_url" | "href" | "remoteUrl":
            return CLONE_URLS
        case "clone":
            return ({"href": "x"}, [1, None], ["x"], [{"href": 5}])
        case _:
            return ()


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 -- JSON
    """Yield where each field of *value* is, however deep."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*before, key))


def _dumps(value: object) -> bytes:
    # Lone surrogates are what some of these are about.
    return json.dumps(value).encode()
