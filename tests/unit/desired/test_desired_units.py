"""Which units there are, which should be active, and what starts the others."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.units import Declaration, desired_units, directives_of
from reconciler.model import DesiredUnit

STORE = "/nix/store/0000-unit"


def declare(
    name: str,
    text: str = "",
    *,
    by: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    masked: bool = False,
) -> Declaration:
    return Declaration(
        name=name,
        path=None if masked else f"{STORE}-{name}/{name}",
        directives=directives_of(text.splitlines()),
        wanted_by=by,
        aliases=aliases,
    )


def read(
    *units: Declaration, default_unit: str = "multi-user.target"
) -> dict[str, DesiredUnit]:
    return dict(desired_units(units, default_unit=default_unit))


def wanted(*units: Declaration, default_unit: str = "multi-user.target") -> set[str]:
    found = read(*units, default_unit=default_unit)
    return {str(unit.name) for unit in found.values() if unit.wanted}


# --- the boot closure ------------------------------------------------------------


def test_a_unit_wanted_by_the_default_target_is_wanted() -> None:
    assert wanted(declare("a.service", by=("multi-user.target",))) == {"a.service"}


def test_a_unit_wanted_by_nothing_is_not() -> None:
    assert wanted(declare("a.service")) == set()


def test_required_by_and_upheld_by_pull_in_as_wanted_by_does() -> None:
    required = Declaration(name="a.service", path="/a", required_by=("basic.target",))
    upheld = Declaration(name="b.service", path="/b", upheld_by=("a.service",))

    assert wanted(required, upheld) == {"a.service", "b.service"}


def test_directives_of_a_wanted_unit_pull_in_transitively() -> None:
    assert wanted(
        declare("a.service", "[Unit]\nWants=b.service", by=("multi-user.target",)),
        declare("b.service", "[Unit]\nRequires=c.service d.service"),
        declare("c.service", "[Unit]\nBindsTo=e.service"),
        declare("d.service", "[Unit]\nUpholds=f.service"),
        declare("e.service"),
        declare("f.service"),
    ) == {f"{name}.service" for name in "abcdef"}


def test_order_and_part_of_and_requisite_pull_in_nothing() -> None:
    text = "[Unit]\nAfter=b.service\nPartOf=b.service\nRequisite=b.service"

    assert wanted(
        declare("a.service", text, by=("multi-user.target",)), declare("b.service")
    ) == {"a.service"}


def test_a_unit_wanted_by_one_that_is_not_wanted_is_not() -> None:
    assert wanted(declare("a.service"), declare("b.service", by=("a.service",))) == (
        set()
    )


def test_a_cycle_outside_of_the_boot_stays_outside() -> None:
    assert (
        wanted(
            declare("a.service", "[Unit]\nWants=b.service"),
            declare("b.service", "[Unit]\nWants=a.service"),
        )
        == set()
    )


def test_a_cycle_in_the_boot_ends() -> None:
    assert wanted(
        declare("a.service", "[Unit]\nWants=b.service", by=("multi-user.target",)),
        declare("b.service", "[Unit]\nWants=a.service"),
    ) == {"a.service", "b.service"}


def test_the_early_targets_are_always_in_the_boot() -> None:
    early = ("sysinit", "basic", "sockets", "timers", "paths", "local-fs", "slices")
    units = [declare(f"{n}.service", by=(f"{n}.target",)) for n in early]

    assert wanted(*units, default_unit="mine.target") == {u.name for u in units}


def test_the_graphical_target_pulls_in_the_multi_user_target() -> None:
    a = declare("a.service", by=("multi-user.target",))
    b = declare("b.service", by=("graphical.target",))
    display = declare("display-manager.service")

    assert wanted(a, b, display) == {"a.service"}
    assert wanted(a, b, display, default_unit="graphical.target") == {
        "a.service",
        "b.service",
        "display-manager.service",
    }


def test_default_target_stands_for_the_default_unit() -> None:
    assert wanted(
        declare("a.service", by=("default.target",)), default_unit="graphical.target"
    ) == {"a.service"}


def test_an_upstream_target_that_something_wanted_pulls_in_counts() -> None:
    assert (
        wanted(
            declare("a.service", "[Unit]\nWants=network-online.target"),
            declare("b.service", by=("network-online.target",)),
        )
        == set()
    )
    assert wanted(
        declare(
            "a.service",
            "[Unit]\nWants=network-online.target",
            by=("multi-user.target",),
        ),
        declare("b.service", by=("network-online.target",)),
    ) == {"a.service", "b.service"}


def test_a_masked_unit_is_listed_and_neither_wanted_nor_followed() -> None:
    found = read(
        declare("a.service", masked=True, by=("multi-user.target",)),
        declare("b.service", by=("a.service",)),
    )

    assert found["a.service"].path is None
    assert not found["a.service"].wanted
    assert not found["b.service"].wanted


def test_an_alias_stands_for_its_unit() -> None:
    assert wanted(
        declare("a.service", "[Unit]\nWants=alias.service", by=("multi-user.target",)),
        declare("real.service", aliases=("alias.service",)),
        declare("c.service", by=("alias.service",)),
    ) == {"a.service", "real.service", "c.service"}


def test_a_template_is_never_wanted() -> None:
    assert wanted(declare("a@.service", by=("multi-user.target",))) == set()


def test_a_wanted_instance_of_a_declared_template_is_listed_with_its_file() -> None:
    found = read(
        declare("a@.service", "[Service]\nType=oneshot"),
        declare("t.target", "[Unit]\nWants=a@x.service", by=("multi-user.target",)),
    )

    assert found["a@x.service"].wanted
    assert found["a@x.service"].path == f"{STORE}-a@.service/a@.service"
    assert found["a@x.service"].type == "oneshot"


def test_a_wanted_instance_of_an_undeclared_template_is_not_listed() -> None:
    target = declare(
        "t.target", "[Unit]\nWants=getty@tty1.service", by=("multi-user.target",)
    )

    assert set(read(target)) == {"t.target"}


def test_an_instance_takes_from_its_template_what_it_does_not_say() -> None:
    found = read(
        declare("a@.service", "[Unit]\nWants=b@%i.service\n[Service]\nType=notify"),
        declare(
            "a@x.service",
            "[Service]\nX-RestartIfChanged=false",
            by=("multi-user.target",),
        ),
        declare("b@x.service"),
    )

    assert found["a@x.service"].type == "notify"
    assert not found["a@x.service"].restart_if_changed
    assert found["b@x.service"].wanted


def test_an_instance_of_a_masked_template_is_masked() -> None:
    found = read(
        declare("a@.service", masked=True),
        declare("t.target", "[Unit]\nWants=a@x.service", by=("multi-user.target",)),
    )

    assert "a@x.service" not in found


def test_a_service_pulls_in_its_sockets_and_the_bus() -> None:
    assert wanted(
        declare(
            "a.service",
            "[Service]\nSockets=s.socket\nBusName=org.a",
            by=("multi-user.target",),
        ),
        declare("s.socket"),
        declare("dbus.socket"),
    ) == {"a.service", "s.socket", "dbus.socket"}


names = st.sampled_from([f"{letter}.service" for letter in "abcdef"])


@given(st.dictionaries(names, st.sets(names)), st.sets(names), names)
def test_more_roots_never_make_less_wanted(
    edges: dict[str, set[str]], roots: set[str], more: str
) -> None:
    def closure(chosen: set[str]) -> set[str]:
        every = {*edges, *chosen, *(n for names in edges.values() for n in names)}
        return wanted(
            *(
                declare(
                    name,
                    f"[Unit]\nWants={' '.join(sorted(edges.get(name, ())))}",
                    by=("multi-user.target",) if name in chosen else (),
                )
                for name in every
            )
        )

    assert roots <= closure(roots) <= closure(roots | {more})


# --- what starts the others ------------------------------------------------------


def test_a_timer_triggers_its_namesake_even_if_that_is_wanted_too() -> None:
    found = read(
        declare("a.timer", by=("timers.target",)),
        declare("a.service", by=("multi-user.target",)),
    )

    assert found["a.timer"].wanted
    assert found["a.service"].triggered


def test_a_timer_triggers_what_it_names() -> None:
    found = read(
        declare("a.timer", "[Timer]\nUnit=b.service"),
        declare("a.service"),
        declare("b.service"),
    )

    assert found["b.service"].triggered
    assert not found["a.service"].triggered


def test_a_socket_triggers_a_service_that_nothing_wants() -> None:
    found = read(
        declare("a.socket", by=("sockets.target",)),
        declare("a.service"),
        declare("b.socket", "[Socket]\nService=c.service"),
        declare("c.service"),
    )

    assert found["a.service"].triggered
    assert found["c.service"].triggered


def test_a_wanted_service_with_a_socket_should_run() -> None:
    found = read(
        declare("docker.socket", by=("sockets.target",)),
        declare("docker.service", by=("multi-user.target",)),
    )

    assert found["docker.service"].wanted
    assert not found["docker.service"].triggered


def test_an_accepting_socket_triggers_no_unit_of_its_own_name() -> None:
    found = read(declare("a.socket", "[Socket]\nAccept=yes"), declare("a.service"))

    assert not found["a.service"].triggered


def test_paths_and_automounts_trigger() -> None:
    found = read(
        declare("a.path"),
        declare("a.service"),
        declare("srv.automount"),
        declare("srv.mount"),
    )

    assert found["a.service"].triggered
    assert found["srv.mount"].triggered


def test_a_bus_service_that_nothing_wants_is_triggered() -> None:
    found = read(
        declare("a.service", "[Service]\nType=dbus\nBusName=org.a"),
        declare("b.service", "[Service]\nBusName=org.b", by=("multi-user.target",)),
    )

    assert found["a.service"].triggered
    assert not found["b.service"].triggered


def test_a_masked_timer_triggers_nothing() -> None:
    found = read(declare("a.timer", masked=True), declare("a.service"))

    assert not found["a.service"].triggered


# --- directives ------------------------------------------------------------------


def test_flags_of_the_switch_are_read() -> None:
    unit = read(
        declare(
            "a.service",
            "[Unit]\nX-OnlyManualStart=yes\n[Service]\nType=oneshot\n"
            "RemainAfterExit=true\nX-RestartIfChanged=false\n"
            "X-ReloadIfChanged=true\nX-StopIfChanged=no",
        )
    )["a.service"]

    assert unit.only_manual
    assert unit.type == "oneshot"
    assert unit.remain_after_exit
    assert not unit.restart_if_changed
    assert unit.reload_if_changed
    assert not unit.stop_if_changed


def test_a_silent_unit_has_the_defaults() -> None:
    assert read(declare("a.service"))["a.service"] == DesiredUnit(
        name=declare("a.service").name,  # type: ignore[arg-type]
        path=f"{STORE}-a.service/a.service",  # type: ignore[arg-type]
        wanted=False,
    )


def test_the_last_assignment_of_a_value_wins_and_lists_add_up() -> None:
    unit = declare(
        "a.service",
        "[Unit]\nWants = b.service\nWants=\nWants=c.service\n"
        "[Service]\nType=oneshot\nType=",
    )

    assert unit.text("Service", "Type") == ""
    assert unit.words("Unit", "Wants") == ("b.service", "c.service")


def test_a_key_counts_only_in_its_own_section() -> None:
    found = read(declare("a.mount", "[Mount]\nType=oneshot"))

    assert found["a.mount"].type == ""
