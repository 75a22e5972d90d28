"""
End fleets whose test process has died, by whatever death.

Reads lines from stdin: ``+FOLDER`` for a fleet to watch, ``-FOLDER`` for one that has
ended. Stdin ends when the test process does, also when it was killed; whatever is
left of its fleets then is ended here.
"""

import subprocess
import sys

fleet_tool = sys.argv[1]
folders: set[str] = set()
for line in sys.stdin:
    folder = line.rstrip("\n")[1:]
    if line.startswith("+"):
        folders.add(folder)
    else:
        folders.discard(folder)

for folder in sorted(folders):
    argv = [fleet_tool, "down", "--dir", folder]
    subprocess.run(argv, stderr=subprocess.DEVNULL, check=False, timeout=120)
