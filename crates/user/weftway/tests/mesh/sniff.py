"""Writes every frame that passes a link to a file: python3 sniff.py LINK FILE. Ends by a signal."""

import socket
import sys

ALL_PROTOCOLS = 3


def main(link, path):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    sock.bind((link, 0))
    with open(path, "wb", buffering=0) as out:
        print("listening", flush=True)
        while True:
            out.write(sock.recv(65536))


if __name__ == "__main__":
    main(*sys.argv[1:])
