"""Start the command line: ``reconciler`` or ``python -m reconciler``."""

from reconciler.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
