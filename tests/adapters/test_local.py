"""The machine that we run on, as a host: what tests/adapters/test_remote.py leaves."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import CopyError
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote import DeploysItselfError
from reconciler.remote import local as module
from reconciler.remote.local import Local
from reconciler.remote.transports import Transports
from tests.adapters.test_ears import ECHO, SAYS, Heard
from tests.support.wait import patience, wait_until

HOST = HostName("laptop")
HERE = Target.here(())


@pytest.fixture
def here() -> Iterator[Local]:
    local = Local()
    yield local
    local.close()


def read(here: Local, script: str) -> str:
    return here.reader(HOST, HERE).read(script, what="a look", deadline=10.0)


def test_commands_get_what_a_login_gives_and_not_what_we_have(
    here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_REMOTE", "daemon")
    monkeypatch.setenv("TOKEN", "secret")
    mask = os.umask(0o077)
    try:
        told = read(here, 'umask; pwd; env; echo "${HOME:?}${USER:?}${SHELL:?}"')
    finally:
        os.umask(mask)

    assert told.startswith("0022\n/\n")
    assert "NIX_REMOTE" not in told
    assert "secret" not in told


def test_nothing_is_left_of_a_command_that_left_something(here: Local) -> None:
    pid = read(here, "sleep 600 >/dev/null 2>&1 & echo $!")

    wait_until(lambda: not Path("/proc", pid.strip()).exists(), 10.0, "its end")


def test_what_was_built_elsewhere_is_not_taken_for_here(
    here: Local, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Nix has a store of its own, of which the machine knows nothing."""
    store = tmp_path / "nix-store"
    store.write_text("#!/bin/sh\necho \"error: path '$2' is not valid\" >&2\nexit 1\n")
    store.chmod(0o755)
    monkeypatch.setattr(module, "_PATH", f"{tmp_path}:{os.environ['PATH']}")
    system = StorePath("/nix/store/aaa-nixos-system")
    desired = Desired(
        host=HOST, toplevel=system, derivation=system, units={}, target=HERE
    )

    with pytest.raises(CopyError, match=r"laptop: where .* is not valid"):
        here.copy(desired, deadline=10)
    store.write_text("#!/bin/sh\n")
    here.copy(replace(desired, toplevel=StorePath("/nix/store/b")), deadline=10)


def test_its_own_keys_are_those_of_its_ssh_server(tmp_path: Path) -> None:
    file = tmp_path / "ssh_host_ed25519_key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]
    subprocess.run(make, check=True, timeout=patience(60))
    (tmp_path / "ssh_host_rsa_key.pub").write_text("nonsense\n")

    names = Local(tmp_path).host_keys(HOST, HERE)

    assert {name.partition(" ")[0][:4] for name in names} == {"ssh-", "age1"}
    assert Local(tmp_path / "none").host_keys(HOST, HERE) == frozenset()


# --- what it says by itself ------------------------------------------------------


def test_lines_are_heard_beside_looks(here: Local) -> None:
    heard = Heard()

    assert here.listen(HOST, HERE, SAYS, heard)

    assert [heard.next(), heard.next()] == ["one", "two"]
    assert read(here, "echo here") == "here\n"
    assert not here.listen(HOST, HERE, SAYS, heard)
    assert here.listen(HOST, HERE, f"echo other; {ECHO}", heard)
    assert heard.next() == "other"
    assert heard.nothing, "the one before has ended at our wish"


def test_a_command_that_ends_is_heard_to_the_last_word(here: Local) -> None:
    heard = Heard()

    here.listen(HOST, HERE, "echo why >&2; exit 1", heard)

    assert [heard.next(), heard.next()] == ["why", None]


def test_a_command_that_is_killed_is_over_though_its_output_is_held_open(
    here: Local,
) -> None:
    heard = Heard()

    here.listen(HOST, HERE, "sleep 60 & echo on; kill -9 $$", heard)

    assert [heard.next(), heard.next()] == ["on", None]


def test_who_says_nothing_any_more_is_ended(
    here: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_AFTER", patience(0.3))
    heard = Heard()

    here.listen(HOST, HERE, "echo on; sleep 600", heard)

    assert [heard.next(), heard.next()] == ["on", None]


def test_a_host_that_is_reached_in_another_way_is_heard_in_that_alone(
    here: Local, tmp_path: Path
) -> None:
    elsewhere, ended = Local(), tmp_path / "ended"
    both = Transports(ssh=elsewhere, local=here)
    before, after = Heard(), Heard()
    both.listen(HOST, Target(address="x"), f"echo on; {ECHO}; touch {ended}", before)
    assert before.next() == "on"

    both.listen(HOST, HERE, SAYS, after)

    assert [after.next(), after.next()] == ["one", "two"]
    wait_until(ended.exists, 10.0, "the command to end")
    assert before.nothing


def test_a_host_that_deploys_itself_is_reached_by_no_way() -> None:
    """By its name: a way that is remembered from before leads nowhere, too."""
    both = Transports(ssh=Local(), local=Local(), pulls=HOST.__eq__)
    system = StorePath("/nix/store/aaa-nixos-system")
    desired = Desired(
        host=HOST, toplevel=system, derivation=system, units={}, target=HERE
    )
    ways: list[Callable[[], object]] = [
        lambda: both.reader(HOST, HERE),
        lambda: both.writer(HOST, HERE),
        lambda: both.copy(desired, deadline=1),
        lambda: both.build(desired, root="/r", deadline=1),
        lambda: both.read_log(desired, system, deadline=1),
        lambda: both.try_copying(desired, system, deadline=1),
        lambda: both.shell(HOST, HERE, "true", terminal=False),
        lambda: both.way_to(HOST, HERE),
        lambda: both.host_keys(HOST, HERE),
        lambda: both.listen(HOST, HERE, SAYS, Heard()),
        lambda: both.apart().reader(HOST, HERE),
    ]
    for way in ways:
        with pytest.raises(DeploysItselfError, match="laptop deploys itself"):
            way()
    assert both.reader(HostName("other"), HERE).host == "other"
    both.close()


def test_a_new_connection_begins_anew_here_too(here: Local, tmp_path: Path) -> None:
    ended, heard = tmp_path / "ended", Heard()
    script = f"echo on; {ECHO}; touch {ended}"
    here.listen(HOST, HERE, script, heard)
    assert heard.next() == "on"

    here.reconnect(HOST)

    assert here.listen(HOST, HERE, script, Heard()), "the one before is about to end"
    wait_until(ended.exists, 10.0, "the command to end")


def test_who_is_ignored_is_not_heard_and_its_command_ends(
    here: Local, tmp_path: Path
) -> None:
    ended, heard = tmp_path / "ended", Heard()
    here.listen(HOST, HERE, f"echo on; {ECHO}; touch {ended}", heard)
    assert heard.next() == "on"

    here.ignore(HOST)

    wait_until(ended.exists, 10.0, "the command to end")
    assert heard.nothing


def test_who_is_ignored_before_it_began_does_not_begin() -> None:
    """Two passes of one host: one forgets it between what the other does."""
    ear = module._Ear(host=HOST, argv=("cat",), hear=Heard())  # noqa: SLF001 -- no door is as narrow

    ear.ignore()
    ear.start()

    try:
        assert not ear.is_open
    finally:
        ear.end()
