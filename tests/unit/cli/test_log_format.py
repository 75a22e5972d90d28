"""Log lines: for people on a terminal, as JSON for machines."""

import json
import sys

import pytest
import structlog

from reconciler.cli.screen.log_format import HumanLines, LogFormat, configure

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SYSTEM = "/nix/store/abcdefghijklmnopqrstuvwxyz012345-nixos-system-lufta"


def line(**event: object) -> str:
    return HumanLines(colors=False)(None, "info", {"timestamp": "11:02:03", **event})


def test_host_and_event_come_first_and_figures_last() -> None:
    told = line(
        level="info",
        event="attempt ended",
        seconds=4.237,
        host="lufta",
        outcome="succeeded",
        attempt="20260301T110159-1a2b",
    )

    assert told == (
        "11:02:03 lufta: attempt ended  outcome succeeded"
        "  seconds 4.2  attempt 20260301T110159-1a2b"
    )


def test_commits_and_store_paths_are_shortened() -> None:
    told = line(level="info", event="commit", id=COMMIT, error=f"no {SYSTEM}")

    assert told == (
        "11:02:03 commit  id 01234567  error no abcdefgh-nixos-system-lufta"
    )


def test_lists_are_told_as_words() -> None:
    told = line(level="warning", host="lufta", event="host differs", drifts=["a", "b"])

    assert told == "11:02:03 warning: lufta: host differs  drifts a, b"


def test_brackets_are_no_markup() -> None:
    assert "[bold]x[/]" in line(level="info", event="said", error="[bold]x[/]")


def test_a_traceback_stands_below_its_line() -> None:
    told = line(
        level="error", event="a bug", exception="Traceback …\nZeroDivisionError"
    )

    assert told == "11:02:03 error: a bug\nTraceback …\nZeroDivisionError"


def test_long_lines_are_not_broken() -> None:
    error = "word " * 100

    assert "\n" not in line(level="error", event="pass failed", error=error)


def test_a_pipe_gets_one_json_object_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogFormat.AUTO, quiet=False, verbose=False)
    log = structlog.get_logger()

    log.debug("not this")
    log.info("attempt", host="lufta", error=None, drifts=["ünit"])
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("a bug")

    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = map(json.loads, captured.err.splitlines())
    stamp = first.pop("timestamp")
    assert stamp.endswith("Z")
    assert first == {
        "event": "attempt",
        "host": "lufta",
        "drifts": ["ünit"],
        "level": "info",
    }
    assert "ZeroDivisionError" in second["exception"]


def test_a_command_for_one_look_logs_nothing_unless_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogFormat.AUTO, quiet=True, verbose=False)
    structlog.get_logger().error("said by the command itself")
    assert capsys.readouterr().err == ""

    configure(LogFormat.JSON, quiet=False, verbose=True)
    structlog.get_logger().debug("all of it")
    assert "all of it" in capsys.readouterr().err
    assert sys.stderr


def test_people_are_not_shown_the_id_of_a_pass() -> None:
    told = line(level="info", event="rebooted", host="lufta", **{"pass": "1a2b3c4d"})

    assert told == "11:02:03 lufta: rebooted"
