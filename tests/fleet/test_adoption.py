"""The first deployment of a real host that runs what somebody else put there."""

from collections.abc import Iterator

import pytest

from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

LUFTA = "hosts/lufta/configuration.nix"
OLD = "old-thing.service"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
THEIRS = f"""{{
  systemd.services.old-thing = {{
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "/bin/sleep infinity";
  }};
  users.users.ann = {{
    isNormalUser = true;
    openssh.authorizedKeys.keys = [ "{KEY}" ];
  }};
}}
"""


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Have somebody else bring a system to a host, and run a daemon that asks."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet("lufta"), policy={"adopt": "ask"}) as rig:
        rig.only("lufta")
        rig.edit(LUFTA, "imports = [", "imports = [ ./theirs.nix")
        theirs = rig.repository.work / "hosts/lufta/theirs.nix"
        theirs.write_text(THEIRS)
        rig.push("What somebody else runs")
        always = {**rig.policy, "adopt": "always"}
        rig.write_settings(state=str(folder / "theirs"), policy=always)
        rig.run("apply", "lufta")
        rig.host("lufta").exec("rm", "-f", "/var/lib/reconciler-driver")
        rig.write_settings()
        theirs.write_text("{ }\n")
        rig.push("What we would make of it")
        rig.run_daemon()
        yield rig


def test_a_host_of_somebody_else_waits_until_a_person_has_seen_the_difference(
    rig: Rig,
) -> None:
    host = rig.host("lufta")
    before = host.running_toplevel
    rig.wait_error("lufta", "waits for adoption", "reconciler adopt lufta")
    assert rig.status()["lufta"]["verdict"] == "unadopted"
    series = 'reconciler_host_verdict{host="lufta",verdict="unadopted"}'
    wait_until(lambda: rig.metric(series) == 1, DEADLINE, "the metric")

    (told,) = rig.json("adopt", "lufta", "--dry-run")

    assert (told["adopted"], told["new"]) == (False, True)
    found = [
        (one["kind"], one["text"])
        for one in told["plan"]["first_deployment"]
        if one["kind"] != "file system"
    ]
    assert ("service", f"{OLD} runs, and goes") in found
    assert ("user", "ann goes, who has 1 SSH key") in found
    assert "boot loader" not in dict(found)
    assert "the commit declares 23.05" in dict(found)["state version"]
    assert "--yes" in rig.run("adopt", "lufta", status=2).stderr
    assert host.running_toplevel == before
    assert host.is_active(OLD)

    rig.run("adopt", "lufta", "--yes", "--reason", "they moved out")

    rig.wait_in_sync("lufta")
    assert not host.is_active(OLD)
    assert host.exec_status("id", "ann") != 0
    (event,) = (e for e in rig.json("events", "lufta") if e["kind"] == "adopt")
    assert event["text"] == "they moved out"


def test_a_commit_that_changes_a_path_alone_is_counted_apart(rig: Rig) -> None:
    """And is asked about by nobody; it runs after the test above."""
    theirs = rig.repository.work / "hosts/lufta/theirs.nix"
    theirs.write_text('{ environment.etc."revision".text = "2"; }\n')
    rig.push("Another revision")

    rig.wait_in_sync("lufta")

    series = "reconciler_path_changes_total"
    wait_until(lambda: rig.metric(series) == 1, DEADLINE, "it to be counted")
