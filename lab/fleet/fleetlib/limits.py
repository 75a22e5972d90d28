"""A limit of the machine that many hosts meet long before memory or processors."""

import sys
from contextlib import suppress
from pathlib import Path

# inotify(7). The hosts' systemd, dbus and journald run as the machine's root and
# share its allowance: about 8 for each host, and 128 for all by default.
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
WANTED = 4096


def raise_limits() -> None:
    """Allow as many inotify instances as many hosts need; say so if it changes."""
    with suppress(OSError):  # read-only in some containers: few hosts still start
        before = int(INSTANCES.read_text())
        if before < WANTED:
            INSTANCES.write_text(str(WANTED))
            setting = "fs.inotify.max_user_instances"
            print(
                f"fleet: raised {setting} of this machine from {before} to {WANTED}",
                file=sys.stderr,
            )
