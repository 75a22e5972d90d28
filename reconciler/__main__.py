"""Start the command line: ``reconciler`` or ``python -m reconciler``."""

import gc

# Imports leave no garbage, and looking for it takes an eighth of the time they need;
# see reconciler.cli.lazy.
gc.disable()

from reconciler.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    main()
