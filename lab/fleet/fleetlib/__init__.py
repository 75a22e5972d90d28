"""
Real NixOS-like hosts on one machine: what the ``fleet`` command is made of.

Standard library only, because the tool runs before anything is installed.
"""
