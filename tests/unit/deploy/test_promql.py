"""The look at PromQL that other tests rely on."""

import pytest

from tests.support.promql import Selector, Threshold, quantile_thresholds, selectors


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("up", ["up"]),
        ("sum by (le, host) (rate(a_total[5m])) / b > bool 0", ["a_total", "b"]),
        ("time() - (a:b:c offset 5m > 0)", ["a:b:c"]),
        ('label_replace(a, "new", "$1", "old", "(.*)")', ["a"]),
        ("a * on (x) group_left (y) b unless on () c", ["a", "b", "c"]),
        ('a{b="c and d{e}"} or vector(0)', ["a"]),
        ("histogram_quantile(0.9, sum(increase(a_bucket[$__range])))", ["a_bucket"]),
        ("1e3 + 0x1f + a", ["a"]),
    ],
)
def test_the_metrics_of_an_expression(expr: str, found: list[str]) -> None:
    assert [one.metric for one in selectors(expr)] == found


def test_the_matchers_of_an_expression() -> None:
    (found,) = selectors('a{b="c", d!~"e|f" , g!=""}')

    expected = (("b", "=", "c"), ("d", "!~", "e|f"), ("g", "!=", ""))
    assert found == Selector(metric="a", matchers=expected)
    assert found.takes("a", {"b": "c", "g": "h"})
    assert not found.takes("a", {"b": "c", "g": "h", "d": "f"})
    assert not found.takes("a", {"b": "c"})
    assert not found.takes("z", {"b": "c", "g": "h"})


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("histogram_quantile(0.9, a_bucket) > 5", [Threshold(histogram="a", limit=5)]),
        ("histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))", []),
        ("1 + histogram_quantile(0.9, a_bucket) >= bool 0.5 or vector(1)", [0.5]),
        (
            "histogram_quantile(1, a_bucket) > 1 or histogram_quantile(1, b) < 2",
            [1, 2],
        ),
    ],
)
def test_thresholds_of_quantiles(expr: str, found: list[object]) -> None:
    told = list(quantile_thresholds(expr))

    assert told == found or [one.limit for one in told] == found
