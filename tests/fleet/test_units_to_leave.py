"""Units of packages, of jobs at work, and those that a repository says to leave."""

from collections.abc import Iterator

import pytest

from reconciler.model import Outcome
from tests.support.budget import tried
from tests.support.extra import add_extras, attempts, flat, set_extra
from tests.support.fleet import FleetFactory, FleetHost
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "lufta"
SLEEPS = 'script = "exec sleep infinity"; wantedBy = [ "multi-user.target" ];'
PACKAGED = "packaged.service"
BEACON = "beacon.service"
CONTROL = "/etc/systemd/system.control"
NIX = f"""
  # Packages with a service, and with a one-shot to which the configuration adds.
  systemd.packages = [
    (pkgs.writeTextFile {{
      name = "packaged";
      destination = "/lib/systemd/system/{PACKAGED}";
      text = ''
        [Service]
        ExecStart=/bin/sleep infinity
      '';
    }})
    (pkgs.writeTextFile {{
      name = "packaged-once";
      destination = "/lib/systemd/system/packaged-once.service";
      text = ''
        [Service]
        Type=oneshot
        ExecStart=/bin/true
      '';
    }})
  ];
  systemd.targets.multi-user.wants = [ "{PACKAGED}" "packaged-once.service" ];
  systemd.services.packaged-once.environment.MORE = "1";
  # Settings for a service that no package brings: it cannot be loaded.
  systemd.services.nowhere.environment.A = "1";
  systemd.services.rounds = {{
    wantedBy = [ "multi-user.target" ];
    serviceConfig = {{ Restart = "always"; RestartSec = "100ms"; }};
    unitConfig.StartLimitIntervalSec = 0;
    script = "sleep 0.1";
  }};
  systemd.services.database = {{ {SLEEPS} }};
  systemd.services.backup = {{
    serviceConfig.Type = "oneshot";
    script = ''
      systemctl stop database.service
      until [ -e /run/backup-may-end ]; do sleep 0.1; done
      systemctl start database.service
    '';
  }};
  systemd.services.left = {{ {SLEEPS} }};
  deployment.units.left.heal = false;
  systemd.services.device = {{
    wantedBy = [ "multi-user.target" ];
    script = "echo no such device; exit 1";
  }};
  deployment.units.device.mayFail = true;
  systemd.services.beacon = {{ {SLEEPS} }};
"""


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """One host on which all of that was deployed."""
    folder, policy = tmp_path_factory.mktemp("rig"), {"removal_limit": "off"}
    with Rig(folder, module_fleet(HOST), policy=policy) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        set_extra(rig, HOST, NIX)
        rig.run_daemon()
        rig.push("Units to leave alone")
        rig.wait_in_sync(HOST)
        yield rig


@pytest.fixture
def host(rig: Rig) -> FleetHost:
    return rig.host(HOST)


def healed(rig: Rig) -> None:
    """
    Let a service fail and wait until it runs again: so the host was looked at.

    Returns after a look that found nothing to do: without one in between, each thing
    that is done to a host waits longer than the one before.
    """
    host, before = rig.host(HOST), rig.invocation(HOST, BEACON)
    host.exec("systemctl", "kill", "-s", "SEGV", BEACON)
    wait_until(
        lambda: host.is_active(BEACON) and rig.invocation(HOST, BEACON) != before,
        DEADLINE,
        "a look that heals",
    )
    series = f'reconciler_passes_total{{host="{HOST}",result="success"}}'
    seen = rig.metric(series) or 0
    wait_until(
        lambda: (rig.metric(series) or 0) >= seen + 2, DEADLINE, "a look without need"
    )


def state(host: FleetHost, unit: str) -> str:
    argv = ("systemctl", "show", "-p", "ActiveState", "--value", unit)
    return host.exec(*argv).strip()


def test_all_of_it_was_deployed_at_the_first_try(rig: Rig, host: FleetHost) -> None:
    """What cannot be loaded, may fail, or works in rounds condemns nothing."""
    (attempt,) = attempts(rig, HOST)

    assert attempt.outcome is Outcome.SUCCEEDED
    shown = host.exec("systemctl", "show", "-p", "LoadState", "--value", "nowhere")
    assert shown.strip() == "bad-setting"
    assert state(host, "device.service") == "failed"
    assert host.is_active(PACKAGED)


def test_a_one_shot_of_a_package_is_not_run_again(rig: Rig) -> None:
    before = rig.invocation(HOST, "packaged-once.service")

    healed(rig)
    healed(rig)

    assert before == rig.invocation(HOST, "packaged-once.service")


MASK = f"mkdir -p {CONTROL}; ln -s /dev/null {CONTROL}/{PACKAGED}"
HARM = {
    "stopped": f"systemctl stop {PACKAGED}",
    "failed": f"systemctl kill -s SEGV {PACKAGED}",
    "masked": f"systemctl stop {PACKAGED}; {MASK}; systemctl daemon-reload",
}


@pytest.mark.parametrize("how", tried("stopped", "masked", among=HARM))
def test_a_service_that_only_a_package_brings_is_kept_up(
    rig: Rig, host: FleetHost, how: str
) -> None:
    before = rig.invocation(HOST, PACKAGED)

    host.exec("sh", "-c", HARM[how])

    wait_until(
        lambda: host.is_active(PACKAGED) and rig.invocation(HOST, PACKAGED) != before,
        DEADLINE,
        "the package's service to run again",
    )
    rig.wait_in_sync(HOST)


def test_what_a_job_has_stopped_is_left_until_it_ends(
    rig: Rig, host: FleetHost
) -> None:
    host.exec("systemctl", "start", "--no-block", "backup.service")
    wait_until(
        lambda: not host.is_active("database.service"), DEADLINE, "the job to begin"
    )

    healed(rig)
    healed(rig)

    assert state(host, "database.service") == "inactive"
    assert state(host, "backup.service") == "activating"
    assert "left until backup.service ends" in flat(rig.run("show", HOST).stdout)
    host.exec("touch", "/run/backup-may-end")
    wait_until(
        lambda: host.is_active("database.service"), DEADLINE, "the job to start it"
    )
    host.exec("systemctl", "stop", "database.service")
    wait_until(
        lambda: host.is_active("database.service"), DEADLINE, "healing without a job"
    )


def test_what_is_not_to_be_healed_is_only_shown(rig: Rig, host: FleetHost) -> None:
    host.exec("systemctl", "stop", "left.service")

    healed(rig)
    healed(rig)

    assert state(host, "left.service") == "inactive"
    told = {d["subject"]: d for d in rig.json("show", HOST)["drifts"]}
    assert told["left.service"]["lasting"]
    rig.wait_in_sync(HOST)


@pytest.mark.matrix
def test_a_snippet_of_the_activation_that_failed_before_does_not_count(
    rig: Rig, host: FleetHost
) -> None:
    """
    That it did, shows when the host goes back to the system from before.

    Nothing else fails here: a unit that does hides what became of the activation.
    """
    snippet = """
      system.activationScripts.flaky = "[ ! -e /run/flaky-fails ]";
    """
    set_extra(rig, HOST, snippet)
    rig.push("A snippet that does not fail yet")
    rig.wait_in_sync(HOST)
    host.exec("touch", "/run/flaky-fails")
    done = len(attempts(rig, HOST))
    set_extra(rig, HOST, f'{snippet}environment.variables.RELEASE = "next";')

    rig.push("Another release")

    rig.wait_in_sync(HOST)
    last, first = attempts(rig, HOST)[: len(attempts(rig, HOST)) - done]
    assert first.outcome is Outcome.ROLLED_BACK
    assert "fails in the same snippets" in first.message
    assert "flaky" in first.message
    assert last.outcome is Outcome.SUCCEEDED

    new = """
      system.activationScripts.new = "false";
    """
    set_extra(rig, HOST, snippet + new)
    rig.push("A release with a snippet of its own that fails")

    told = rig.wait_error(HOST, "reconciler retry")
    assert "'new' failed" in told
