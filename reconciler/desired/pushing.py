"""Push what was built to binary caches: by Nix, attic or cachix."""

from reconciler import process
from reconciler.errors import (
    CacheError,
    CommandError,
    CommandMissingError,
    CommandTimeoutError,
    quote,
)
from reconciler.model import StorePath
from reconciler.settings import NixSettings

DEADLINE = 3600.0  # seconds for one system
TOOLS = ("attic", "cachix")


def push(settings: NixSettings, cache: str, system: StorePath) -> None:
    """
    Push *system* and all that it needs to *cache*, as ``cache.push`` names one.

    What is there already is not sent again. Raises CacheError, StoppingError.
    """
    try:
        process.run(argv_of(settings, cache, system), deadline=DEADLINE)
    except (CommandTimeoutError, CommandMissingError) as error:
        raise CacheError(str(error)) from error
    except CommandError as error:
        raise CacheError(_reason(error)) from error


def argv_of(settings: NixSettings, cache: str, system: StorePath) -> list[str]:
    """Return the command that pushes *system*."""
    tool, _, name = cache.partition(":")
    if tool in TOOLS:
        return [tool, "push", name, system]
    options = [
        word
        for key, value in sorted(settings.options.items())
        for word in ("--option", key, value)
    ]
    nix = ["nix", "--extra-experimental-features", "nix-command", "copy", *options]
    return [*nix, "--to", cache, system]


def tool_of(cache: str) -> str:
    """Return the program that pushes to *cache*."""
    tool = cache.partition(":")[0]
    return tool if tool in TOOLS else "nix"


def _reason(error: CommandError) -> str:
    """Return what it said of the cause, which comes before that something broke."""
    said = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    wrong = [line.removeprefix("error: ") for line in said if line.startswith("error:")]
    told = "; ".join(dict.fromkeys(wrong or said[-3:]))
    return quote(told) or f"{error.argv[0]} ended with status {error.status}"
