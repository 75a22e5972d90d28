"""Which hosts an order is about."""

import pytest

from reconciler.errors import UnknownHostError
from reconciler.loop import select
from reconciler.model import HostName

KNOWN = {
    HostName("keanu"): ("home", "web"),
    HostName("lufta"): ("home",),
    HostName("logos"): (),
}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["lufta"], ["lufta"]),
        (["@home"], ["keanu", "lufta"]),
        (["@web", "logos", "keanu"], ["keanu", "logos"]),
        ([], []),
    ],
)
def test_hosts_are_named_one_by_one_or_by_a_tag(
    names: list[str], chosen: list[str]
) -> None:
    assert select(names, KNOWN) == chosen


@pytest.mark.parametrize("name", ["luft", "@hom", "home", "@lufta", "@", ""])
def test_a_name_that_nobody_has_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UnknownHostError) as refused:
        select(["keanu", name], KNOWN)

    assert refused.value.host == name
    assert refused.value.known == ("keanu", "logos", "lufta", "@home", "@web")
