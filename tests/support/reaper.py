"""
End fleets and mounts whose test process has died, by whatever death.

Reads lines from stdin: ``+fleet FOLDER`` for a fleet to watch, ``-fleet FOLDER`` for
one that has ended; ``mount`` in place of ``fleet`` is for what is mounted there. Stdin
ends when the test process does, also when it was killed; whatever is left then is ended
here.
"""

import subprocess
import sys

fleet_tool = sys.argv[1]
left: set[tuple[str, str]] = set()
for line in sys.stdin:
    kind, _, folder = line.rstrip("\n")[1:].partition(" ")
    if line.startswith("+"):
        left.add((kind, folder))
    else:
        left.discard((kind, folder))

ENDS = {"fleet": [fleet_tool, "down", "--dir"], "mount": ["umount", "--lazy"]}
for kind, folder in sorted(left):
    argv = [*ENDS[kind], folder]
    subprocess.run(argv, stderr=subprocess.DEVNULL, check=False, timeout=120)
