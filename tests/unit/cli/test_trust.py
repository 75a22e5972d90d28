"""``trust --next``: a host key that is recorded before the host has it."""

import pytest

from reconciler.model import HostName
from reconciler.remote.known_hosts import known_keys, public_key
from tests.support.scene import Scene
from tests.unit.cli.conftest import Cli

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4T"
HOSTS = {"lufta": {"withinbot.service": "1"}}


@pytest.mark.parametrize("as_file", [True, False])
def test_a_key_is_recorded_and_the_audit_log_tells_of_it(
    cli: Cli, scene: Scene, *, as_file: bool
) -> None:
    scene.push(HOSTS)
    file = scene.folder / "key.pub"
    file.write_text(f"{KEY} root@lufta\n")

    said = cli("trust", "lufta", "--next", str(file) if as_file else KEY)

    key = public_key(KEY)
    assert said.status == 0
    assert said.out == f"lufta {key.label}, from now on\n"
    known = scene.world.settings.state.path / "known_hosts"
    assert known_keys(known, "lufta.example").accepted == (key,)
    (event,) = scene.world.history.events(host=HostName("lufta"))
    assert (event.kind, event.text) == ("trust", f"{key.label}, from now on")
    assert event.actor


def test_what_is_no_key_is_refused(cli: Cli, scene: Scene) -> None:
    scene.push(HOSTS)

    said = cli("trust", "lufta", "--next", "ssh-ed25519 AAAA")

    assert said.status == 2
    assert "is no public key" in said.err
    assert not (scene.world.settings.state.path / "known_hosts").exists()
