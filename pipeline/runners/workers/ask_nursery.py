"""ask_nursery.py SOCKET: asks the nursery for a worker, and ends when that ends.

Beam starts this program for every worker. It imports nothing that takes time.
"""

import json
import os
import socket
import sys

_DIED = 1


def main(path: str) -> int:
    """Sends the environment; returns the worker's exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps(dict(os.environ)).encode("ascii"))
        connection.shutdown(socket.SHUT_WR)
        code = read_all(connection)
    # Nothing is said if the nursery died, and all workers with it.
    return int(code) if code else _DIED


def read_all(connection: socket.socket) -> bytes:
    """What the other side sends until it has done."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
