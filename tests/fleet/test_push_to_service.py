"""The main job on real hosts: a push deploys, drift is closed, history is true."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.budget import tried
from tests.support.fleet import FleetFactory, ToolError
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

HOSTS = ("chrysalis", "keanu", "lufta")
BOT = "withinbot.service"
FACTS = "printerfacts.service"
KEANU = "hosts/keanu/configuration.nix"
LUFTA = "hosts/lufta/configuration.nix"
DROP_IN = "/run/systemd/system/withinbot.service.d/50-hand.conf"


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Three hosts that were deployed by the first push."""
    with Rig(tmp_path_factory.mktemp("rig"), module_fleet(*HOSTS)) as rig:
        rig.run_daemon()
        rig.push("The services of three hosts")
        rig.wait_in_sync(*HOSTS)
        yield rig


def test_a_push_brings_the_services_to_their_hosts(rig: Rig) -> None:
    assert rig.host("chrysalis").is_active(BOT)
    assert rig.host("chrysalis").is_active(FACTS)
    assert rig.host("lufta").is_active(BOT)
    assert not rig.host("lufta").is_active(FACTS)
    unit = rig.host("lufta").exec("readlink", "-f", f"/etc/systemd/system/{BOT}")
    assert unit.startswith("/nix/store/")


def test_what_runs_is_what_will_be_booted(rig: Rig) -> None:
    for host in rig.fleet:
        profile = host.exec("readlink", "-f", "/nix/var/nix/profiles/system").strip()
        boot = host.exec("readlink", "-f", "/boot/default").strip()
        assert profile == boot == host.running_toplevel


def test_history_tells_what_was_done(rig: Rig) -> None:
    (attempt,) = rig.json("history", "keanu", "-n", "1")

    assert attempt["outcome"] == "succeeded"
    assert attempt["commit"] == rig.repository.head
    assert attempt["to"] == rig.host("keanu").running_toplevel
    assert attempt["from"] != attempt["to"]
    assert [step["name"] for step in attempt["steps"]][:3] == [
        "build",
        "copy",
        "activate",
    ]
    log = rig.run("history", "--log", attempt["id"]).stdout
    assert FACTS in log


def test_only_what_a_commit_changes_is_touched(rig: Rig) -> None:
    untouched = rig.invocation("chrysalis", BOT)
    attempts = len(rig.json("history", "chrysalis"))
    rig.edit(LUFTA, "far away from every printer", "near a printer after all")

    rig.push("Move lufta")

    rig.wait_in_sync(*HOSTS)
    assert "near a printer after all" in environment(rig, "lufta")
    assert rig.invocation("chrysalis", BOT) == untouched
    assert len(rig.json("history", "chrysalis")) == attempts


def test_a_service_taken_out_of_git_leaves_the_host_and_a_revert_brings_it_back(
    rig: Rig,
) -> None:
    before = rig.host("keanu").running_toplevel
    file = rig.repository.work / KEANU
    text = file.read_text()
    file.write_text(text.replace("enable = true;", "enable = false;"))
    rig.push("Take the facts from keanu")
    rig.wait_in_sync("keanu")
    assert not rig.host("keanu").is_active(FACTS)
    assert rig.host("keanu").exec_status("systemctl", "cat", FACTS) != 0

    rig.repository.git("revert", "--no-edit", "HEAD")
    rig.push("and give them back")

    rig.wait_in_sync("keanu")
    assert rig.host("keanu").is_active(FACTS)
    assert rig.host("keanu").running_toplevel == before


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(["systemctl", "stop", BOT], id="stopped"),
        pytest.param(["systemctl", "mask", "--runtime", "--now", BOT], id="masked"),
        pytest.param(
            ["systemctl", "kill", "-s", "KILL", BOT],
            id="killed",
            marks=pytest.mark.matrix,
        ),
        pytest.param(
            [
                "sh",
                "-c",
                (
                    f"mkdir -p {DROP_IN.rpartition('/')[0]}"
                    f" && printf '[Service]\\nEnvironment=HAND=1\\n' >{DROP_IN}"
                    f" && systemctl daemon-reload && systemctl restart {BOT}"
                ),
            ],
            id="overridden",
        ),
        pytest.param(
            ["systemctl", "set-property", "--runtime", BOT, "MemoryMax=200M"],
            id="property set",
        ),
    ],
)
def test_what_somebody_does_by_hand_is_put_right(rig: Rig, deed: list[str]) -> None:
    host = rig.host("chrysalis")
    host.exec(*deed)

    def put_right() -> bool:
        show = host.exec(
            "systemctl", "show", "-p", "ActiveState,DropInPaths,LoadState", BOT
        )
        return (
            "ActiveState=active" in show
            and "=masked" not in show
            and ("DropInPaths=\n" in show)
        )

    wait_until(put_right, DEADLINE, f"{BOT} to be as the commit says")

    def is_restarted() -> bool:
        """Whether it runs as it should; the file is gone a moment before that."""
        with contextlib.suppress(ToolError):
            return "HAND=1" not in environment(rig, "chrysalis")
        return False

    wait_until(is_restarted, DEADLINE, f"{BOT} to be restarted")
    rig.wait_in_sync("chrysalis")


@pytest.mark.matrix
def test_a_system_switched_to_by_hand_is_switched_back(rig: Rig) -> None:
    host = rig.host("keanu")
    wanted = host.running_toplevel
    first = host.exec("readlink", "-f", "/nix/var/nix/profiles/system-1-link").strip()
    assert first != wanted
    host.exec(f"{first}/bin/switch-to-configuration", "test")

    wait_until(
        lambda: host.running_toplevel == wanted, DEADLINE, "the desired system to run"
    )

    # The status may be from before the deed, and the switch be under way.
    wait_until(lambda: host.is_active(FACTS), DEADLINE, f"{FACTS} to run")
    rig.wait_in_sync("keanu")
    assert rig.json("history", "keanu", "-n", "1")[0]["why"] == "heal"


def test_a_host_that_leaves_git_takes_its_series_along(rig: Rig) -> None:
    assert rig.metric('reconciler_host_up{host="lufta"}') == 1
    rig.edit("network.nix", "lufta = {", "nowhere = {")

    rig.push("Rename a host")

    wait_until(
        lambda: rig.metric('reconciler_host_up{host="lufta"}') is None,
        DEADLINE,
        "lufta's series to be gone",
    )
    assert 'host="lufta"' not in rig.get("/metrics")[1]
    assert rig.host("lufta").is_active(BOT), "a host that left is left alone"
    rig.repository.git("revert", "--no-edit", "HEAD")
    rig.push("and call it by its name again")
    rig.wait_in_sync(*HOSTS)


def test_plan_shows_what_a_commit_would_do_and_does_nothing(rig: Rig) -> None:
    in_sync = rig.run("plan", status=0).stdout
    assert "converged" in in_sync
    running = rig.host("keanu").running_toplevel
    first = rig.repository.git("rev-list", "--max-parents=0", "HEAD").strip()

    told = rig.json("plan", "lufta", "--commit", first, status=2)

    (lufta,) = told
    assert lufta["verdict"] == "deploy"
    assert any(drift["subject"] == BOT for drift in lufta["drifts"])
    assert rig.host("keanu").running_toplevel == running


MOMENTS = ("commit", "build", "copy", "activate", "verify")


@pytest.mark.parametrize("after", tried("commit", among=MOMENTS))
def test_killing_the_daemon_at_any_moment_loses_nothing(rig: Rig, after: str) -> None:
    rig.edit(LUFTA, 'greeting = "', f'greeting = "{after}! ')
    seen = rig.log.stat().st_size
    mark = '"event": "commit"' if after == "commit" else f'"step": "{after}"'

    head = rig.push(f"A commit whose daemon dies after: {after}")
    wait_until(
        lambda: mark in rig.log.read_text()[seen:], DEADLINE, f"the daemon to {after}"
    )
    rig.stop_daemon(kill=True)
    rig.run_daemon()

    rig.wait_in_sync(*HOSTS)
    assert f"{after}! " in environment(rig, "lufta")
    attempts = rig.json("history", "lufta")
    assert not [one for one in attempts if one["outcome"] is None]
    assert [one for one in attempts if one["commit"] == head]


def environment(rig: Rig, host: str) -> str:
    """Return the environment of the bot's process."""
    show = ("systemctl", "show", "-p", "MainPID", "--value", BOT)
    pid = rig.host(host).exec(*show).strip()
    return rig.host(host).exec("cat", f"/proc/{pid}/environ")
