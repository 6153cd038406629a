"""Writes every frame that passes a link of the machine to a file: python3 sniff.py FILE.

A bridge hands frames from port to port: they pass the links of both, and not the bridge's own. Ends by
a signal.
"""

import socket
import sys

ALL_PROTOCOLS = 3


def main(path):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    with open(path, "wb", buffering=0) as out:
        print("listening", flush=True)
        while True:
            out.write(sock.recv(65536))


if __name__ == "__main__":
    main(*sys.argv[1:])
