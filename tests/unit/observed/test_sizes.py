"""Numbers and words of any length in what hosts answer: an error, or a fact."""

import json
import re
from collections.abc import Callable

import pytest

from reconciler.apply import Delivered, deliver_keys
from reconciler.apply import guardian as guardians
from reconciler.apply.space import look_for_room
from reconciler.errors import FactError
from reconciler.model import DesiredKey, HostName, KeyOrigin, StorePath, UnitName
from reconciler.observed import generations
from reconciler.observed.probe import parse, script
from reconciler.remote import OnLine, RemoteResult
from tests.support.host import FakeHost
from tests.support.world import observed_unit

LUFTA = HostName("lufta")
SYSTEM = StorePath(f"/nix/store/{'s' * 32}-nixos-system-lufta-24.05")
KEY = "/run/keys/bot"
DIGITS = "9" * 10_000
LONG = "x" * 500_000


def answer() -> str:
    host = FakeHost(
        host=LUFTA,
        running=SYSTEM,
        booted=SYSTEM,
        profile=SYSTEM,
        units={UnitName("a.service"): observed_unit("a.service", "1")},
    )
    return host.read(
        script([UnitName("a.service")], [KEY], deadline=30), what="probe", deadline=30
    )


LINES = [line for line in answer().splitlines() if not line.startswith("==")]


def longest(value: object) -> int:
    """Return the length of the longest text that would be kept."""
    return max(map(len, re.findall(r'"([^"]*)"', json.dumps(value, default=repr))))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda line: re.sub(r"\d+", DIGITS, line), id="digits"),
        pytest.param(lambda line: f"{line}{LONG}", id="words"),
    ],
)
@pytest.mark.parametrize("line", dict.fromkeys(filter(None, LINES)))
def test_a_line_of_the_probe_of_any_length(
    line: str, change: Callable[[str], str]
) -> None:
    text = answer().replace(f"\n{line}\n", f"\n{change(line)}\n", 1)

    try:
        seen = parse(text, host=LUFTA, asked=[UnitName("a.service")], now=1.0)
    except FactError as error:
        assert len(str(error)) < 1000  # noqa: PT017 -- either is well
    else:
        kept = (seen.running, seen.booted, seen.profile, seen.boot_id, seen.machine_id)
        assert (
            longest([*map(str, kept), *map(repr, seen.running_parts.__slots__)]) < 5000
        )
        assert seen.store_free < 1 << 63


class Saying:
    """A host that answers everything with one text."""

    host = LUFTA

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        del script, what, deadline
        return self._text

    def run(
        self,
        argv: object,
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """See HostWriter."""
        del argv, what, deadline, stdin, on_line, check
        return RemoteResult(status=0, stdout=self._text, stderr="", seconds=0.0)


def test_a_guardian_of_any_length() -> None:
    for told in (f"guardian waiting {DIGITS} - - active", f"guardian {LONG}", LONG):
        with pytest.raises(FactError) as caught:
            guardians.read(told, writer=Saying(""))
        assert len(str(caught.value)) < 1000


def test_generations_of_any_number() -> None:
    for line in (f"{DIGITS} 1 {SYSTEM} x", f"1 {DIGITS} {SYSTEM} x"):
        with pytest.raises(FactError):
            generations(Saying(f"{line}\nend\n"))


def test_what_became_of_keys_of_any_number() -> None:
    key = DesiredKey(name="bot", path=KEY, origin=KeyOrigin.TEXT)
    said = f"written {DIGITS}\nfailed 0 {LONG}\ndone\n"
    lines: list[str] = []

    done = deliver_keys(Saying(said), [(key, b"x")], deadline=1, on_line=lines.append)

    assert isinstance(done, Delivered)
    assert len(done.failed["bot"]) < 5000
    assert max(map(len, lines)) < 5000


def test_room_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.apply.space._query", lambda *_: [])
    with pytest.raises(FactError):
        look_for_room(Saying(f"free {DIGITS} 1"), SYSTEM)
