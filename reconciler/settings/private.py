"""What on this machine is ours alone, by the settings."""

from collections.abc import Iterator
from pathlib import Path

from reconciler.settings.database_url import files_of
from reconciler.settings.schema import Settings


def private_paths(settings: Settings) -> tuple[Path, ...]:
    """Return the folders and files that no program of a commit is to see."""
    return tuple(dict.fromkeys(_paths(settings)))


def _paths(settings: Settings) -> Iterator[Path]:
    yield settings.state.path
    yield from files_of(settings.state.database or "")
    yield from settings.repository.folders_of_secrets.values()
    yield from settings.secrets.identity
    if settings.nix.signing_key is not None:
        yield settings.nix.signing_key
    if settings.ssh.identity is not None:
        yield settings.ssh.identity
    yield from (one.identity for one in settings.hosts.values() if one.identity)
    if settings.metrics.push.secret_file is not None:
        yield settings.metrics.push.secret_file
    if settings.report.url is not None:
        yield settings.report.key
    yield from (token.file for token in settings.api.tokens)
    for route in settings.webhooks.values():
        yield from route.secret_file
    for target in settings.notify.targets:
        if target.url_file is not None:
            yield target.url_file
    yield from (status.token_file for status in settings.statuses)
