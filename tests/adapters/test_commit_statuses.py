"""
Commit statuses at forges that check every request: method, path, headers and body.

The forges are servers of ours that are as strict as the documentation of each: what
they do not expect they refuse, with what each refuses.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typing_extensions import override

from reconciler.history import History
from reconciler.metrics import Metrics
from reconciler.model import Commit, CommitId, HostName, Verdict
from reconciler.notify import Notify
from reconciler.notify import senders as senders_module
from reconciler.settings import Settings
from tests.support.leaks import find_leaks, marked
from tests.support.receiver import Delivery, Receiver, Reply
from tests.support.wait import wait_until
from tests.unit.notify.samples import COMMIT, HOST, OLD, away, status, to_deploy

SOON = 60.0  # seconds
KEANU = HostName("keanu")
TOKEN = marked("token").decode()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders_module, "BACKOFF_BASE", 0.05)
    monkeypatch.setattr(senders_module, "BACKOFF_CAP", 0.2)


# --- forges ----------------------------------------------------------------------


@dataclass(frozen=True)
class Rules:
    """What a forge wants."""

    provider: str
    path: str  # up to the commit
    headers: dict[str, str]
    label: str  # the field with the name of the status
    states: frozenset[str]
    limit: int  # of the description
    repository: str = "me/nixos-configs"


JSON = {"content-type": "application/json", "user-agent": "reconciler"}
RULES = {
    "github": Rules(
        provider="github",
        path="/repos/me/nixos-configs/statuses/",
        headers={
            **JSON,
            "accept": "application/vnd.github+json",
            "authorization": f"Bearer {TOKEN}",
            "x-github-api-version": "2022-11-28",
        },
        label="context",
        states=frozenset({"error", "failure", "pending", "success"}),
        limit=140,
    ),
    "gitea": Rules(
        provider="gitea",
        path="/api/v1/repos/me/nixos-configs/statuses/",
        headers={
            **JSON,
            "accept": "application/json",
            "authorization": f"token {TOKEN}",
        },
        label="context",
        states=frozenset({"error", "failure", "pending", "success"}),
        limit=255,
    ),
    "gitlab": Rules(
        provider="gitlab",
        path="/api/v4/projects/me%2Fhome%2Fnixos-configs/statuses/",
        headers={**JSON, "accept": "application/json", "private-token": TOKEN},
        label="name",
        states=frozenset({"pending", "running", "success", "failed", "canceled"}),
        limit=255,
        repository="me/home/nixos-configs",
    ),
}
RULES["forgejo"] = replace(RULES["gitea"], provider="forgejo")


class Forge(Receiver):
    """Keeps the status of each commit, as far as requests are as they should be."""

    def __init__(self, rules: Rules, *replies: Reply) -> None:
        super().__init__(*replies)
        self.rules = rules
        self.wrong: list[str] = []
        self.statuses: dict[str, dict[str, str]] = {}

    @override
    def answer(self, delivery: Delivery) -> Reply:
        told = super().answer(delivery)
        self.wrong += self._wrong(delivery)
        if told.status != 200:
            return told
        if self.wrong:
            return Reply(status=422, body='{"message": "Validation Failed"}')
        commit = delivery.path.removeprefix(self.rules.path)
        before, now = self.statuses.get(commit), delivery.json
        if (
            self.rules.provider == "gitlab"
            and before
            and _refused_by_gitlab(before, now)
        ):
            text = "Cannot transition status via :enqueue from :pending"
            return Reply(status=400, body=json.dumps({"message": text}))
        self.statuses[commit] = now
        return Reply(status=201, body=json.dumps({"id": 1, "state": now["state"]}))

    def _wrong(self, delivery: Delivery) -> Iterator[str]:
        rules, body = self.rules, delivery.json
        if delivery.method != "POST":
            yield f"method {delivery.method}"
        commit = delivery.path.removeprefix(rules.path)
        if len(commit) != 40 or set(commit) - set("0123456789abcdef"):
            yield f"path {delivery.path}"
        for name, expected in rules.headers.items():
            if delivery.headers.get(name) != expected:
                yield f"header {name}: {delivery.headers.get(name)}"
        if set(body) - {"target_url"} != {"state", "description", rules.label}:
            yield f"fields {sorted(body)}"
        if body["state"] not in rules.states:
            yield f"state {body['state']}"
        if not 0 < len(body["description"]) <= rules.limit:
            yield f"description of {len(body['description'])} characters"

    @property
    def states(self) -> list[str]:
        """The states that were sent, in order."""
        return [delivery.json["state"] for delivery in self.deliveries]


def _refused_by_gitlab(before: dict[str, str], now: dict[str, str]) -> bool:
    return before["state"] == now["state"] == "pending"


@contextlib.contextmanager
def following(
    tmp_path: Path, forge: Forge, **more: object
) -> Iterator[tuple[Notify, History, Metrics]]:
    """Give a `Notify` that tells *forge*."""
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    settings = Settings.model_validate(
        {
            "repository": {"url": "/srv/git"},
            "statuses": {
                "provider": forge.rules.provider,
                "url": f"http://127.0.0.1:{forge.port}/",
                "repository": forge.rules.repository,
                "token_file": token,
                **more,
            },
        }
    )
    metrics = Metrics()
    database = tmp_path / "state" / "history.sqlite"
    database.parent.mkdir(exist_ok=True)
    with contextlib.closing(History.open(database)) as history:
        notify = Notify(settings, history, metrics, time.time)  # noqa: TID251
        notify.start()
        try:
            yield notify, history, metrics
        finally:
            notify.shut()
            notify.join(SOON)


def commit_of(commit: CommitId = COMMIT) -> Commit:
    return Commit(
        id=commit,
        tree="t",
        branch="main",
        subject="Move the bot",
        author="A. Person",
        committed_at=0.0,
    )


def wait_for_state(forge: Forge, state: str, commit: str = COMMIT) -> dict[str, str]:
    def found() -> dict[str, str]:
        now = forge.statuses.get(commit, {})
        return now if now.get("state") == state else {}

    return wait_until(found, SOON, f"{state} of {commit}; wrong: {forge.wrong}")


def wait_settled(history: History, forge: Forge) -> str:
    """Wait until nothing is left to send; return what is wrong, if anything."""
    name = f"{forge.rules.provider} {forge.rules.repository} reconciler"
    return wait_until(
        lambda: (left := history.outbox.mark_backlog(name)).waiting == 0 and [left],
        SOON,
        "every status to be sent",
    )[0].error


# --- the course of a commit ------------------------------------------------------


@pytest.mark.parametrize("provider", sorted(RULES))
def test_a_commit_goes_from_pending_to_success(tmp_path: Path, provider: str) -> None:
    link = "https://r.example.org/commit/$commit"
    with (
        Forge(RULES[provider]) as forge,
        following(tmp_path, forge, link=link) as (notify, history, _),
    ):
        notify.arrived(commit_of(), [HOST, KEANU])
        pending = wait_for_state(forge, "pending")
        notify.host(to_deploy())
        notify.host(status())
        notify.host(status(host=KEANU))
        success = wait_for_state(forge, "success")
        assert wait_settled(history, forge) == ""

    assert forge.wrong == []
    assert pending["description"] == "on its way to 2 hosts"
    assert success["description"] == "on 2 hosts"
    assert success["target_url"] == f"https://r.example.org/commit/{COMMIT}"
    assert success[forge.rules.label] == "reconciler"


@pytest.mark.parametrize("provider", sorted(RULES))
def test_a_failure_is_told_with_its_reason_cut_to_the_limit(
    tmp_path: Path, provider: str
) -> None:
    failed = "failed" if provider == "gitlab" else "failure"
    with (
        Forge(RULES[provider]) as forge,
        following(tmp_path, forge) as (notify, _, _),
    ):
        notify.arrived(commit_of(), [HOST])
        notify.host(to_deploy("the bot is not healthy; " + "x" * 1000))
        told = wait_for_state(forge, failed)
        # Tried again later, it works.
        notify.host(status())
        wait_for_state(forge, "success")

    assert forge.wrong == []
    assert told["description"].startswith("lufta: the bot is not healthy; xxx")
    assert len(told["description"]) == forge.rules.limit


def test_later_drift_does_not_touch_a_success(tmp_path: Path) -> None:
    with (
        Forge(RULES["github"]) as forge,
        following(tmp_path, forge) as (notify, history, _),
    ):
        notify.arrived(commit_of(), [HOST])
        notify.host(status())
        wait_for_state(forge, "success")
        sent = len(forge.deliveries)
        for later in (
            away(),
            to_deploy("failed"),
            status(Verdict.BLOCKED, error="another machine", running=OLD),
        ):
            notify.host(later)
        wait_settled(history, forge)

    assert len(forge.deliveries) == sent


def test_a_commit_that_waits_says_for_whom(tmp_path: Path) -> None:
    with Forge(RULES["github"]) as forge, following(tmp_path, forge) as (notify, _, _):
        notify.arrived(commit_of(), [HOST, KEANU])
        notify.host(status())
        notify.host(away(host=KEANU))

        wait_until(
            lambda: "keanu is unreachable" in str(forge.statuses.get(COMMIT)),
            SOON,
            "the host that is waited for",
        )


@pytest.mark.parametrize(
    ("provider", "state"), [("github", "pending"), ("gitlab", "canceled")]
)
def test_a_commit_that_never_came_through_is_superseded(
    tmp_path: Path, provider: str, state: str
) -> None:
    newer = CommitId("b" * 40)
    with (
        Forge(RULES[provider]) as forge,
        following(tmp_path, forge) as (notify, history, _),
    ):
        notify.arrived(commit_of(), [HOST])
        wait_for_state(forge, "pending")
        notify.arrived(commit_of(newer), [HOST])
        # A pass that began before the newer commit came.
        notify.host(status())
        wait_for_state(forge, "pending", newer)
        wait_settled(history, forge)

    assert forge.wrong == []
    assert forge.statuses[COMMIT]["state"] == state
    assert forge.statuses[COMMIT]["description"] == "superseded by bbbbbbbb"


def test_a_restart_goes_on_where_the_program_was(tmp_path: Path) -> None:
    with Forge(RULES["github"]) as forge:
        with following(tmp_path, forge) as (notify, history, _):
            notify.arrived(commit_of(), [HOST, KEANU])
            for one in (to_deploy("unit failed"), status(host=KEANU)):
                history.save_status(one)
                notify.host(one)
            wait_for_state(forge, "failure")
            wait_settled(history, forge)
        sent = len(forge.deliveries)
        with following(tmp_path, forge) as (again, history_again, _):
            again.arrived(commit_of(), [HOST, KEANU])
            wait_settled(history_again, forge)
            assert len(forge.deliveries) == sent
            again.host(status())
            wait_for_state(forge, "success")

    assert forge.wrong == []


# --- what forges answer ----------------------------------------------------------


def test_a_forge_that_is_busy_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = Reply(status=429, headers={"Retry-After": "2"})
    with (
        Forge(RULES["github"], busy) as forge,
        following(tmp_path, forge) as (notify, _, _),
    ):
        notify.arrived(commit_of(), [HOST])
        forge.wait_for(1)
        began = time.monotonic()
        # Neither may a newer state go out before.
        notify.host(status())
        forge.wait_for(2)

    assert time.monotonic() - began > 1.5
    assert forge.states == ["pending", "success"]


def test_a_forge_in_trouble_is_asked_again(tmp_path: Path) -> None:
    trouble = (Reply(status=502), Reply(status=500, body="<html>"))
    with (
        Forge(RULES["gitea"], *trouble) as forge,
        following(tmp_path, forge) as (notify, _, metrics),
    ):
        notify.arrived(commit_of(), [HOST])
        wait_for_state(forge, "pending")
        text = metrics.render()[0].decode()

    assert (
        'reconciler_notifications_total{kind="commit-status",result="failed"} 2.0'
        in text
    )


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (401, "the token is wrong or has expired"),
        (403, "the token may not set statuses there"),
        (404, "there is no such repository or commit"),
        (422, "the forge does not accept the status"),
        (302, "the forge answers from another address now"),
    ],
)
def test_a_refusal_is_not_repeated_but_shown(
    tmp_path: Path, code: int, why: str
) -> None:
    body = json.dumps({"message": f"no: {TOKEN}"})
    elsewhere = {"Location": "http://127.0.0.1:1/elsewhere"}
    refusal = Reply(status=code, body=body, headers=elsewhere)
    with (
        Forge(RULES["github"], refusal) as forge,
        following(tmp_path, forge) as (notify, history, metrics),
    ):
        notify.arrived(commit_of(), [HOST])
        error = wait_settled(history, forge)
        dropped = 'kind="commit-status",result="dropped"} 1.0'
        wait_until(lambda: dropped in metrics.render()[0].decode(), SOON, "the count")
        # The next state is tried again: the token may have been mended.
        notify.host(status())
        wait_for_state(forge, "success")

    assert why in error
    assert TOKEN not in error
    assert forge.states == ["pending", "success"]


def test_no_token_is_kept_or_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replies = [
        Reply(status=code, body=json.dumps({"message": TOKEN})) for code in (500, 422)
    ]
    with (
        Forge(RULES["gitea"], *replies) as forge,
        following(tmp_path, forge) as (notify, history, _),
    ):
        notify.arrived(commit_of(), [HOST])
        wait_settled(history, forge)

    out, err = capfd.readouterr()
    texts = {"stdout": out.encode(), "stderr": err.encode()}
    assert "commit status refused" in out + err
    state = tmp_path / "state"
    assert find_leaks(TOKEN.encode(), state_dirs=[state], texts=texts) == []


def test_a_forge_that_is_away_and_a_missing_token_are_told_of(tmp_path: Path) -> None:
    with (
        Forge(RULES["gitea"]) as forge,
        following(tmp_path, forge) as (notify, history, _),
    ):
        name = "gitea me/nixos-configs reconciler"
        (tmp_path / "token").unlink()
        notify.arrived(commit_of(), [HOST])
        wait_until(
            lambda: (
                "cannot be read: No such" in history.outbox.mark_backlog(name).error
            ),
            SOON,
            "the missing token to be shown",
        )
        (tmp_path / "token").write_text(TOKEN)
        wait_for_state(forge, "pending")


def test_an_answer_of_any_size_is_survived(tmp_path: Path) -> None:
    huge = Reply(status=422, body="x" * (8 << 20))
    with (
        Forge(RULES["gitea"], huge) as forge,
        following(tmp_path, forge) as (notify, history, _),
    ):
        notify.arrived(commit_of(), [HOST])

        assert "HTTP status 422" in wait_settled(history, forge)
