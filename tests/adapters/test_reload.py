"""A changed settings file is taken by the daemon that runs, or refused."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.history import Event, History
from tests.support.hooks import SHARED, github
from tests.support.program import DEADLINE, Program
from tests.support.wait import wait_until

SUCCESS = "reconciler_settings_reload_success"
WHEN = "reconciler_settings_reload_success_timestamp_seconds"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    with Program(folder) as program:
        program.start()
        yield program


def events(program: Program) -> list[Event]:
    history = History.open(program.state / "history.sqlite", read_only=True)
    try:
        return [e for e in history.events() if e.kind.startswith("settings-")]
    finally:
        history.close()


def taken(program: Program, **sections: object) -> Event:
    """Change the settings; return the event that comes of it."""
    before = len(events(program))
    program.write_settings(**sections)
    wait_until(lambda: len(events(program)) > before, DEADLINE, "an event")
    return events(program)[0]


def test_it_begins_with_settings_that_were_taken(program: Program) -> None:
    assert program.metric(SUCCESS) == 1
    assert program.metric(WHEN) > 1_700_000_000


def test_a_webhook_is_there_without_a_restart_and_goes_so(
    program: Program, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SHARED)
    hook = {"push": {"provider": "github", "secret_file": str(secret)}}
    assert program.post("/hooks/push", *github(b"{}"))[0] == 404

    event = taken(program, webhooks=hook)

    assert (event.kind, event.text) == ("settings-reloaded", "applied: webhooks")
    assert program.post("/hooks/push", *github(b"{}"))[0] == 202
    taken(program)
    assert program.post("/hooks/push", *github(b"{}"))[0] == 404


def test_a_token_is_there_without_a_restart(program: Program, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    tokens = [{"name": "ci", "role": "operator", "file": str(token)}]
    headers = {"Authorization": f"Bearer {'t' * 32}"}
    assert program.post("/api/v1/sync", headers=headers)[0] == 401

    taken(program, api={"tokens": tokens})

    assert program.post("/api/v1/sync", headers=headers)[0] == 202


def test_a_poll_interval_counts_from_the_next_look_on(program: Program) -> None:
    taken(program, repository={"url": program.forge.url, "poll": "1s"})
    head = program.repository.push("Seen without being told")
    wait_until(lambda: head in program.said, DEADLINE, "the commit to be seen")
    taken(program)


def test_a_daemon_that_is_told_no_mode_says_what_it_goes_by(program: Program) -> None:
    """And a command does, too."""
    assert '"event": "policy.mode is not set"' in program.said
    assert '"mode": "report"' in program.said
    told = json.loads(program.run("check", "--json", status=None).stdout)
    (mode,) = (one["told"] for one in told if one["check"] == "policy.mode")
    assert mode.startswith("not set: report, the default")


def test_what_cannot_be_applied_waits_and_is_said_so(program: Program) -> None:
    event = taken(
        program, http={"listen": "127.0.0.1:1"}, policy={"parallel": 3, "heal": False}
    )

    assert event.kind == "settings-reloaded"
    assert event.text == (
        "applied: policy.heal; waits for a restart: policy.parallel, http.listen"
    )
    assert "these settings wait for a restart" in program.said
    assert program.metric(SUCCESS) == 1
    taken(program)


def test_a_wrong_file_is_refused_and_the_old_settings_stay(program: Program) -> None:
    when = program.metric(WHEN)
    event = taken(program, policy={"mode": "atuo"}, webhooks={"x": {}})

    assert event.kind == "settings-refused"
    assert "policy.mode: should be auto or report, not 'atuo'" in event.text
    assert "webhooks.x.provider: is missing" in event.text
    assert program.metric(SUCCESS) == 0
    assert program.metric(WHEN) == when
    assert "settings are wrong; the old ones stay" in program.said
    assert program.get("/healthz")[0] == 200

    event = taken(program)

    assert (event.kind, event.text) == ("settings-reloaded", "nothing changed")
    assert program.metric(SUCCESS) == 1


def test_a_missing_secret_refuses_all_of_the_file(
    program: Program, tmp_path: Path
) -> None:
    hook = {"push": {"provider": "github", "secret_file": str(tmp_path / "none")}}
    event = taken(program, webhooks=hook, policy={"heal": False})

    assert event.kind == "settings-refused"
    assert "webhooks.push.secret_file: " in event.text
    assert '"applied": ["policy.heal"]' not in program.said.splitlines()[-1]
    assert program.metric(SUCCESS) == 0
    taken(program)


def test_a_file_that_goes_is_refused_until_it_is_back(program: Program) -> None:
    text = program.settings.read_text()
    before = len(events(program))
    program.settings.unlink()
    wait_until(lambda: len(events(program)) > before, DEADLINE, "an event")
    assert "cannot be read: No such file or directory" in events(program)[0].text
    program.settings.write_text(text)
    wait_until(lambda: program.metric(SUCCESS) == 1, DEADLINE, "the file to be taken")


def test_sighup_does_so_too(program: Program) -> None:
    assert program.process
    when = program.metric(WHEN)
    os.kill(program.process.pid, signal.SIGHUP)
    wait_until(lambda: program.metric(WHEN) > when, DEADLINE, "the settings to be read")
    assert program.metric(SUCCESS) == 1


def test_a_link_to_another_file_is_noticed(program: Program, tmp_path: Path) -> None:
    """As NixOS does it: /etc/reconciler is a link into the store."""
    text = json.loads(program.settings.read_text())
    before = len(events(program))
    other = tmp_path / "other.yaml"
    other.write_text(json.dumps({**text, "policy": {"heal": False}}))
    link = tmp_path / "link"
    link.symlink_to(other)
    link.rename(program.settings)
    wait_until(lambda: len(events(program)) > before, DEADLINE, "an event")
    assert events(program)[0].text == "applied: policy.heal"
    taken(program)


# --- the command line talks to the daemon ----------------------------------------


def test_sync_waits_until_a_push_is_seen(program: Program) -> None:
    """Its next poll is an hour away, and nobody else tells."""
    head = program.repository.push("Before the command")

    looked = json.loads(program.run("sync", "--wait", "--json").stdout)

    assert looked == {"done": True, "commit": head, "error": ""}
    assert program.run("sync", "-w").stdout == f"The newest commit is {head[:8]}.\n"


def test_sync_without_waiting(program: Program) -> None:
    said = program.run("sync", "--reason", "a test of it")
    assert said.stdout == "The repository is read now.\n"
    history = History.open(program.state / "history.sqlite", read_only=True)
    try:
        event = next(e for e in history.events() if e.kind == "sync")
    finally:
        history.close()
    assert (event.text, event.host) == ("a test of it", None)
    assert event.actor


def test_sync_says_why_the_newest_commit_is_not_used(program: Program) -> None:
    program.forge.answers = [(500, {})] * 20
    try:
        said = program.run("sync", "--wait", status=1)
    finally:
        program.forge.answers = []
    assert "The requested URL returned error: 500" in said.stderr
    assert "Traceback" not in said.stderr


def test_without_a_daemon_sync_says_so(tmp_path: Path) -> None:
    with Program(tmp_path) as program:
        said = program.run("sync", status=1)
        assert "no daemon answers at" in said.stderr
        assert "start `reconciler run`" in said.stderr
        program.state.mkdir()
        assert "no daemon answers" in program.run("sync", status=1).stderr
        (program.state / "api.sock").write_text("no socket")
        assert "no daemon answers" in program.run("sync", status=1).stderr
