"""
What a host was last found in sync with: what it falls back on.

A host whose new system is in quarantine runs the one before, and that is to be kept
whole: a reboot takes its keys away, and somebody may stop its services.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.desired import from_json, to_json
from reconciler.errors import ReconcilerError, StateError, StoppingError
from reconciler.history import confirmed_key, services_key
from reconciler.loop.world import World
from reconciler.model import CommitId, Desired, HostName
from reconciler.plan import services_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to aim at, and why it is not what the newest commit says if it is not."""

    desired: Desired
    commit: CommitId  # that says so
    checkout: Path  # where the contents of keys come from
    problem: ReconcilerError | None = None


def remember(world: World, wanted: Wanted) -> None:
    """Record that a host is in sync with *wanted*."""
    host, desired = wanted.desired.host, wanted.desired
    fields = {"commit": wanted.commit, "desired": to_json(desired)}
    _keep(world, confirmed_key(host), json.dumps(fields))
    # Apart, since every pass reads it.
    _keep(world, services_key(host), json.dumps(sorted(services_of(desired))))


def _keep(world: World, key: str, text: str) -> None:
    if world.history.evaluation(key) != text:
        world.history.save_evaluation(key, text, now=world.now())


def recall(world: World, host: HostName) -> Wanted | None:
    """
    Return what *host* was last in sync with, its commit checked out.

    None where nothing is known, or the commit cannot be had any more.
    """
    text = world.history.evaluation(confirmed_key(host))
    if text is None:
        return None
    try:
        fields = json.loads(text)
        commit = world.mirror.resolve(fields["commit"])
        checkout = world.mirror.checkout(commit)
        world.overlays.lay(checkout)
        desired = from_json(fields["desired"])
    except StoppingError:
        raise
    except (ReconcilerError, ValueError, KeyError) as error:
        if isinstance(error, StateError):
            return None  # kept by a version that wrote it in another way
        log.warning("cannot keep the former system whole", host=host, error=str(error))
        return None
    return Wanted(desired=desired, commit=commit.id, checkout=checkout)
