"""Keys on real hosts: delivered, put right, back after a reboot, and nowhere else."""

import base64
import contextlib
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import FleetFactory
from tests.support.leaks import find_leaks, watching_processes
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

KEY = "/run/keys/withinbot"
BOT = "withinbot.service"
FACTS = "printerfacts.service"


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Deploy a bot that waits for its key to one host."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet("chrysalis")) as rig:
        only(rig, "chrysalis")
        rig.run_daemon()
        rig.push("A bot with a key")
        rig.wait_in_sync("chrysalis")
        yield rig


def only(rig: Rig, name: str) -> None:
    """Leave one host in the network."""
    file = rig.repository.work / "network.nix"
    text = re.sub(
        rf"^  (?!{name}|defaults)(\w+) = \{{\n(?:.*\n)*?  \}};\n",
        "",
        file.read_text(),
        flags=re.MULTILINE,
    )
    file.write_text(text)


def token_of(rig: Rig) -> str:
    """Return the environment of the bot's process."""
    host = rig.host("chrysalis")
    show = ("systemctl", "show", "-p", "MainPID", "--value", BOT)
    pid = host.exec(*show).strip()
    if pid == "0":
        return ""
    with contextlib.suppress(AssertionError):
        return host.exec("cat", f"/proc/{pid}/environ")
    return ""


def key_is_right(rig: Rig, token: str) -> bool:
    """Return whether the file holds *token*, and is its owner's alone."""
    host = rig.host("chrysalis")
    if host.exec_status("test", "-f", KEY) != 0:
        return False
    told = host.exec("stat", "-c", "%U:%G %a", KEY).strip()
    return told == "withinbot:within 400" and token in host.exec("cat", KEY)


def test_the_bot_uses_its_key(rig: Rig) -> None:
    assert key_is_right(rig, "the token of the first day")
    assert "the token of the first day" in token_of(rig)
    keys = rig.json("keys")
    assert [(key["key"], key["state"]) for key in keys] == [("withinbot", "in place")]


def test_a_saved_secret_touches_its_key_and_its_service_only(rig: Rig) -> None:
    facts = rig.invocation("chrysalis", FACTS)

    rig.save_secret("the token of the second day")

    wait_until(
        lambda: "the token of the second day" in token_of(rig),
        DEADLINE,
        "the bot to use its new key",
    )
    assert rig.invocation("chrysalis", FACTS) == facts
    rig.wait_in_sync("chrysalis")


@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(["rm", KEY], id="deleted"),
        pytest.param(["chmod", "0644", KEY], id="opened", marks=pytest.mark.matrix),
        pytest.param(["chown", "root", KEY], id="given away", marks=pytest.mark.matrix),
        pytest.param(["sh", "-c", f"echo nonsense >{KEY}"], id="overwritten"),
        pytest.param(["sh", "-c", f"rm {KEY}; ln -s /etc/passwd {KEY}"], id="a link"),
    ],
)
def test_what_somebody_does_to_a_key_is_put_right(rig: Rig, deed: list[str]) -> None:
    rig.save_secret("the token of the third day")
    wait_until(
        lambda: key_is_right(rig, "the token of the third day"), DEADLINE, "the key"
    )

    rig.host("chrysalis").exec(*deed)

    wait_until(
        lambda: key_is_right(rig, "the token of the third day"),
        DEADLINE,
        "the key to be right again",
    )
    wait_until(lambda: rig.host("chrysalis").is_active(BOT), DEADLINE, "the bot to run")


def test_keys_come_back_after_a_reboot_with_nobody_doing_anything(rig: Rig) -> None:
    rig.save_secret("the token of the fourth day")
    rig.wait_in_sync("chrysalis")
    before = rig.metric("reconciler_reboot_to_active_seconds_count")

    rig.host("chrysalis").reboot()

    wait_until(
        lambda: "the token of the fourth day" in token_of(rig),
        DEADLINE,
        "the bot to run with its key",
    )
    wait_until(
        lambda: rig.metric("reconciler_reboot_to_active_seconds_count") != before,
        DEADLINE,
        "the reboot to be measured",
    )


def test_reboot_waits_for_the_new_boot_and_its_keys(rig: Rig) -> None:
    boot = rig.host("chrysalis").boot_id

    rig.run("reboot", "chrysalis")

    assert rig.host("chrysalis").boot_id != boot
    assert rig.host("chrysalis").is_active(BOT)


def test_a_missing_secret_is_named_and_the_key_on_the_host_stays(rig: Rig) -> None:
    rig.save_secret("the token of the fifth day")
    wait_until(
        lambda: key_is_right(rig, "the token of the fifth day"), DEADLINE, "the key"
    )
    (rig.secrets / "withinbot.env").unlink()

    def told() -> bool:
        (key,) = rig.json("keys", status=None)
        return "withinbot.env" in key["state"]

    wait_until(told, DEADLINE, "the missing file to be named")
    assert key_is_right(rig, "the token of the fifth day")
    assert rig.host("chrysalis").is_active(BOT)
    rig.save_secret("the token of the fifth day")
    rig.wait_in_sync("chrysalis")


def test_the_secret_is_nowhere_but_in_its_key(rig: Rig, tmp_path: Path) -> None:
    began, secret = time.time() - 1, uuid.uuid4().hex  # noqa: TID251 -- that of files
    host = rig.host("chrysalis")
    with watching_processes(secret.encode()) as sightings:
        rig.save_secret(secret)
        wait_until(lambda: secret in token_of(rig), DEADLINE, "the bot to use it")
        rig.run("keys", status=None)
        rig.run("plan", status=None)
        rig.run("status", "chrysalis")
        rig.wait_in_sync("chrysalis")
    answers = tmp_path / "answers"
    answers.write_text(
        rig.get("/metrics")[1]
        + rig.get("/healthz")[1]
        + rig.run("status", "chrysalis", "--json").stdout
        + rig.run("plan", "--json", status=None).stdout
        + host.exec("journalctl", "--no-pager")
    )

    def leaks(*stores: Path) -> list[str]:
        return find_leaks(
            secret.encode(),
            state_dirs=[rig.state],
            stores=stores,
            logs=[rig.log, answers],
            exclude=[rig.secrets],
            since=began,
        )

    assert leaks(Path("/nix/store"), rig.fleet.path) == []
    planted = rig.state / "planted"
    planted.write_bytes(base64.b64encode(f"WITHINBOT_TOKEN={secret}".encode()))
    assert {leak.rpartition(": ")[0] for leak in leaks()} == {str(planted)}
    planted.unlink()
    # In the environment of the bot, which systemd gives it, and in no argument.
    assert set(sightings) <= {"environ: raw"}
    assert holders(secret) == {"withinbot"}


def holders(secret: str) -> set[str]:
    """Return the names of the processes that have *secret* in their environment."""
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if secret.encode() in environment.read_bytes():
                found.add((environment.parent / "comm").read_text().strip())
    return found


def test_a_key_that_git_no_longer_has_is_removed(rig: Rig) -> None:
    rig.edit(
        "hosts/chrysalis/configuration.nix",
        "withinbot.enable = true;",
        "withinbot.enable = false;",
    )

    rig.push("Take the bot away")

    rig.wait_in_sync("chrysalis")
    assert rig.host("chrysalis").exec_status("test", "-e", KEY) != 0
