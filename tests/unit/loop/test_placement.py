"""Hosts are divided so that all workers agree, and few hosts move."""

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.loop.placement import placed
from reconciler.model import HostName

names = st.sets(st.text(min_size=1, max_size=3), max_size=8)
workers = st.sets(st.text(min_size=1, max_size=3), min_size=1, max_size=4)


def shares(hosts: set[str], workers: set[str]) -> dict[str, frozenset[HostName]]:
    known = [HostName(host) for host in hosts]
    return {one: placed(known, workers, one) for one in workers}


@given(names, workers)
def test_each_host_has_one_worker(hosts: set[str], workers: set[str]) -> None:
    found = [host for share in shares(hosts, workers).values() for host in share]

    assert sorted(found) == sorted(hosts)


@given(names, workers, st.data())
def test_one_that_goes_moves_no_hosts_but_its_own(
    hosts: set[str], workers: set[str], data: st.DataObject
) -> None:
    assume(len(workers) > 1)
    gone = data.draw(st.sampled_from(sorted(workers)))
    before, after = shares(hosts, workers), shares(hosts, workers - {gone})

    for one, share in after.items():
        assert before[one] <= share <= before[one] | before[gone]


def test_a_thousand_hosts_are_divided_evenly() -> None:
    hosts = {f"host{number}" for number in range(1000)}

    for share in shares(hosts, {"a", "b", "c", "d"}).values():
        assert 200 < len(share) < 300
