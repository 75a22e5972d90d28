"""
YAML to plain values, with the line of each.

Stricter than YAML 1.1, in which ``022`` is eighteen, ``22:22`` is 1342 and the last of
two equal keys wins: each of these is a problem, named with its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

VALUES_LIMIT = 100_000
"""Values of one document; aliases can make a few lines into billions."""

DEPTH_LIMIT = 20
"""Levels of one document; the deepest setting is on the third."""

Place = tuple[str | int, ...]
"""Keys and indexes from the top to a value."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_BOOL = {
    "yes": True,
    "true": True,
    "on": True,
    "no": False,
    "false": False,
    "off": False,
}
_TEXT_TAGS = {_TAG + "str", _TAG + "timestamp", _TAG + "value", _TAG + "merge"}
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a document."""

    line: int
    place: Place = ()
    message: str


class DocumentError(Exception):
    """The document cannot be read at all."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


@dataclass(slots=True)
class Document:
    """A document's value, the line of each of its parts, and what is wrong with it."""

    value: object = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _left: int = VALUES_LIMIT

    def line(self, place: Place) -> int:
        """Return the line of what is at *place*, or of the nearest that holds it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def read(self, node: yaml.Node, place: Place = ()) -> object:
        """Return the value of *node*; remember where it and its parts are."""
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self._left -= 1
        if self._left < 0 or len(place) > DEPTH_LIMIT:
            message = "holds too many or too deep values (aliases multiply them)"
            raise DocumentError(Problem(line=line, message=message))
        try:
            if node.tag == _TAG + "map":
                return dict(self._pairs(node, place))
            if node.tag == _TAG + "seq":
                items = enumerate(node.value)
                return [self.read(item, (*place, index)) for index, item in items]
            return _scalar(node)
        except ValueError as error:
            self.problems.append(Problem(line=line, place=place, message=str(error)))
            return UNREADABLE

    def _pairs(self, node: yaml.Node, place: Place) -> Iterator[tuple[str, object]]:
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            # The key as written: a host may be called "no", or "7".
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            here = (*place, name)
            if name in seen:
                message = f"is given twice, first in line {seen[name]}"
                self.problems.append(Problem(line=line, place=here, message=message))
                continue
            seen[name] = self.lines[here] = line
            yield name, self.read(value, here)


class _Unreadable:
    """Stands for a value of which we have already complained."""


UNREADABLE = _Unreadable()


def parse(text: str) -> Document:
    """Return the document in *text*; DocumentError if there is none."""
    try:
        document = Document()
        node = yaml.compose(text, yaml.SafeLoader)
        document.value = None if node is None else document.read(node)
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_syntax_problem(error)) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        message = f"is not YAML: {getattr(error, 'reason', error)}"
        raise DocumentError(Problem(line=line, message=message)) from error
    except RecursionError as error:
        message = "holds too deep values"
        raise DocumentError(Problem(line=1, message=message)) from error
    return document


def _scalar(node: yaml.Node) -> object:
    text = str(node.value)
    kind = node.tag.removeprefix(_TAG)
    if node.tag in _TEXT_TAGS:
        return _text(text)
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOL:
        return _BOOL[text.lower()]
    if kind == "int":
        return _int(text)
    if kind == "float":
        return _float(text)
    message = f"has the tag {node.tag.replace(_TAG, '!!')}, which is not accepted here"
    raise ValueError(message)


def _text(text: str) -> str:
    if _CONTROL.search(text):
        message = "holds control characters, which no setting may"
        raise ValueError(message)
    return text


def _int(text: str) -> int:
    if _INT.fullmatch(text):
        return int(text)
    message = f"{text} is not a plain decimal number; put text in quotes"
    raise ValueError(message)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        message = f"{text} is not a plain decimal number; put text in quotes"
        raise ValueError(message) from error


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = 1 if mark is None else mark.line + 1
    if "'\\t'" in str(error.problem):
        message = "holds a tab where YAML wants spaces"
    else:
        reason = ", ".join(filter(None, (error.context, error.problem)))
        message = f"is not YAML: {reason}"
    return Problem(line=line, message=message)
