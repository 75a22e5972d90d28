"""The script that asks for the end of journals, and its answer."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import FactError
from reconciler.model import HostName, UnitName
from reconciler.observed import read_journal
from reconciler.observed.journal import LINE_LIMIT, journal_script, parse_journal

BOT, WEB = UnitName("withinbot.service"), UnitName(r"web@a\x2db.service")


def test_each_unit_has_its_lines() -> None:
    text = (
        "== withinbot.service\n Nov 01 12:00:00 lufta bot[1]: == end\n   on\tand on\n\n"
        f"== {WEB}\n -- No entries --\n\n== end\n"
    )

    assert parse_journal(text, [BOT, WEB, BOT]) == {
        BOT: ("Nov 01 12:00:00 lufta bot[1]: == end", "on and on"),
        WEB: (),
    }


def test_a_long_line_is_cut() -> None:
    text = f"== {BOT}\n {'x' * 9999}\n\n== end\n"

    (line,) = parse_journal(text, [BOT])[BOT]

    assert len(line) == LINE_LIMIT


@pytest.mark.parametrize("text", ["", "== withinbot.service\n a\n", "== end"[:-1]])
def test_an_answer_that_was_cut_off(text: str) -> None:
    with pytest.raises(ValueError, match="cut off"):
        parse_journal(text, [BOT])


def run(script: str, folder: Path) -> str:
    """Run *script* with the programs of *folder* first."""
    changed = script.replace("PATH=/run", f"PATH={folder}:/run", 1)
    done = subprocess.run(
        ["/bin/sh"],
        input=changed,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout


def journalctl(folder: Path, body: str) -> None:
    program = folder / "journalctl"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_every_unit_is_asked_about_by_its_own_name(tmp_path: Path) -> None:
    journalctl(tmp_path, 'printf "%s|" "$@"; echo')
    odd = UnitName("a; touch b.service")

    text = run(journal_script([BOT, WEB, odd], 3, deadline=60), tmp_path)
    found = parse_journal(text, [BOT, WEB, odd])

    for name in (BOT, WEB):
        expected = f"-u|{name}|-n|9|-o|short-precise|--no-pager|-q|-b|"
        assert found[name] == (expected,)
    assert found[odd] == ()


def test_what_a_unit_says_leaves_the_host_cut(tmp_path: Path) -> None:
    journalctl(tmp_path, "yes == end | head -n 99999")

    text = run(journal_script([BOT], 99999, deadline=60), tmp_path)

    assert len(text) < 20_000
    assert set(parse_journal(text, [BOT])[BOT]) <= {"== end", "= end", "end", "nd", "d"}


def test_a_journal_that_hangs_costs_its_time_and_no_more(tmp_path: Path) -> None:
    journalctl(tmp_path, '[ "$2" = withinbot.service ] && sleep 30; echo here')

    text = run(journal_script([BOT, WEB], deadline=1.0), tmp_path)

    assert parse_journal(text, [BOT, WEB]) == {BOT: (), WEB: ("here",)}


def test_no_unit_is_nothing_to_ask() -> None:
    assert parse_journal(run(journal_script([], deadline=1), Path("/")), []) == {}


def test_an_answer_that_is_not_understood_names_the_host() -> None:
    class Odd:
        host = HostName("lufta")

        def read(self, script: str, *, what: str, deadline: float) -> str:
            assert script
            assert (what, deadline) == ("journal", 20.0)
            return "nothing"

    with pytest.raises(FactError, match="lufta: the answer about the journal"):
        read_journal(Odd(), [BOT])


def test_what_we_did_in_a_session_of_sshd_is_not_quoted(tmp_path: Path) -> None:
    ours = "root : USER=root ; COMMAND=/bin/timeout 30 sh -c 'say() { printf'"
    said = [
        "Nov 01 12:00:00 lufta sshd[1]: Bad configuration option: Prot",
        f"Nov 01 12:00:01 lufta sudo[2]: {ours}",
        "Nov 01 12:00:01 lufta sudo[2]: root : (command continued) more of it",
        "Nov 01 12:00:02 lufta sshd[1]: fatal",
        "Nov 01 12:00:03 lufta doas[2]: deploy ran command timeout 3 sh as root from /",
    ]
    (tmp_path / "said").write_text("\n".join(said) + "\n")
    journalctl(tmp_path, f"cat {tmp_path}/said")

    found = parse_journal(run(journal_script([BOT], 2, deadline=60), tmp_path), [BOT])

    assert found[BOT] == (said[0], said[3])
