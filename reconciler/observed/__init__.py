"""What a host is: one script run on it, and pure parsers of its answer."""

from reconciler.observed.probe import probe

__all__ = ["probe"]
