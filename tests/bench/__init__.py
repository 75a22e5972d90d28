"""
Measurements, side by side with peers; never a timed assertion.

    make bench
    .venv/bin/python -m tests.bench --help
"""
