"""What holds for every test."""

import os

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
