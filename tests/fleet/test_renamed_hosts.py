"""A machine that a commit gives another name."""

import contextlib
from pathlib import Path

import pytest

from reconciler.history import History
from reconciler.model import HostName
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

OLD, NEW = "chrysalis", "cocoon"
KEY = "/run/keys/withinbot"
CONFIGURATION = f"hosts/{OLD}/configuration.nix"


@pytest.mark.parametrize(
    "at_once",
    [
        pytest.param(True, id="at once"),
        pytest.param(False, id="while both stand", marks=pytest.mark.matrix),
    ],
)
def test_its_former_keys_go(
    fleet: FleetFactory, tmp_path: Path, *, at_once: bool
) -> None:
    with Rig(tmp_path, fleet(OLD)) as rig:
        rig.only(OLD)
        rig.run_daemon()
        rig.push("A bot with a key")
        rig.wait_in_sync(OLD)
        host = rig.host(OLD)
        assert host.exec("ls", "/run/keys").split() == ["withinbot"]

        file = rig.repository.work / "network.nix"
        before = file.read_text()
        entry = before[before.index(f"  {OLD} = {{") :]
        entry = entry[: entry.index("\n  };\n") + len("\n  };\n")]
        renamed = entry.replace(f"  {OLD} = ", f"  {NEW} = ")
        renamed = renamed.replace(f'Host = "{OLD}"', f'Host = "{host.address}"')
        if not at_once:
            file.write_text(before.replace(entry, entry + renamed))
            rig.push("Both names for a while")
            rig.wait_error(NEW, "one machine")
        rig.edit(CONFIGURATION, "withinbot.enable = true;", "")
        file.write_text(before.replace(entry, renamed))
        rig.push("Another name, and no bot any more")

        rig.wait_in_sync(NEW)
        assert host.exec("ls", "/run/keys").split() == []
        assert OLD not in rig.status()
        with contextlib.closing(
            History.open(rig.state / "history.sqlite", read_only=True)
        ) as history:
            assert not history.delivered(HostName(OLD))
            wait_until(
                lambda: not history.delivered(HostName(NEW)), DEADLINE, "no key of ours"
            )
