"""Throw away what no fleet uses: old images and layers, fleets without a folder."""

import shutil
import time
from pathlib import Path

from fleetlib.addresses import orphaned_blocks, registered, release
from fleetlib.host import end_block
from fleetlib.image import image_path
from fleetlib.places import cache_dir
from fleetlib.sources import CODENAMES

KEPT_SECONDS = 7 * 24 * 3600.0
DRAFT_SECONDS = 3600.0  # no build takes longer


def prune(*, everything: bool) -> list[str]:
    """
    End orphaned fleets and delete unused cache entries; return what was done.

    Generations unused for a week go, and images of an older recipe; with *everything*
    all that no running fleet stands on.
    """
    done = [_end_orphans(block) for block in orphaned_blocks()]
    unused = _cached(everything=everything) - _used()
    tools = cache_dir() / "tools"  # what `make setup` unpacked
    for path in sorted(unused | ({tools} if everything and tools.exists() else set())):
        shutil.rmtree(path)
        done.append(f"deleted {path}")
    return done


def _end_orphans(block: str) -> str:
    names = ", ".join(end_block(block)) or "no host ran"
    release(block)
    return f"ended the fleet at 127.{block}.0, whose folder is gone ({names})"


def _used() -> set[Path]:
    return {
        link.resolve()
        for folder in registered().values()
        for part in ("image", "generation")
        for link in folder.hosts.glob(f"*/{part}")
    }


def _cached(*, everything: bool) -> set[Path]:
    """Return the cache entries that may go if nobody uses them."""
    cache = cache_dir().resolve()
    parents = [cache / "images", cache / "generations"]
    folders = {path for parent in parents for path in parent.glob("*/")}
    drafts = {path for path in folders if ".tmp-" in path.name}
    dead = {path for path in drafts if _age(path) > DRAFT_SECONDS}
    images = {path for path in folders - drafts if path.parent.name == "images"}
    generations = folders - drafts - images
    if everything:
        return images | generations | dead
    current = {image_path(debian).resolve() for debian in CODENAMES}
    stale = {path for path in generations if _age(path) > KEPT_SECONDS}
    return (images - current) | stale | dead


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
