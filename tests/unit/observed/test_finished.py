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
        pytest.param(
            BY_ITSELF, {"Restart": "on-failure"}, False, id="asks to be kept running"
        ),
        pytest.param(
            BY_ITSELF,
            {"Restart": "on-failure", "TriggeredBy": "bot.socket"},
            True,
            id="idle, and its socket starts it again",
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
