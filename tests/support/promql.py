"""
What a PromQL expression asks for, without a parser of PromQL.

Good enough for the expressions of this project, which Prometheus itself parses in
other tests: strings, durations and lists of labels are taken out, and what is left are
functions, operators and names of metrics.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_LABEL_LISTS = re.compile(
    r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_RANGES = re.compile(r"\[[^\]]*\]|\boffset\s+\S+")
_CALL = re.compile(r"\s*\(")
_WORDS = frozenset(
    ("and", "or", "unless", "bool", "by", "without", "on", "ignoring", "inf", "nan")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """The name of a metric, and what its labels must be."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...] = ()  # label, operator, value

    def takes(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is selected; a label that is not there is empty."""
        return metric == self.metric and all(
            _matches(labels.get(label, ""), operator, value)
            for label, operator, value in self.matchers
        )


def selectors(expr: str) -> Iterator[Selector]:
    """Yield every selector of a metric in *expr*."""
    text = _RANGES.sub(" ", _LABEL_LISTS.sub(" ", expr))
    for found in _SELECTOR.finditer(_without_strings(text)):
        name, braces = found.groups()
        if name.lower() in _WORDS or _is_part_of_number(text, found.start()):
            continue
        if braces is None and _CALL.match(text, found.end(1)):
            continue  # a function
        where = text[found.start(2) : found.end(2)] if braces else ""
        yield Selector(metric=name, matchers=tuple(_MATCHER.findall(where)))


def _without_strings(text: str) -> str:
    """Return *text* with what is in quotes replaced by as many underscores."""
    return re.sub(
        r'"((?:[^"\\]|\\.)*)"', lambda m: f'"{"_" * len(m.group(1))}"', text
    ).replace('"', "'")


def _is_part_of_number(text: str, start: int) -> bool:
    """Whether the name at *start* ends a number such as ``5m``, or is in a string."""
    return start > 0 and (text[start - 1].isalnum() or text[start - 1] == '"')


def _matches(found: str, operator: str, value: str) -> bool:
    if operator in ("=", "!="):
        return (found == value) is (operator == "=")
    return bool(re.fullmatch(value, found)) is (operator == "=~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A quantile of a histogram that is compared with a number of seconds."""

    histogram: str
    limit: float


def quantile_thresholds(expr: str) -> Iterator[Threshold]:
    """Yield what *expr* compares quantiles with, wherever it asks for one."""
    rest = expr
    while (at := rest.find("histogram_quantile(")) >= 0:
        body, rest = _balanced(rest[at + len("histogram_quantile") :])
        names = [one.metric for one in selectors(body)]
        (histogram,) = (n.removesuffix("_bucket") for n in names)
        if found := re.match(r"\s*(?:[<>]=?|==)\s*(?:bool\s+)?([\d.]+)", rest):
            yield Threshold(histogram=histogram, limit=float(found.group(1)))


def _balanced(text: str) -> tuple[str, str]:
    """Split *text*, which begins with a parenthesis, after the one that closes it."""
    depth = 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text[: at + 1], text[at + 1 :]
    msg = f"a parenthesis is not closed: {text}"
    raise AssertionError(msg)
