"""What real systemd said, and what we make of it."""

import dataclasses
from pathlib import Path

import pytest

from reconciler.errors import FactError
from reconciler.model import HostName, Observed, ObservedUnit, UnitName
from reconciler.observed.probe import parse

RECORDINGS = Path(__file__).with_name("recordings")
RELEASES = ("debian-12-systemd-252", "debian-13-systemd-257")
HOST = HostName("lufta")

STATES = {
    # unit: LoadState, ActiveState, SubState, Result
    "steady.service": ("loaded", "active", "running", "success"),
    "failing.service": ("loaded", "failed", "failed", "exit-code"),
    "looping.service": ("loaded", "activating", "auto-restart", "exit-code"),
    "limited.service": ("loaded", "failed", "failed", "exit-code"),
    "done.service": ("loaded", "inactive", "dead", "success"),
    "remaining.service": ("loaded", "active", "exited", "success"),
    "starting.service": ("loaded", "activating", "start", "success"),
    "masked.service": ("masked", "inactive", "dead", "success"),
    "removed.service": ("not-found", "active", "running", "success"),
    "dangling.service": ("not-found", "active", "running", "success"),
    "lost.service": ("not-found", "inactive", "dead", "success"),
    "nowhere.service": ("not-found", "inactive", "dead", "success"),
    "broken.service": ("bad-setting", "inactive", "dead", "success"),
    "socketed.socket": ("loaded", "active", "listening", "success"),
    "socketed.service": ("loaded", "inactive", "dead", "success"),
    "timed.timer": ("loaded", "active", "waiting", "success"),
    "timed.service": ("loaded", "inactive", "dead", "success"),
    "worker@one.service": ("loaded", "active", "running", "success"),
    "worker@two.service": ("loaded", "inactive", "dead", "success"),
    "multi-user.target": ("loaded", "active", "active", ""),
    "-.mount": ("loaded", "active", "mounted", "success"),
}
OTHERS = (
    "unmet.service",
    "assert-unmet.service",
    "never.service",
    "dropped.service",
    "edited.service",
    "extra.service",
    "worker@.service",
    "absent@.service",
    r"srv-with\x2ddash.service",
    "aliased.service",
    "nickname.service",
)
ASKED = tuple(UnitName(name) for name in (*STATES, *OTHERS))


def recorded(name: str) -> str:
    return (RECORDINGS / f"{name}.txt").read_text()


@pytest.fixture(params=RELEASES)
def observed(request: pytest.FixtureRequest) -> Observed:
    return parse(recorded(request.param), host=HOST, asked=ASKED, now=5.0)


def unit(observed: Observed, name: str) -> ObservedUnit:
    return observed.units[UnitName(name)]


@pytest.mark.parametrize("name", STATES)
def test_states_are_those_of_systemd(observed: Observed, name: str) -> None:
    found = unit(observed, name)

    states = (found.load_state, found.active_state, found.sub_state, found.result)
    assert states == STATES[name]


def test_a_fragment_is_followed_into_the_store(observed: Observed) -> None:
    found = unit(observed, "steady.service")

    assert found.fragment_path == "/etc/systemd/system/steady.service"
    assert found.fragment.startswith("/nix/store/")
    assert found.fragment.endswith("-unit-steady.service/steady.service")


def test_a_masked_unit_leads_to_dev_null(observed: Observed) -> None:
    found = unit(observed, "masked.service")

    assert found.fragment_path == "/etc/systemd/system/masked.service"
    assert found.fragment == "/dev/null"


def test_a_file_in_place_of_the_link_is_its_own_fragment(observed: Observed) -> None:
    assert (
        unit(observed, "edited.service").fragment
        == "/etc/systemd/system/edited.service"
    )


def test_drop_ins_are_listed(observed: Observed) -> None:
    override = "/run/systemd/system/dropped.service.d/override.conf"

    assert unit(observed, "dropped.service").drop_ins == (override,)
    assert unit(observed, "dropped.service").drop_in_files == (override,)


def test_names_that_systemd_quotes_are_read(observed: Observed) -> None:
    """Lists with a backslash or a blank come in quotes, with backslashes doubled."""
    found = unit(observed, r"srv-with\x2ddash.service")

    drop_in = r"/etc/systemd/system/srv-with\x2ddash.service.d/my own.conf"
    assert found.active_state == "active"
    assert found.fragment.endswith(r"/srv-with\x2ddash.service")
    assert found.drop_ins == found.drop_in_files == (drop_in,)


@pytest.mark.parametrize("name", ["unmet.service", "assert-unmet.service"])
def test_an_unmet_condition_counts_once_it_was_checked(
    observed: Observed, name: str
) -> None:
    found = unit(observed, name)

    assert not found.condition_met
    assert observed.clock - 600 < found.condition_at < observed.clock


def test_a_condition_that_was_never_checked_is_not_unmet(observed: Observed) -> None:
    """Systemd says ConditionResult=no of every unit that never started."""
    found = unit(observed, "never.service")

    assert found.condition_met
    assert found.condition_at == 0


def test_restarts_are_counted(observed: Observed) -> None:
    assert unit(observed, "looping.service").restarts > 0
    assert unit(observed, "steady.service").restarts == 0
    assert unit(observed, "socketed.socket").restarts == 0


def test_a_changed_file_needs_a_reload(observed: Observed) -> None:
    assert unit(observed, "extra.service").needs_reload
    assert not unit(observed, "steady.service").needs_reload


def test_running_units_have_an_invocation(observed: Observed) -> None:
    assert len(unit(observed, "steady.service").invocation) == 32
    assert unit(observed, "nowhere.service").invocation == ""


def test_an_alias_is_found_under_both_names(observed: Observed) -> None:
    own, alias = unit(observed, "aliased.service"), unit(observed, "nickname.service")

    assert alias.active_state == "active"
    assert alias == dataclasses.replace(own, name=alias.name)


def test_an_alias_that_nobody_asked_for_is_no_unit() -> None:
    observed = parse(recorded(RELEASES[0]), host=HOST, asked=(), now=0.0)

    assert UnitName("aliased.service") in observed.units
    assert UnitName("nickname.service") not in observed.units


def test_a_template_is_told_by_its_file(observed: Observed) -> None:
    found = unit(observed, "worker@.service")

    assert found.load_state == "loaded"
    assert found.fragment == unit(observed, "worker@one.service").fragment
    assert unit(observed, "absent@.service").load_state == "not-found"


def test_loaded_units_are_there_without_being_asked_for(observed: Observed) -> None:
    assert unit(observed, "systemd-journald.service").active_state == "active"
    assert unit(observed, "dbus.socket").active_state == "active"


def test_what_is_no_unit_name_is_not_found() -> None:
    odd = UnitName("no unit; rm -rf /")

    observed = parse(recorded(RELEASES[0]), host=HOST, asked=[odd], now=0.0)

    assert observed.units[odd].load_state == "not-found"


def test_the_system_is_read(observed: Observed) -> None:
    assert observed.running is not None
    assert observed.running.startswith("/nix/store/")
    assert observed.running == observed.booted == observed.profile
    assert observed.running_parts == observed.booted_parts
    assert observed.running_parts.kernel.endswith("-linux-6.1")
    assert observed.running_parts.initrd.endswith("-initrd-6.1")
    assert observed.running_parts.modules.endswith("-linux-modules-6.1")
    assert observed.running_parts.systemd.endswith("-systemd-252")


def test_the_machine_is_read(observed: Observed) -> None:
    assert len(observed.boot_id) == 36
    assert len(observed.machine_id) == 32
    assert observed.store_free > 1_000_000_000
    assert observed.clock > 1_700_000_000
    assert observed.clock % 1 != 0
    assert observed.began_at == 5.0


def test_a_unit_that_the_answer_leaves_out_is_an_error() -> None:
    with pytest.raises(FactError, match=r"lufta: .*nothing about forgotten\.service"):
        parse(
            recorded(RELEASES[0]),
            host=HOST,
            asked=[UnitName("forgotten.service")],
            now=0.0,
        )


def test_a_systemctl_that_failed_is_an_error() -> None:
    """Recorded on a machine whose PID 1 is not systemd."""
    with pytest.raises(FactError, match=r"lufta: .*systemctl show exited with 1"):
        parse(recorded("no-systemd"), host=HOST, asked=(), now=0.0)
