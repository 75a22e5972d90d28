"""
Faults at random moments, for as long as one likes: ``make chaos``.

    make chaos                       200 trials from each of three new seeds
    make chaos SEED=7 TRIALS=1000    as many as one wants, from that seed
    make chaos SEED=7 TRIAL=31       that one again; what is broken is printed so

A trial is one release, good or bad, and one fault that strikes at some moment of its
deployment and ends a while later. What is promised after each is what
``tests/support/faults/checker.py`` checks in ``make test`` too. The counts come last,
and the status is 1 if a promise was broken.
"""
