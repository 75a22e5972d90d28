"""The world in which a commit is looked at that nobody has merged."""

from dataclasses import replace
from pathlib import Path

from reconciler.app import for_proposals
from reconciler.model import DesiredKey, HostName, KeyOrigin
from tests.support.scene import Scene
from tests.support.world import desired_of


def test_it_gives_out_no_key(tmp_path: Path) -> None:
    key = DesiredKey(
        name="bot",
        path="/run/keys/bot",
        origin=KeyOrigin.COMMAND,
        command=("touch", str(tmp_path / "ran")),
    )
    desired = replace(desired_of("lufta", {}, tmp_path), keys={"bot": key})
    world = for_proposals(Scene(tmp_path).world)

    digests = world.digests(desired, tmp_path)
    contents = world.keyring.contents(desired, tmp_path, ["bot"])

    assert (dict(digests.known), contents) == ({}, {})
    assert "not on the watched branch" in digests.problems["bot"]
    assert not (tmp_path / "ran").exists()
    assert desired.host == HostName("lufta")
