"""What holds for every test."""

import os
import signal

from hypothesis import HealthCheck, settings

# A busy machine is no failure of the code, and what continuous integration tries must
# not differ from one run of a commit to the next; at a desk other examples are welcome.
settings.register_profile(
    "reconciler",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("reconciler")

# A shell has what it starts in the background ignore Ctrl-C, and that is inherited; the
# programs under test are to be interrupted all the same.
signal.signal(signal.SIGINT, signal.default_int_handler)
