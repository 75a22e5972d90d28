"""Hosts that build their systems themselves: nothing of them is built here."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, attempts, flat, last_ended, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, NIX_OPTIONS, NIXPKGS, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "keanu"
ROOT = "/nix/var/nix/gcroots/reconciler"
UNIT = "reconciler-build.service"
GO = "/run/go"
THERE = "deployment.buildOnTarget = true;"


def named(name: str) -> str:
    """Return what makes a system that no store has yet."""
    return f'environment.etc.release.text = "{name} {uuid.uuid4()}";'


def building(name: str, script: str) -> str:
    """Return a file in /etc that *script* builds."""
    text = f'pkgs.runCommand "{name}" {{ }} "{script} # {uuid.uuid4()}"'
    return f"environment.etc.{name}.source = {text};"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param([], id="root"),
        pytest.param(["--user", "deploy"], id="sudo", marks=pytest.mark.matrix),
    ],
)
def rig(
    request: pytest.FixtureRequest,
    module_fleet: FleetFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet(HOST, options=request.param)) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        set_extra(rig, HOST, THERE + named("first"))
        rig.run_daemon()
        rig.push("The host builds")
        rig.wait_in_sync(HOST)
        yield rig


def test_it_builds_its_own_system_and_keeps_it(rig: Rig) -> None:
    host = rig.host(HOST)
    running, before = host.running_toplevel, last_ended(rig, HOST)

    set_extra(rig, HOST, THERE + named("second"))
    rig.push("Another one")
    wait_until(lambda: last_ended(rig, HOST).id != before.id, DEADLINE, "the attempt")

    done = last_ended(rig, HOST)
    assert done.outcome is Outcome.SUCCEEDED
    assert [step.name for step in done.steps][:2] == [
        "copy the derivation",
        "build on the host",
    ]
    system = host.running_toplevel
    assert system not in (running, "")
    assert not Path(system).exists(), "it is not built here"
    assert host.exec("readlink", "-f", ROOT).strip() == system
    assert host.exec("sh", "-c", f"ls {ROOT}.drv 2>&1 || true").endswith("directory\n")
    log = rig.run("history", "--log", done.id).stdout
    assert "building '/nix/store/" in log
    compared = rig.run("diff", HOST, f"{running}..{system}").stdout
    assert "no package has another version, 3 built anew" in compared


def test_what_does_not_build_there_is_told_with_the_end_of_its_log(rig: Rig) -> None:
    host = rig.host(HOST)
    running = host.running_toplevel

    set_extra(rig, HOST, THERE + building("bad", "echo from the builder; exit 3"))
    rig.push("It does not build")
    told = rig.wait_error(HOST, "bad failed to build on the host")

    assert last_ended(rig, HOST).outcome is Outcome.FAILED
    assert host.running_toplevel == running
    assert told
    log = rig.run("history", "--log", last_ended(rig, HOST).id).stdout
    assert "from the builder" in log


@pytest.mark.matrix
def test_to_compare_a_system_it_is_built_there_and_not_switched_to(rig: Rig) -> None:
    rig.stop_daemon()
    host = rig.host(HOST)
    running = host.running_toplevel
    set_extra(rig, HOST, THERE + named("third"))
    rig.push("To be looked at")
    host.exec("systemd-run", f"--unit={UNIT}", "sleep", "1000")

    assert "not built yet" in flat(rig.run("plan", HOST, status=2).stdout)
    compared = rig.run("diff", HOST, "--build").stdout
    assert host.is_active(UNIT), "what an attempt builds goes on"
    host.exec("systemctl", "stop", UNIT)

    assert "no package has another version, 3 built anew" in compared
    assert "not built yet" not in flat(rig.run("plan", HOST, status=2).stdout)
    built = host.exec("readlink", "-f", f"{ROOT}-diff").strip()
    assert built not in (running, "")
    assert not Path(built).exists(), "it is not built here"
    assert host.running_toplevel == running


@pytest.mark.matrix
def test_a_check_that_is_run_here_finds_its_program_here(rig: Rig) -> None:
    program = f"""
      pkgs.runCommand "check" {{ }} ''
        printf '#!/bin/sh\\necho {uuid.uuid4()}\\n' >$out; chmod +x $out
      ''
    """
    check = f'{{ from = "reconciler"; command = [ "${{{program}}}" ]; }}'
    set_extra(rig, HOST, f"{THERE} deployment.healthChecks.command = [ {check} ];")
    rig.stop_daemon()
    commit = rig.push("With a check that is run here")
    rig.run_daemon()

    def ended() -> bool:
        return last_ended(rig, HOST).commit == commit

    wait_until(ended, DEADLINE, "the attempt")

    done = last_ended(rig, HOST)
    assert done.outcome is Outcome.SUCCEEDED, done.message
    assert "build what checks run here" in [step.name for step in done.steps]
    assert not Path(rig.host(HOST).running_toplevel).exists()


@pytest.mark.matrix
def test_a_build_whose_daemon_was_killed_is_taken_up(rig: Rig) -> None:
    """What nobody waits for any more is ended, and what it made is kept."""
    host = rig.host(HOST)
    waits = f"until [ -e {GO} ]; do sleep 0.1; done; echo done >$out"
    set_extra(rig, HOST, THERE + building("slow", waits))
    rig.stop_daemon()
    rig.run_daemon()
    rig.push("It takes its time")
    wait_until(lambda: host.is_active(UNIT), DEADLINE, "the build")
    first = host.exec("systemctl", "show", "-p", "InvocationID", "--value", UNIT)

    rig.stop_daemon(kill=True)
    rig.run_daemon()

    def again() -> bool:
        shown = ("systemctl", "show", "-p", "InvocationID", "--value", UNIT)
        return host.is_active(UNIT) and host.exec(*shown) != first

    wait_until(again, DEADLINE, "the next build")
    assert host.exec("pgrep", "-xc", "nix-store") == "1\n"
    host.exec("touch", GO)
    rig.wait_in_sync(HOST)
    assert host.exec("cat", "/etc/slow") == "done\n"


def test_what_is_built_here_is_pushed_to_a_cache(rig: Rig) -> None:
    rig.stop_daemon()
    cache = rig.folder / "cache"
    rig.write_settings(cache={"push": f"file://{cache}"})
    set_extra(rig, HOST, named("fourth"))
    rig.run_daemon()
    rig.push("Built here, and pushed")
    rig.wait_in_sync(HOST)

    system = Path(rig.host(HOST).running_toplevel)
    narinfo = cache / f"{system.name.partition('-')[0]}.narinfo"
    wait_until(narinfo.exists, DEADLINE, "the push")
    assert system.exists(), "it is built here"
    labels = f'cache="file://{cache}",result="pushed"'
    series = f"reconciler_cache_pushes_total{{{labels}}}"
    wait_until(lambda: rig.metric(series) == 1, DEADLINE, "it to be counted")
    rig.stop_daemon()


def test_a_build_that_does_not_end_is_ended_there(rig: Rig) -> None:
    rig.stop_daemon()
    rig.write_settings(
        nix={
            "path": [f"nixpkgs={NIXPKGS}"],
            "options": NIX_OPTIONS,
            "build_timeout": "3s",
        }
    )
    set_extra(rig, HOST, THERE + building("slow", "sleep 1000"))
    rig.push("It does not end")

    told = json.loads(rig.run("apply", HOST, "--json", status=1).stdout)

    assert "the build on the host did not end within 3 s" in json.dumps(told)
    wait_until(lambda: not rig.host(HOST).is_active(UNIT), DEADLINE, "its end")
    assert "sleep 1000" not in rig.host(HOST).exec("ps", "ax")
    assert attempts(rig, HOST)[0].outcome is Outcome.FAILED
