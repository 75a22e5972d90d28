"""What a host does by itself while it is switched; on a real one, without a daemon."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.apply import guardian
from reconciler.apply.guardian import Decision, Guarded, Result
from reconciler.errors import ActivationError
from tests.support.fleet import FleetFactory
from tests.support.guarded import ACTIVATE, LINK, PROFILE, UNIT, GuardedHost
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(180)

BOOT = "ln -sfn $top /boot/default"


@pytest.fixture(scope="module")
def installed(module_fleet: FleetFactory) -> GuardedHost:
    """One host for all of them."""
    return GuardedHost(module_fleet("lufta")["lufta"])


@pytest.fixture
def host(installed: GuardedHost) -> Iterator[GuardedHost]:
    """Begin and end on the system that it was installed with."""
    installed.reset()
    yield installed
    installed.reset()


# --- a systemd that does not answer ------------------------------------------------


@pytest.mark.matrix
def test_systemd_is_executed_anew_all_the_time(host: GuardedHost) -> None:
    """An empty answer is no dead guardian: nothing is rolled back for it."""
    old = host.toplevel("old")
    again = (
        "systemd-run -q --collect --unit=anew sh -c"
        " 'for _ in $(seq 40); do systemctl daemon-reexec || true; done'"
    )
    new = host.toplevel("new", f"{ACTIVATE}; {again}; sleep 2", boot=BOOT)

    found = host.begin("a", new, old)
    while found.switching:
        found = host.state("a")
    silent = False
    for _ in range(60):
        assert found.waits, found
        silent = found.alive is None
        if silent:
            break
        found = host.state("a")
    if not silent:
        pytest.skip("systemd always answered: this would show nothing")
    host.sh("systemctl stop anew || true")
    ended = host.end("a", Decision.CONFIRM)

    assert ended.result is Result.CONFIRMED, ended
    assert host.running == new


# --- the log ------------------------------------------------------------------------


def test_a_switch_that_prints_without_end_does_not_fill_the_memory(
    host: GuardedHost,
) -> None:
    old = host.toplevel("old")
    new = host.toplevel("new", f"echo the first; seq 600000; echo the last; {ACTIVATE}")

    found = host.begin("a", new, old)

    lines = found.log.split("\n")
    assert lines[0] == "the first"
    assert lines[-1] == "the last"
    assert "left out" in found.log
    assert len(found.log) < 120_000
    used = int(host.sh("du -sk /run/reconciler").split()[0])
    assert used < 300
    assert host.state("a", known=len(lines)).log == "", "it is told once"
    ended = host.end("a", Decision.ROLL_BACK)
    assert ended.result is Result.ROLLED_BACK


def test_what_is_new_of_the_log_is_told(host: GuardedHost) -> None:
    old = host.toplevel("old", f"echo back again; {ACTIVATE}")
    new = host.toplevel("new", f"printf 'one\\ntwo\\nno end'; {ACTIVATE}")

    found = host.begin("a", new, old)
    assert found.log == "one\ntwo\nno end"
    ended = guardian.decide(host.writer, "a", Decision.ROLL_BACK, wait=30, known=3)

    assert ended.log == f"going back to {old}\nback again"


def test_what_a_switch_leaves_running_is_not_waited_for(host: GuardedHost) -> None:
    old = host.toplevel("old")
    new = host.toplevel("new", f"{ACTIVATE}; setsid sleep 60 & echo done")

    assert host.begin("a", new, old).waits


# --- others -------------------------------------------------------------------------


def test_a_start_leaves_alone_how_another_attempt_ended(host: GuardedHost) -> None:
    """Two names may lead to one machine, and who began the other may ask late."""
    old, new = host.toplevel("old"), host.toplevel("new")
    host.begin("a", new, old)
    host.end("a", Decision.ROLL_BACK)

    host.begin("b", new, old)

    assert host.state("a").result is Result.ROLLED_BACK
    assert host.end("b", Decision.ROLL_BACK).result is Result.ROLLED_BACK


def test_not_all_of_them_are_kept_for_ever(host: GuardedHost) -> None:
    old, new = host.toplevel("old"), host.toplevel("new")
    host.sh(
        "mkdir -p /run/reconciler && cd /run/reconciler && for n in $(seq 30); do"
        " mkdir $n && echo rolled-back >$n/result; done; mkdir /run/keys/.reconciler-x"
    )

    host.begin("a", new, old)

    assert len(host.sh("ls /run/reconciler").split()) <= 11
    assert host.sh("ls -A /run/keys | grep reconciler").split() == [".reconciler-a"]


def test_who_comes_second_waits(host: GuardedHost) -> None:
    old, new = host.toplevel("old"), host.toplevel("new")
    host.begin("a", new, old)

    with pytest.raises(ActivationError, match="another activation is under way"):
        host.begin("b", new, old)

    assert host.state("a").waits
    assert host.state("b").result is Result.NOT_STARTED, "nor does it begin later"


def test_two_that_begin_at_once(host: GuardedHost) -> None:
    old, new = host.toplevel("old"), host.toplevel("new", f"sleep 1; {ACTIVATE}")

    def begin(name: str) -> Guarded | ActivationError:
        try:
            return host.begin(name, new, old)
        except ActivationError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        # Of one of them the answer was lost, so that it is asked for again.
        found = list(pool.map(begin, ["a", "a", "b", "b"]))

    waiting = [one for one in found if isinstance(one, Guarded) and one.waits]
    assert len(waiting) == 2, found
    assert len(host.sh("grep -l waiting /run/reconciler/*/phase").split()) == 1


def test_what_was_cut_off_is_taken_back_before_another_begins(
    host: GuardedHost,
) -> None:
    """Whoever began it may be gone for good, or know the host by another name."""
    old, new = host.toplevel("old"), host.toplevel("new")
    host.begin("a", new, old)
    host.sh(
        "rm /run/reconciler/a/guardian; "
        f"systemctl kill --kill-who=all -s KILL {UNIT}; "
        f"while systemctl --quiet is-active {UNIT}; do sleep 0.1; done"
    )
    host.sh(f"ln -sfn {new} {LINK}")
    script = guardian.script("guardian")  # as it was before
    host.inside.exec("sh", "-c", "cat >/run/reconciler/a/guardian", stdin=script)

    with pytest.raises(ActivationError, match="is being taken back"):
        host.begin("b", new, old)

    assert host.wait_result("a").result is Result.ROLLED_BACK
    assert host.running == old
    assert host.begin("c", new, old).waits


# --- going back ---------------------------------------------------------------------


@pytest.mark.matrix
def test_no_check_keeps_a_host_from_what_it_ran_before(host: GuardedHost) -> None:
    refuse = '[ "$NIXOS_NO_CHECK" = 1 ] || { echo no; exit 1; }'
    old = host.toplevel("old", f"{refuse}; {ACTIVATE}")
    new = host.toplevel("new", f"{ACTIVATE}; exit 2")

    found = host.begin("a", new, old)
    while found.result is None:
        found = host.state("a")

    assert found.result is Result.ROLLED_BACK
    assert host.running == old


def test_going_back_is_tried_again(host: GuardedHost) -> None:
    """A service of the new system may take long to stop."""
    once = "mkdir /tmp/once 2>&- && exec sleep 60"
    old = host.toplevel("old", f"{once}; {ACTIVATE}")
    new = host.toplevel("new")
    host.begin("a", new, old)

    ended = host.end("a", Decision.ROLL_BACK)

    assert ended.result is Result.ROLLED_BACK
    assert host.running == old


def test_a_host_that_cannot_go_back_says_so(host: GuardedHost) -> None:
    old, new = host.toplevel("old", "sleep 60"), host.toplevel("new")
    host.begin("a", new, old)

    ended = host.end("a", Decision.ROLL_BACK)

    assert ended.result is Result.ROLLBACK_FAILED
    assert host.running == new


# --- what it boots ------------------------------------------------------------------


def generations(host: GuardedHost) -> list[str]:
    """Return the generations that there are, and which one is the profile."""
    return host.sh(f"readlink {PROFILE}; ls -d {PROFILE}-*-link").split()


@pytest.mark.parametrize("verb", ["confirm", "boot"])
def test_a_boot_loader_that_fails_half_way(host: GuardedHost, verb: str) -> None:
    old = host.toplevel("old", boot=BOOT)
    host.sh(
        f"nix-env -p {PROFILE} --set {old} && {old}/bin/switch-to-configuration boot"
    )
    before = generations(host)
    new = host.toplevel("new", boot="rm -f /boot/default; echo half-way; exit 1")

    if verb == "confirm":
        host.begin("a", new, old)
        ended = host.end("a", Decision.CONFIRM)
    else:
        ended = guardian.set_boot(host.writer, host.order("a", new, old), wait=30)

    assert ended.result is Result.BOOT_FAILED
    assert "half-way" in ended.log
    assert host.boots == (old, old)
    assert generations(host) == before


def test_a_guardian_that_is_killed_while_it_sets_what_is_booted(
    host: GuardedHost,
) -> None:
    """It is done once more, and taken back to what was before both."""
    old = host.toplevel("old", boot=BOOT)
    host.sh(
        f"nix-env -p {PROFILE} --set {old} && {old}/bin/switch-to-configuration boot"
    )
    before = generations(host)
    new = host.toplevel("new", boot="mkdir /tmp/once && exec sleep 60; exit 1")
    guardian.set_boot(host.writer, host.order("a", new, old), wait=0)
    wait_until(lambda: host.sh("ls /tmp").split().count("once"), 20, "the first try")

    host.sh(f"systemctl kill --kill-who=main -s KILL {UNIT}")

    assert host.wait_result("a").result is Result.BOOT_FAILED
    assert host.boots == (old, old)
    assert generations(host) == before


def test_what_runs_is_made_what_is_booted(host: GuardedHost) -> None:
    old = host.toplevel("old", boot=BOOT)
    new = host.toplevel("new", boot=BOOT)

    ended = guardian.set_boot(host.writer, host.order("a", new, old), wait=30)

    assert ended.result is Result.CONFIRMED
    assert host.boots == (new, new)


# --- what refuses -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "test", "result"),
    [
        ("echo not now; exit 1", ACTIVATE, Result.REFUSED),
        ("", "echo Pre-switch checks failed; exit 1", Result.REFUSED),
        ("", "exit 100", Result.REBOOT_FIRST),
        ("echo Could not acquire lock; exit 11", ACTIVATE, Result.LOCKED),
    ],
    ids=["checked", "an older one", "a much older one", "somebody switches"],
)
def test_what_refuses_leaves_everything_as_it_is(
    host: GuardedHost, check: str, test: str, result: Result
) -> None:
    old = host.toplevel("old", f"touch /tmp/activated; {ACTIVATE}")
    host.sh(f"ln -sfn {old} {LINK}")
    new = host.toplevel("new", test, check=check)

    found = host.begin("a", new, old)

    assert found.result is result
    assert host.running == old
    assert "activated" not in host.sh("ls /tmp").split()
    assert "Usage" not in found.log


def test_it_refuses_before_keys_are_asked_for(host: GuardedHost) -> None:
    old = host.toplevel("old")
    new = host.toplevel("new", check="sleep 0.5; echo not now; exit 1")

    found = guardian.start(host.writer, host.order("a", new, old), wait=None)

    assert (found.result, found.log) == (Result.REFUSED, "not now")


def test_one_that_knows_no_check_waits_for_its_keys(host: GuardedHost) -> None:
    old, new = host.toplevel("old"), host.toplevel("new")

    found = guardian.start(host.writer, host.order("a", new, old), wait=None)

    assert (found.phase, found.result, found.log) == ("armed", None, "")
    assert guardian.go(host.writer, "a", wait=10).waits


# --- a first boot -------------------------------------------------------------------

CONTROL = "/etc/systemd/system.control"


@pytest.mark.parametrize(
    ("boot", "before", "after", "told"),
    [
        ("echo Pre-switch checks failed; exit 1", "true", "true", "Pre-switch checks"),
        (
            BOOT,
            f"mkdir -p {CONTROL} && mount -t tmpfs none {CONTROL}",
            f"umount {CONTROL}",
            "is in memory",
        ),
    ],
    ids=["it refuses to be booted", "nothing would watch"],
)
def test_a_host_that_cannot_be_booted_into_it_is_left_as_it_is(
    host: GuardedHost, boot: str, before: str, after: str, told: str
) -> None:
    old, new = host.toplevel("old", boot=BOOT), host.toplevel("new", boot=boot)
    host.sh(
        f"nix-env -p {PROFILE} --set {old} && {old}/bin/switch-to-configuration boot"
    )
    was = generations(host)
    left = host.inside.boot_id

    host.sh(before)
    order = host.order("a", new, old)
    found = guardian.first_boot(host.writer, order, left, wait=30)
    host.sh(after)

    assert found.result is Result.NOT_BOOTED, found
    assert told in found.log
    assert (host.boots, generations(host)) == ((old, old), was)
    assert host.inside.boot_id == left
    kept = f"/nix/var/nix/reconciler-first-boot* {CONTROL}/*"
    assert host.sh(f"ls -d {kept} 2>&1 | grep -v 'No such' || true") == ""


def test_asked_again_after_the_boot_it_begins_nothing(host: GuardedHost) -> None:
    old, new = host.toplevel("old"), host.toplevel("new")

    found = guardian.first_boot(
        host.writer, host.order("a", new, old), "another boot", wait=5
    )

    assert not found.known
