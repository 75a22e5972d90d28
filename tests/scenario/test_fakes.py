"""The stand-ins have the public methods of what they stand for, and no others lack."""

import inspect

import pytest

from reconciler.desired import Evaluator
from reconciler.remote import HostWriter, Transport
from reconciler.remote.connections import Connections
from reconciler.source import Mirror
from tests.support.host import FakeHost
from tests.support.world import FakeConnections, FakeEvaluator, FakeMirror, Machine


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (Mirror, FakeMirror),
        (Evaluator, FakeEvaluator),
        (Transport, Connections),
        (Transport, FakeConnections),
        (HostWriter, FakeHost),
        (HostWriter, Machine),
    ],
    ids=lambda one: one.__name__,
)
def test_a_fake_has_every_method_with_the_same_signature(
    real: type, fake: type
) -> None:
    expected = {
        name: inspect.signature(method)
        for name, method in inspect.getmembers(real, inspect.isfunction)
        if not name.startswith("_")
    }

    found = {name: inspect.signature(getattr(fake, name)) for name in expected}

    assert expected
    assert found == expected
