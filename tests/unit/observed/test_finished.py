"""A service that ended by itself is told from one that somebody stopped."""

import pytest

from reconciler.model import UnitName
from reconciler.observed.answer import Answer
from reconciler.observed.units import read_units

BOT = UnitName("bot.service")

# As systemd 252 and 257 reported them: a service that came to its end, one that was
# stopped and ended well on SIGTERM, one that SIGTERM ended, one that never ran.
BY_ITSELF = {
    "ExecMainCode": "1",
    "ExecMainStatus": "0",
    "ExecMainExitTimestampMonotonic": "4800180603",
    "ActiveExitTimestampMonotonic": "4800180767",
}
STOPPED = {
    "ExecMainCode": "1",
    "ExecMainStatus": "0",
    "ExecMainExitTimestampMonotonic": "4805977403",
    "ActiveExitTimestampMonotonic": "4805577920",
}
KILLED = {
    "ExecMainCode": "2",
    "ExecMainStatus": "15",
    "ExecMainExitTimestampMonotonic": "4805580579",
    "ActiveExitTimestampMonotonic": "4805579515",
}
NEVER = {
    "ExecMainCode": "0",
    "ExecMainStatus": "0",
    "ExecMainExitTimestampMonotonic": "0",
    "ActiveExitTimestampMonotonic": "0",
}

# The table of Restart= in systemd.service(5), its row of a clean exit: may it stay so?
RESTART = {
    "no": True,
    "always": False,
    "on-success": False,
    "on-failure": True,
    "on-abnormal": True,
    "on-abort": True,
    "on-watchdog": True,
}


@pytest.mark.parametrize(
    ("times", "others", "finished"),
    [
        pytest.param(BY_ITSELF, {}, True, id="by itself"),
        pytest.param(STOPPED, {}, False, id="stopped, ended well"),
        pytest.param(KILLED, {}, False, id="stopped, ended by the signal"),
        pytest.param(NEVER, {}, False, id="never ran"),
        pytest.param(
            BY_ITSELF, {"Result": "exit-code"}, False, id="by itself, with an error"
        ),
        *(
            pytest.param(BY_ITSELF, {"Restart": restart}, done, id=restart)
            for restart, done in RESTART.items()
        ),
        pytest.param(
            BY_ITSELF,
            {"Restart": "always", "RestartPreventExitStatus": "0 3 USR1"},
            True,
            id="not to be restarted after this status",
        ),
        pytest.param(
            {**BY_ITSELF, "ExecMainStatus": "5"},
            {"Restart": "always", "RestartPreventExitStatus": "0 3 USR1"},
            False,
            id="and another status is another",
        ),
        pytest.param(
            BY_ITSELF, {"RemainAfterExit": "yes"}, False, id="it remains until stopped"
        ),
        pytest.param(
            BY_ITSELF,
            {"Restart": "always", "TriggeredBy": "bot.socket"},
            False,
            id="its socket may start it too, but it asks to go on",
        ),
    ],
)
def test_finished(
    times: dict[str, str], others: dict[str, str], *, finished: bool
) -> None:
    block = {
        "Id": BOT,
        "LoadState": "loaded",
        "ActiveState": "inactive",
        "Result": "success",
        "Restart": "no",
        "TriggeredBy": "",
        **times,
        **others,
    }
    answer = Answer(
        fields={}, units=(block,), resolved={}, keys={}, digests={}, folders={}
    )

    assert read_units(answer, [BOT], booted_at=0.0)[BOT].finished is finished


@pytest.mark.parametrize("remains", ["yes", "no"])
def test_a_timer_that_has_elapsed_is_not_started_again(remains: str) -> None:
    timer = UnitName("once.timer")
    block = {
        "Id": timer,
        "LoadState": "loaded",
        "ActiveState": "inactive",
        "Result": "success",
        "RemainAfterElapse": remains,
    }
    answer = Answer(
        fields={}, units=(block,), resolved={}, keys={}, digests={}, folders={}
    )

    found = read_units(answer, [timer], booted_at=0.0)[timer]

    assert found.finished is (remains == "no")
