"""Structured logs on standard error: one event a line, with key-values."""

import enum
import logging
import os
import re
import sys
from collections.abc import Iterable

import structlog
from rich.console import Console
from rich.text import Text

from reconciler.printable import printable

_LEVELS = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
_STORE_PATH = re.compile(r"/nix/store/([0-9a-z]{8})[0-9a-z]{24}-")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ORDER = ("why", "step", "outcome", "verdict", "drifts", "id", "subject")
_LAST = ("seconds", "attempt", "error")
_SHOWN = 8  # characters of a commit


class LogFormat(enum.Enum):
    """How log lines look."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


def configure(log_format: LogFormat, *, quiet: bool, verbose: bool) -> None:
    """
    Set up logging for the process.

    *quiet* is for commands that say themselves what is wrong: a log of the same would
    say it twice.
    """
    human = log_format is LogFormat.HUMAN or (
        log_format is LogFormat.AUTO and sys.stderr.isatty()
    )
    level = logging.DEBUG if verbose else logging.CRITICAL if quiet else logging.INFO
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _drop_empty,
        _make_printable,
    ]
    last: list[structlog.typing.Processor] = (
        [
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            HumanLines(colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR")),
        ]
        if human
        else [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    )
    structlog.configure(
        processors=shared + last,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class HumanLines:
    """
    Events as lines for people: time, host, event, then what belongs to it.

    Store paths and commits are shortened; a traceback follows on lines of its own.
    """

    def __init__(self, *, colors: bool) -> None:
        self._console = Console(
            color_system="standard" if colors else None,
            force_terminal=colors,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )

    def __call__(
        self, _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> str:
        """Return the line."""
        with self._console.capture() as capture:
            self._console.print(_line(dict(event)), end="")
        return capture.get()


def _line(event: dict[str, object]) -> Text:
    event.pop("pass", None)  # tells passes apart for programs that sort the lines
    level, trace = str(event.pop("level", "")), event.pop("exception", None)
    line = Text(str(event.pop("timestamp", "")), "dim")
    if level in _LEVELS:
        line.append(f" {level}:", _LEVELS[level])
    if host := event.pop("host", None):
        line.append(f" {host}:", "bold")
    line.append(f" {event.pop('event', '')}")
    for key in _ordered(event):
        # Keys are dimmed, so that the values can be read across.
        line.append(f"  {key} ", "dim").append(_value(event[key]))
    if trace:
        line.append(f"\n{trace}")
    return line


def _ordered(keys: Iterable[str]) -> list[str]:
    """Return the words of an event first and its figures last, else by name."""

    def place(key: str) -> tuple[int, int, str]:
        if key in _ORDER:
            return 0, _ORDER.index(key), key
        return (2, _LAST.index(key), key) if key in _LAST else (1, 0, key)

    return sorted(keys, key=place)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1 else f"{value:.1f}"
    text = _STORE_PATH.sub(r"\1-", str(value))
    return text[:_SHOWN] if _COMMIT.fullmatch(text) else text


def _drop_empty(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: value for key, value in event.items() if value is not None}


def _make_printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Let no word of a host, a build or a commit reach a terminal as an order."""
    return {
        key: printable(value) if isinstance(value, str) else value
        for key, value in event.items()
    }
