"""The subcommands that look at hosts: plan, apply, hosts, check."""

import getpass
import os
from pathlib import Path

import pytest

from reconciler.cli.common import out
from reconciler.errors import BuildError, EvaluationError
from reconciler.history import pushed
from reconciler.model import HostName, UnitName
from reconciler.settings import CacheSettings
from tests.support.scene import Scene
from tests.support.world import FAILED, FIRST, toplevel_of
from tests.unit.cli.conftest import Cli

BOT, FACTS = "withinbot.service", "printerfacts.service"
A = {"keanu": {FACTS: "1"}, "lufta": {BOT: "1"}}
B = {"keanu": {FACTS: "1"}, "lufta": {BOT: "2", FACTS: "1"}}
BROKEN = EvaluationError("network.nix:3:1: undefined variable 'foo'", host="keanu")


@pytest.fixture
def deployed(scene: Scene, cli: Cli) -> Scene:
    scene.push(A, "Two hosts")
    assert cli("apply").status == 0
    return scene


# --- plan ------------------------------------------------------------------------


@pytest.mark.usefixtures("deployed")
def test_plan_exits_with_0_when_nothing_differs(cli: Cli) -> None:
    said = cli("plan")

    assert said.status == 0
    assert said.lines[0].endswith("Two hosts")
    assert said.lines[-1] == "2 hosts: 2 in sync"


def test_plan_exits_with_2_when_something_differs(cli: Cli, deployed: Scene) -> None:
    deployed.push(B)
    commands = deployed.machine("lufta").commands

    said = cli("plan")

    assert said.status == 2
    assert said.lines[-1] == "2 hosts: 1 in sync, 1 to deploy"
    (changed,) = (line for line in said.lines if BOT in line)
    assert changed.split() == ["~", BOT, "changed,", "will", "restart"]
    (new,) = (line for line in said.lines if FACTS in line)
    assert new.split() == ["+", FACTS, "new,", "will", "start"]
    assert deployed.machine("lufta").commands == commands
    assert said.err == ""


def test_a_commit_that_does_not_count_is_passed_over_as_the_daemon_does(
    cli: Cli, deployed: Scene
) -> None:
    counts = deployed.history.last_commit()
    assert counts is not None
    deployed.push({}, "All hosts are gone")
    deployed.machine("lufta").change(BOT, **FAILED)

    planned = cli("plan")
    applied = cli("apply")

    assert (planned.status, applied.status) == (1, 1)
    assert planned.lines[0].endswith("Two hosts")
    assert planned.lines[-1] == "2 hosts: 1 in sync, 1 to heal"
    assert f"what follows is about commit {counts.short}" in planned.err
    assert deployed.status("lufta").in_sync
    assert cli("plan", "--json").json[0]["commit"] == counts.id


def test_what_cannot_be_built_is_told_by_plan_and_check(
    cli: Cli, deployed: Scene
) -> None:
    told = "it is for riscv64-linux"
    deployed.evaluator.unbuildable[HostName("lufta")] = told
    assert told not in cli("plan").out, "it runs, and need not be built"
    deployed.push(B)

    assert told in cli("plan", "lufta").out
    assert cli("plan", "lufta", "--json").json[0]["warnings"] == [told]
    assert f"lufta: {told}" in cli("check", "lufta").err


def test_plan_exits_with_1_when_a_host_cannot_be_planned(
    cli: Cli, deployed: Scene
) -> None:
    deployed.push({**B, "keanu": BROKEN})

    said = cli("plan")

    assert said.status == 1
    assert str(BROKEN) in said.out
    assert said.lines[-1] == "2 hosts: 1 to deploy, 1 error"


def test_plan_of_one_host_is_about_that_host(cli: Cli, deployed: Scene) -> None:
    deployed.push(B)

    said = cli("plan", "keanu")

    assert said.status == 0
    assert "lufta" not in said.out
    assert said.lines[-1] == "1 host: 1 in sync"


def test_plan_as_json_has_the_commit_and_every_documented_key(
    cli: Cli, deployed: Scene
) -> None:
    commit = deployed.push({**B, "keanu": BROKEN})

    said = cli("plan", "--json")

    keanu, lufta = said.json
    assert (keanu["host"], keanu["error"]) == ("keanu", str(BROKEN))
    assert (keanu["commit"], keanu["in_sync"]) == (commit.id, False)
    assert keanu.keys() == lufta.keys()
    assert set(lufta) >= {
        "host",
        "address",
        "tags",
        "target",
        "derivation",
        "verdict",
        "in_sync",
        "reason",
        "drifts",
        "warnings",
        "steps",
        "commit",
    }
    assert (lufta["commit"], lufta["verdict"]) == (commit.id, "deploy")
    assert [step["kind"] for step in lufta["steps"]][:3] == [
        "build",
        "copy",
        "activate",
    ]


def test_plan_at_80_columns_breaks_between_words_only(
    cli: Cli, deployed: Scene
) -> None:
    deployed.push(B)
    cli.narrow(80)

    said = cli("plan", "lufta")

    assert max(map(len, said.lines)) <= 80
    old = toplevel_of("lufta", A["lufta"]).removeprefix("/nix/store/")
    new = toplevel_of("lufta", B["lufta"]).removeprefix("/nix/store/")
    words = said.out.replace(",", " ").split()
    for path in (old, new):
        assert f"{path[:8]}-nixos-system-lufta" in words


def test_looking_at_another_commit_leaves_no_trace(cli: Cli, deployed: Scene) -> None:
    """A host is brought to the last commit that evaluates, not to one looked at."""
    (first,) = deployed.mirror.commits
    deployed.push(B)
    assert cli("apply").status == 0
    assert cli("plan", "lufta", "--commit", first.short).status == 2
    deployed.push({**B, "lufta": EvaluationError("undefined variable", host="lufta")})

    cli("apply", "lufta")

    assert deployed.machine("lufta").running == toplevel_of("lufta", B["lufta"])


def test_plan_for_another_commit_says_what_git_does_not_know(
    cli: Cli, deployed: Scene
) -> None:
    said = cli("plan", "--commit", "no-such-branch")

    assert deployed.mirror.fetched
    assert said.status == 1
    assert said.out == ""
    assert "no branch, tag or commit 'no-such-branch'" in said.err


def test_a_mistyped_host_is_an_error_with_a_guess(cli: Cli, deployed: Scene) -> None:
    for command in ("plan", "apply"):
        said = cli(command, "lufto")
        assert said.status == 1
        assert "no host is named 'lufto'" in said.err
        assert "did you mean lufta?" in said.err
    assert deployed.machine("lufta").running == toplevel_of("lufta", A["lufta"])


# --- which hosts -----------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [("plan",), ("apply", "--dry-run"), ("keys",), ("keys", "send"), ("hosts",)],
)
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("@home",), ["keanu", "lufta"]),
        (("lu*",), ["lufta"]),
        (("!lufta",), ["keanu"]),
        (("@home", "!k*"), ["lufta"]),
    ],
)
def test_hosts_are_meant_in_one_way_by_every_command(
    cli: Cli,
    deployed: Scene,
    command: tuple[str, ...],
    words: tuple[str, ...],
    meant: str,
) -> None:
    """Also where nothing is recorded yet: tags are what the commit says."""
    deployed.push({host: {**units, "/run/keys/a": "a"} for host, units in A.items()})

    said = cli(*command, *words, "--json")

    assert sorted({row["host"] for row in said.json}) == meant


def test_tags_are_those_of_the_commit_and_not_of_the_last_look(
    cli: Cli, scene: Scene
) -> None:
    scene.push(A)

    assert cli("plan", "@home").lines[-1] == "2 hosts: 2 to deploy"
    assert cli("hold", "@home", "--reason", "holidays", "--dry-run").status == 0


def test_a_host_that_does_not_evaluate_has_the_tags_it_had(
    cli: Cli, deployed: Scene
) -> None:
    deployed.push({**B, "keanu": BROKEN})

    said = cli("plan", "@home")

    assert said.lines[-1] == "2 hosts: 1 to deploy, 1 error"
    assert "keanu: its tags may be others by now: network.nix:3:1" in said.err


@pytest.mark.usefixtures("deployed")
def test_words_that_mean_no_host_are_mistakes(cli: Cli) -> None:
    assert "no host has the tag 'webb'" in cli("plan", "@webb").err
    assert "no host is left of: lufta !lufta" in cli("apply", "lufta", "!lufta").err


# --- apply -----------------------------------------------------------------------


def test_a_person_who_applies_is_in_the_audit_log(cli: Cli, scene: Scene) -> None:
    commit = scene.push(A)

    cli("apply", "lufta", "--reason", "the bot is rude")

    (event,) = scene.history.events(host=HostName("lufta"))
    assert (event.kind, event.actor) == ("apply", getpass.getuser())
    assert event.text == f"commit {commit.short}; the bot is rude"
    (attempt,) = cli("history", "lufta", "--json").json
    assert f"(process {os.getpid()})" in attempt["owner"]
    assert attempt["owner"] in cli("history", "--log", attempt["id"]).err


def test_what_is_applied_is_told_as_json_also_of_hosts_nothing_is_known_of(
    cli: Cli, scene: Scene
) -> None:
    scene.push({**A, "keanu": BROKEN})

    said = cli("apply", "--json")

    keanu, lufta = said.json
    assert said.status == 1
    assert (keanu["host"], lufta["in_sync"]) == ("keanu", True)
    assert "undefined variable" in keanu["error"]
    assert keanu.keys() == lufta.keys()


def test_a_dry_run_can_be_read_by_programs(cli: Cli, deployed: Scene) -> None:
    deployed.push(B)

    planned, applied = cli("plan", "--json"), cli("apply", "--dry-run", "--json")

    assert (applied.status, applied.json) == (planned.status, planned.json)


def test_apply_brings_hosts_to_the_newest_commit(cli: Cli, scene: Scene) -> None:
    scene.push(A)

    said = cli("apply", "lufta")

    assert said.status == 0
    assert scene.machine("lufta").running == toplevel_of("lufta", A["lufta"])
    assert scene.machine("keanu").running == FIRST
    assert said.lines[0].split() == ["HOST", "STATE", "SERVICES", "DONE"]
    assert said.lines[1].split()[:4] == ["lufta", "in", "sync", "1/1"]
    assert "deploy of " in said.lines[1]
    assert said.lines[-1] == "1 host: 1 in sync"


def test_apply_tells_its_steps_on_standard_error(cli: Cli, scene: Scene) -> None:
    scene.push(A)

    said = cli("apply", "lufta")

    assert [line for line in said.err.splitlines() if line.startswith("lufta: ")] == [
        "lufta: evaluating",
        "lufta: probing",
        "lufta: build",
        "lufta: copy",
        "lufta: activate",
        "lufta: verify",
        "lufta: settle",
        "lufta: confirm",
        "lufta: verify",
        "lufta: done",
    ]


@pytest.mark.usefixtures("deployed")
def test_apply_with_nothing_to_do_says_so(cli: Cli) -> None:
    said = cli("apply")

    assert said.status == 0
    assert said.out.count("nothing was to be done") == 2


def test_apply_of_a_host_that_fails_exits_with_1(cli: Cli, deployed: Scene) -> None:
    deployed.push(B)
    deployed.evaluator.build_error = BuildError("gcc was not pleased", host="lufta")

    said = cli("apply")

    assert said.status == 1
    assert "lufta: failed: gcc was not pleased" in said.err
    assert "gcc was not pleased" in said.out
    assert said.lines[-1].startswith("2 hosts: 1 in sync, 1 ")


def test_apply_heals_where_the_policy_does_not(cli: Cli, deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.change(BOT, active_state="inactive", sub_state="dead")

    assert cli("apply", "lufta").status == 0

    assert lufta.units[UnitName(BOT)].active_state == "active"


def test_apply_as_json_is_the_status(cli: Cli, scene: Scene) -> None:
    scene.push(A)

    applied = cli("apply", "--json").json

    assert [one["host"] for one in applied] == ["keanu", "lufta"]
    assert applied == cli("status", "--json").json


def test_a_dry_run_changes_nothing_and_exits_as_plan_does(
    cli: Cli, scene: Scene
) -> None:
    scene.push(A)

    said = cli("apply", "--dry-run")

    assert said.status == 2
    assert said.lines[-1] == "2 hosts: 2 to deploy"
    assert scene.machine("lufta").commands == 0
    assert scene.attempts("lufta") == []


# --- hosts, check ----------------------------------------------------------------


def test_hosts_lists_what_the_commit_declares(cli: Cli, scene: Scene) -> None:
    scene.push(A)

    said = cli("hosts")

    assert said.status == 0
    system = toplevel_of("lufta", A["lufta"]).removeprefix("/nix/store/")
    assert said.lines[2].split() == [
        "lufta",
        "root@lufta.example:22",
        "deployment.targetHost",
        "home",
        "1",
        f"{system[:7]}…nixos-system-lufta",
    ]


def test_hosts_as_json_has_every_documented_key(cli: Cli, scene: Scene) -> None:
    scene.push({**A, "keanu": BROKEN})

    said = cli("hosts", "--json")

    assert said.status == 1
    keanu, lufta = said.json
    assert (keanu["host"], keanu["error"]) == ("keanu", str(BROKEN))
    assert keanu.keys() == lufta.keys()
    assert lufta == {
        "host": "lufta",
        "address": "lufta.example",
        "transport": "ssh",
        "address_from": "deployment.targetHost",
        "port": 22,
        "user": "root",
        "tags": ["home"],
        "toplevel": toplevel_of("lufta", A["lufta"]),
        "services": [BOT],
        "error": "",
    }


def test_a_host_without_an_address_is_listed_and_no_error(
    cli: Cli, scene: Scene
) -> None:
    scene.evaluator.unaddressed.add("lufta")
    scene.push(A)

    said, plan = cli("hosts"), cli("plan")

    assert said.status == 0
    assert "no address" in said.lines[2]
    assert "ssh.address" in plan.out + plan.err


def test_check_tells_of_every_host(cli: Cli, deployed: Scene) -> None:
    deployed.machine("keanu").disconnect()

    said = cli("check")

    assert said.status == 1
    (keanu,) = (line for line in said.lines if "host keanu" in line)
    (lufta,) = (line for line in said.lines if "host lufta" in line)
    assert keanu.startswith("✗ host keanu  keanu: cannot connect")
    assert lufta.startswith("✓ host lufta  evaluates, answers at root@lufta.example:22")
    assert any("✓ layout  " in line and "is a commit" in line for line in said.lines)


def test_check_fails_where_two_names_lead_to_one_machine(
    cli: Cli, scene: Scene
) -> None:
    scene.push({"keanu": {BOT: "1"}, "lufta": {BOT: "1"}})
    keanu, lufta = scene.machine("keanu"), scene.machine("lufta")
    keanu.machine_id, keanu.boot_id = lufta.machine_id, lufta.boot_id

    said = cli("check", "--json")

    assert said.status == 1
    told = {line["check"]: line for line in said.json}
    for name in ("host keanu", "host lufta"):
        assert not told[name]["ok"]
        assert "keanu, lufta" in told[name]["problem"]


def test_check_goes_the_way_that_copies(cli: Cli, deployed: Scene) -> None:
    """A look takes another client to the host, so it alone proves too little."""
    (deployed.stores / "lufta.example").rename(deployed.stores / "away")

    said = cli("check", "lufta")

    assert said.status == 1
    (lufta,) = (line for line in said.lines if "host lufta" in line)
    assert lufta.startswith(
        "✗ host lufta  lufta: Nix cannot copy to it: cannot connect"
    )


def test_check_says_what_is_wrong_with_the_settings(cli: Cli, scene: Scene) -> None:
    scene.push(A)
    cli.settings.write_text("repositry: {url: x}\n")

    said = cli("check", "--json")

    assert said.status == 1
    (settings,) = said.json
    assert (settings["check"], settings["ok"]) == ("settings", False)
    assert "repositry" in settings["problem"]


def test_check_can_look_at_the_settings_alone(cli: Cli, scene: Scene) -> None:
    """As where a NixOS system is built: nothing else is there yet."""
    scene.mirror.away = "git.example: Connection refused"

    said = cli("check", "--only-settings", "--json")

    assert said.status == 0
    assert [one["check"] for one in said.json] == ["settings"]


def test_check_looks_at_the_secrets_of_webhooks(cli: Cli, scene: Scene) -> None:
    scene.push(A)
    secret = cli.settings.parent / "hook-secret"
    hook = f"webhooks: {{push: {{provider: gitea, secret_file: {secret}}}}}\n"
    cli.settings.write_text(f"{cli.settings.read_text()}\n{hook}")

    (missing,) = (line for line in cli("check").lines if "webhooks" in line)
    secret.write_text("a secret\n")
    (fine,) = (line for line in cli("check").lines if "webhooks" in line)

    assert missing.startswith("✗ webhooks  webhooks.push.secret_file: ")
    assert "cannot be read: No such file or directory" in missing
    assert fine.strip() == "✓ webhooks"


def test_a_repository_that_is_away_is_an_error(cli: Cli, scene: Scene) -> None:
    scene.push(A)
    scene.mirror.away = "git.example: Connection refused"

    for command in ("plan", "apply", "hosts"):
        said = cli(command)
        assert (said.status, said.out) == (1, "")
        assert said.err == "error: git.example: Connection refused\n"


def test_a_repository_that_is_away_is_a_warning_where_there_is_a_mirror(
    cli: Cli, deployed: Scene
) -> None:
    deployed.mirror.away = "git.example: Connection refused"

    said = cli("plan")

    assert said.status == 0
    assert said.err == "warning: git.example: Connection refused\n"


# --- caches ----------------------------------------------------------------------


def test_a_cache_that_takes_nothing_is_told_by_status_and_check(
    cli: Cli, deployed: Scene
) -> None:
    cache = "https://me:token@cache.example.org"
    with cli.settings.open("a") as file:
        file.write(f"\ncache: {{push: ['{cache}', 'attic:fleet']}}\n")
    bad = pushed.Pushed(waiting=2, problem="no route to host", since=1.0)
    pushed.write(
        deployed.settings.state.path,
        {"https://cache.example.org": bad, "attic:fleet": pushed.Pushed()},
    )

    status, checked = cli("status"), cli("check")

    assert "cannot push to the cache https://cache.example.org (2 waiting" in status.err
    assert "no route to host" in status.err
    assert "attic:fleet" not in status.err
    assert "✗ cache https://cache.example.org  no route to host" in checked.out
    assert "✗ command attic" in checked.out
    assert "✓ cache attic:fleet" in checked.out
    assert "token" not in status.err + checked.out


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (None, "✗ nix.signing_key {}  cannot be read: No such file"),
        (0o644, "✗ nix.signing_key {}  anybody here may read it: run chmod o="),
        (0o640, "✓ nix.signing_key {}"),
    ],
)
def test_check_looks_at_the_key_that_signs(
    cli: Cli, tmp_path: Path, mode: int | None, told: str
) -> None:
    """Without it every deployment fails, and whoever has it makes hosts trust him."""
    key = tmp_path / "signing-key"
    with cli.settings.open("a") as file:
        file.write(f"\nnix: {{signing_key: {key}}}\n")
    if mode is not None:
        key.touch()
        key.chmod(mode)

    checked = cli("check")

    assert told.format(key) in checked.out


def test_apply_tells_what_it_did_before_it_pushes(
    cli: Cli, deployed: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that is away may take an hour to be given up."""
    push = {"cache": CacheSettings(push=("attic:fleet",))}
    deployed.settings = deployed.settings.model_copy(update=push)
    turn = "reconciler.cli.plan.Caches.turn"
    monkeypatch.setattr(turn, lambda _caches: out.print("now it pushes"))

    for options in ([], ["--json"]):
        said = cli("apply", *options)

        assert said.lines[-1] == "now it pushes"
        assert "keanu" in "".join(said.lines[:-1])
