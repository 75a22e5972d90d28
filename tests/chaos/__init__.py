"""
Faults at random moments, for as long as one likes: ``make chaos``.

    make chaos                       50 trials from a new seed, which is printed
    make chaos SEED=7 TRIALS=1000    as many as one wants, from that seed

A trial is one release, good or bad, and one fault that strikes at some moment of its
deployment and ends a while later. What is promised after each is what
``tests/support/faults/checker.py`` checks in ``make test`` too. The counts come last,
and the status is 1 if a promise was broken.
"""
