"""A repository that is empty, away, rewritten or without its branch."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.extra import add_extras, flat, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

BOT = "withinbot.service"
FAILURES = "reconciler_fetch_failures_total"


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """One host, and a daemon whose repository has no commit yet."""
    folder, hosts = tmp_path_factory.mktemp("rig"), module_fleet("chrysalis")
    # What is waited for here no host rings for.
    with Rig(folder, hosts, policy={"interval": "2s"}) as rig:
        add_extras(rig, "chrysalis")
        rig.run_daemon()
        yield rig


def test_an_empty_repository_is_told_and_its_first_push_deployed(rig: Rig) -> None:
    wait_warning(rig, "is empty: it has no branch")
    assert "is empty" in flat(rig.run("plan", status=1).stderr)
    assert rig.healthy()

    rig.push("The first commit of all")

    rig.wait_in_sync("chrysalis")
    assert "warning" not in rig.run("status").stderr


def test_hosts_are_served_while_the_repository_is_away(rig: Rig) -> None:
    bare = rig.repository.bare
    failures = rig.metric(FAILURES) or 0
    moved = bare.rename(bare.with_name("elsewhere.git"))
    wait_warning(rig, str(bare))
    assert (rig.metric(FAILURES) or 0) > failures
    stop_and_see_it_healed(rig)
    assert rig.stop_daemon() == 0
    rig.run_daemon()
    stop_and_see_it_healed(rig)
    assert str(bare) in flat(rig.run("plan", "chrysalis").stderr)

    moved.rename(bare)
    say(rig, "The repository is back")
    rig.push("The repository is back")

    rig.wait_in_sync("chrysalis")
    assert "The repository is back" in greeting(rig)
    assert "warning" not in rig.run("status").stderr


@pytest.mark.matrix
def test_a_rewritten_branch_is_followed(rig: Rig) -> None:
    seen = rig.log.stat().st_size
    old = rig.repository.head
    say(rig, "History was rewritten")
    rig.repository.git("reset", "-q", "--soft", "HEAD~1")

    rig.push("Another history", "--force")

    rig.wait_in_sync("chrysalis")
    assert "History was rewritten" in greeting(rig)
    log = rig.log.read_text()[seen:]
    assert "branch was rewritten" in log
    assert old in log


@pytest.mark.matrix
def test_hosts_are_served_while_the_branch_is_gone(rig: Rig) -> None:
    bare = str(rig.repository.bare)
    rig.repository.git("push", "-q", "origin", "HEAD:refs/heads/spare")
    rig.repository.git("--git-dir", bare, "update-ref", "-d", "refs/heads/main")
    wait_warning(rig, "has no branch 'main'; there are: spare")
    stop_and_see_it_healed(rig)
    say(rig, "The branch is back")

    rig.push("The branch is back")

    rig.wait_in_sync("chrysalis")
    assert "The branch is back" in greeting(rig)
    assert "warning" not in rig.run("status").stderr


def test_a_commit_that_is_not_signed_reaches_no_host(rig: Rig, tmp_path: Path) -> None:
    """From the day on which the settings ask for it; what runs until then stays."""
    key = tmp_path / "key"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
    subprocess.run(argv, check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"me@example.org {(tmp_path / 'key.pub').read_text()}")
    rig.write_settings(
        repository={
            "url": str(rig.repository.bare),
            "secrets": {"common/services/secrets": str(rig.secrets)},
            "verify": {"allowed_signers": str(allowed)},
        }
    )
    assert rig.stop_daemon() == 0
    rig.run_daemon()
    rig.wait_in_sync("chrysalis")
    say(rig, "By whom?")

    bad = rig.push("By whom?")

    wait_warning(rig, "is not signed as repository.verify asks")
    assert rig.metric("reconciler_commit_untrusted") == 1
    planned = rig.run("plan", "chrysalis", status=1)
    assert "1 host: 1 in sync" in planned.stdout
    assert "is not signed as repository.verify asks" in flat(planned.stderr)
    stop_and_see_it_healed(rig)
    assert "By whom?" not in greeting(rig)
    assert "cannot be approved" in flat(rig.run("approve", bad, status=1).stderr)
    rig.repository.git("config", "gpg.format", "ssh")
    rig.repository.git("config", "user.signingKey", str(key))
    rig.repository.git("commit", "-q", "--amend", "--no-edit", "--gpg-sign")

    rig.repository.git("push", "-q", "--force", "origin", "HEAD:main")

    rig.wait_in_sync("chrysalis")
    assert "By whom?" in greeting(rig)
    assert rig.metric("reconciler_commit_untrusted") == 0
    assert "warning" not in rig.run("status").stderr


def wait_warning(rig: Rig, words: str) -> None:
    """Wait until ``status`` says what is wrong with the repository."""
    wait_until(
        lambda: words in flat(rig.run("status").stderr), DEADLINE, f"a warning: {words}"
    )


def stop_and_see_it_healed(rig: Rig) -> None:
    """Stop a service by hand and wait for it to come back."""
    host = rig.host("chrysalis")
    host.exec("systemctl", "stop", BOT)
    wait_until(lambda: host.is_active(BOT), DEADLINE, f"{BOT} to come back")


def say(rig: Rig, text: str) -> None:
    """Change what the service says."""
    set_extra(rig, "chrysalis", f'within.services.withinbot.greeting = "{text}";')


def greeting(rig: Rig) -> str:
    """Return what the service was given to say."""
    return rig.host("chrysalis").exec("systemctl", "show", "-p", "Environment", BOT)
