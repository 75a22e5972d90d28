"""
In a cage: listen where nobody else is, hand that out, become another program.

    enter.py SOCKET PROGRAM [ARGUMENT…]

Run by itself with nothing but Python's own library.
"""

import os
import socket
import sys

PORT = 1080
"""Where it listens, on the loopback of the cage; see `through`."""


def main(door: str, *argv: str) -> None:
    """Become *argv*, which has a way out by whoever is at the socket *door*."""
    with (
        socket.create_server(("127.0.0.1", PORT)) as listening,
        socket.socket(socket.AF_UNIX) as outside,
    ):
        outside.connect(door)
        socket.send_fds(outside, [b"-"], [listening.fileno()])
    os.execvp(argv[0], argv)  # noqa: S606 -- no shell is what is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
