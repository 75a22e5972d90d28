"""Commits that Nix cannot evaluate or build: one host's fault stays that host's own."""

from collections.abc import Iterator

import pytest

from tests.support.budget import tried
from tests.support.extra import (
    FIRST_LINE,
    add_extras,
    attempts,
    extra_file,
    flat,
    last_ended,
    set_extra,
)
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, NIX_OPTIONS, NIXPKGS, Rig
from tests.support.wait import patience, wait_until

HOSTS = ("chrysalis", "keanu")  # lufta is in the repository, and on no network
FACTS = "printerfacts.service"
BOT = "withinbot.service"
EXTRA = extra_file("keanu")
LINE = f"{EXTRA}:{FIRST_LINE}"

LONG = "(builtins.genList (x: x) 99999)"
ENDLESS = f"builtins.filter (x: x == builtins.length {LONG}) {LONG}"  # takes minutes

# What keanu's file says -> what must be told of it.
FAULTS = {
    "syntax": (
        "within.services.printerfacts.port = 8080",
        ("syntax error", f"{EXTRA}:{FIRST_LINE + 1}"),
    ),
    "type": (
        'within.services.printerfacts.port = lib.mkForce "eighty";',
        ("within.services.printerfacts.port", "eighty", EXTRA),
    ),
    "no such option": (
        "within.services.printerfacts.prot = 8080;",
        ("printerfacts.prot", "Did you mean", EXTRA),
    ),
    "assertion": (
        'assertions = [ { assertion = false; message = "keanu has no paper"; } ];',
        ("Failed assertions", "keanu has no paper"),
    ),
    "recursion": (
        "networking.hostName = lib.mkForce (let x = x; in x);",
        ("infinite recursion", LINE),
    ),
    "endless": (
        f"networking.hostName = lib.mkForce (toString (builtins.length ({ENDLESS})));",
        ("evaluating keanu did not end within", "nix.evaluate_timeout"),
    ),
}


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Two hosts that were deployed by the first push."""
    folder, hosts = tmp_path_factory.mktemp("rig"), module_fleet(*HOSTS)
    # What is waited for here no host rings for.
    with Rig(folder, hosts, policy={"interval": "2s"}) as rig:
        path = [f"nixpkgs={NIXPKGS}"]
        nix = {
            "path": path,
            "options": NIX_OPTIONS,
            "evaluate_timeout": f"{patience(5.0):.0f}s",
        }
        rig.write_settings(nix=nix)
        add_extras(rig, *HOSTS)
        rig.run_daemon()
        rig.push("The services of two hosts")
        rig.wait_in_sync(*HOSTS)
        yield rig


@pytest.fixture
def good(rig: Rig) -> Iterator[str]:
    """Give the last good commit; what a test breaks is mended by one more commit."""
    commit = rig.repository.head
    yield commit
    rig.repository.git("checkout", "-q", commit, "--", ".")
    rig.push("Mend what was broken")
    rig.wait_in_sync(*HOSTS)
    assert rig.host("keanu").is_active(FACTS)
    assert rig.status()["keanu"]["error"] == ""


@pytest.mark.parametrize("fault", tried("syntax", among=FAULTS))
def test_a_host_that_does_not_evaluate_fails_alone(
    rig: Rig, good: str, fault: str
) -> None:
    nix, told = FAULTS[fault]
    running = rig.host("keanu").running_toplevel
    before = attempts(rig, "keanu")
    set_extra(rig, "keanu", nix)
    greet(rig, f"After {good[:8]}")

    head = rig.push("Break keanu")

    rig.wait_in_sync("chrysalis")
    rig.wait_error("keanu", *told)
    assert f"After {good[:8]}" in greeting(rig)
    status = rig.status()["keanu"]
    assert (status["commit"], status["reachable"]) == (head, True)
    assert attempts(rig, "keanu") == before
    assert rig.host("keanu").running_toplevel == running
    assert "Traceback" not in rig.log.read_text()


def test_a_person_is_told_where_the_fault_is(rig: Rig, good: str) -> None:
    nix, told = FAULTS["syntax"]
    set_extra(rig, "keanu", nix)

    assert rig.push("Break keanu") != good

    rig.wait_error("keanu", *told)
    for words, status in (
        (["status", "keanu"], 0),
        (["plan", "chrysalis", "keanu"], 1),
        (["hosts"], 1),
        (["check", "keanu"], 1),
    ):
        shown = flat(rig.run(*words, status=status).stdout)
        assert all(word in shown for word in told), words
    evaluations = 'reconciler_evaluations_total{host="keanu",result="failed"}'
    assert (rig.metric(evaluations) or 0) > 0


def test_a_host_is_healed_by_what_the_last_good_commit_said(
    rig: Rig, good: str
) -> None:
    """Also after a restart, which must not forget what the host should be."""
    nix, told = FAULTS["syntax"]
    set_extra(rig, "keanu", nix)
    assert rig.push("Break keanu") != good
    rig.wait_error("keanu", *told)
    assert rig.stop_daemon() == 0
    rig.run_daemon()

    rig.host("keanu").exec("systemctl", "stop", FACTS)

    wait_active(rig, FACTS)
    rig.wait_error("keanu", *told)


def test_a_host_that_does_not_build_fails_alone(rig: Rig, good: str) -> None:
    running = rig.host("keanu").running_toplevel
    paper = 'pkgs.runCommand "paper" { } "echo The tray is empty >&2; exit 1"'
    set_extra(rig, "keanu", f"within.services.printerfacts.facts = {paper};")
    greet(rig, "Still here")

    assert rig.push("A fact sheet that cannot be built") != good

    rig.wait_in_sync("chrysalis")
    rig.wait_error("keanu", "paper failed to build", "/nix/store/")
    attempt = last_ended(rig, "keanu")
    assert [step.name for step in attempt.steps] == ["build"]
    assert "The tray is empty" in rig.run("history", "--log", attempt.id).stdout
    assert rig.host("keanu").running_toplevel == running


@pytest.mark.parametrize(
    ("nix", "told"),
    [
        pytest.param("{ {", ("syntax error", "network.nix:5"), id="syntax"),
        pytest.param(
            *("[ ] ++ {", ("list was expected", "network.nix:5")),
            id="type",
            marks=pytest.mark.matrix,
        ),
        pytest.param(
            f"builtins.deepSeq ({ENDLESS}) {{",
            ("did not end within", "the list of hosts"),
            id="endless",
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_a_commit_whose_hosts_cannot_be_told_is_passed_over(
    rig: Rig, good: str, nix: str, told: tuple[str, ...]
) -> None:
    seen = rig.log.stat().st_size
    rig.edit("network.nix", "{\n  network.", f"{nix}\n  network.")

    bad = rig.push("Break the network")

    def told_of() -> bool:
        log = rig.log.read_text()[seen:]
        return all(word in log for word in told)

    wait_until(told_of, DEADLINE, f"the log to tell {told}")
    rig.host("keanu").exec("systemctl", "stop", FACTS)
    wait_active(rig, FACTS)
    assert rig.status()["keanu"]["commit"] == good
    warning = flat(rig.run("status").stderr)
    assert all(word in warning for word in (bad[:8], *told))
    assert "Traceback" not in rig.log.read_text()


def test_a_good_commit_ends_the_warning(rig: Rig) -> None:
    assert "when last looked at" not in rig.run("status").stderr


def test_a_name_that_is_no_host(rig: Rig) -> None:
    for words in (
        ["plan", "nosuch"],
        ["apply", "keanu", "nosuch"],
        ["status", "nosuch"],
    ):
        told = flat(rig.run(*words, status=1).stderr)
        assert "'nosuch'" in told
        assert "chrysalis, keanu, lufta" in told


def greet(rig: Rig, text: str) -> None:
    """Change what chrysalis runs, and nothing else."""
    set_extra(rig, "chrysalis", f'within.services.withinbot.greeting = "{text}";')


def greeting(rig: Rig) -> str:
    """Return what chrysalis' service was given."""
    return rig.host("chrysalis").exec("systemctl", "show", "-p", "Environment", BOT)


def wait_active(rig: Rig, unit: str) -> None:
    """Wait for a unit of keanu to come back."""
    wait_until(
        lambda: rig.host("keanu").is_active(unit), DEADLINE, f"{unit} to come back"
    )
