"""Secrets that hosts decrypt themselves, through the whole loop."""

from dataclasses import replace

from reconciler.loop import Done
from reconciler.model import DesiredSecret, DriftKind, Verdict
from tests.support.host_keys import FakeFile
from tests.support.scene import Scene

BOT = "withinbot.service"
CLOSED = DesiredSecret(
    name="db",
    tool="sops-nix",
    file="secrets/db.yaml",
    path="/run/secrets/db",
    user="root",
    group="root",
    mode=0o400,
    readers=("ed25519",),
    recipients=("age1ann",),
    renewed="/run/secrets",
)
OPEN = replace(CLOSED, recipients=("age1ann", "age1lufta"))
MISSING = 'reconciler_drift_items{host="lufta",kind="secret-missing"}'


def test_a_host_gets_no_system_whose_secrets_it_cannot_decrypt(scene: Scene) -> None:
    scene.connections.names_of_keys = frozenset({"age1lufta", "ssh-ed25519 lufta0"})
    scene.commit({"lufta": {BOT: "1"}})
    scene.run("lufta")
    scene.evaluator.secrets = (CLOSED,)
    scene.commit({"lufta": {BOT: "2"}}, "With a secret")
    before = len(scene.attempts("lufta"))

    scene.run("lufta")

    status = scene.status("lufta")
    assert status.verdict is Verdict.BLOCKED
    assert "add age1lufta to .sops.yaml" in status.error
    assert len(scene.attempts("lufta")) == before, "nothing is built, nothing is copied"

    scene.evaluator.secrets = (OPEN,)
    scene.commit({"lufta": {BOT: "3"}}, "Encrypted for it, too")
    lufta = scene.machine("lufta")
    lufta.keys.files[OPEN.path] = FakeFile(content=b"x", mode=0o400)
    assert scene.run("lufta") == Done()
    scene.run("lufta")
    assert scene.status("lufta").in_sync
    assert scene.metric(MISSING) is None

    del lufta.keys.files[OPEN.path]
    scene.run("lufta")
    status = scene.status("lufta")
    assert [drift.kind for drift in status.drifts] == [DriftKind.SECRET_MISSING]
    assert (status.in_sync, status.verdict) == (False, Verdict.REPORTED)
    assert "secret db /run/secrets/db is missing" in status.error
    assert scene.metric(MISSING) == 1


def test_secrets_that_an_activation_did_not_renew_are_told(scene: Scene) -> None:
    scene.evaluator.secrets = (replace(OPEN, recipients=()),)
    lufta = scene.machine("lufta")
    lufta.keys.files[OPEN.path] = FakeFile(content=b"x", mode=0o400)
    scene.commit({"lufta": {BOT: "1"}})
    scene.run("lufta")
    lufta.keys.left_behind["/run/secrets"] = 3600
    scene.run("lufta")

    status = scene.status("lufta")
    assert (status.in_sync, status.verdict) == (False, Verdict.REPORTED)
    assert "secret /run/secrets is 60 min older" in status.error
    assert scene.metric(MISSING.replace("missing", "stale")) == 1
