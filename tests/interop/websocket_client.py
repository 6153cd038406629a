"""A WebSocket client on a plain or TLS socket that checks an echo behind the gateway."""

import argparse
import base64
import io
import os
import select
import socket
import ssl
import sys

import checks
import frames

TIMEOUT_SECS = 20


class Connection:
    """One WebSocket; the handshake is done when it is there."""

    def __init__(self, args):
        addr, _, port = args.address.rpartition(":")
        self.socket = socket.create_connection((addr, int(port)), timeout=TIMEOUT_SECS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if args.ca:
            context = ssl.create_default_context(cafile=args.ca)
            context.set_alpn_protocols(["http/1.1"])
            self.socket = context.wrap_socket(self.socket, server_hostname=args.host)
        self.reader = self.socket.makefile("rb")
        self.shake_hands(args.host)

    def shake_hands(self, host):
        """Upgrades the connection (RFC 6455 section 4)."""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        status = self.reader.readline().decode().split()
        headers = {}
        while line := self.reader.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        checks.equal(status[1:2], ["101"], "status")
        checks.equal(headers.get("upgrade", "").lower(), "websocket", "Upgrade")
        checks.equal("upgrade" in headers.get("connection", "").lower(), True, "Connection")
        accept = headers.get("sec-websocket-accept")
        checks.equal(accept, frames.accept_key(key), "Sec-WebSocket-Accept")

    def send(self, opcode, payload):
        """One masked frame."""
        frames.write_frame(self.socket.sendall, opcode, payload, masked=True)

    def receive(self):
        """One message."""
        return frames.read_message(self.read)

    def read(self, length):
        """Exactly that many bytes."""
        data = self.reader.read(length)
        if len(data) != length:
            raise ConnectionError("the connection ended inside a frame")
        return data

    def exchange(self, outgoing, expected_length):
        """Sends and receives at the same time, in one thread: a TLS socket is not safe in two."""
        incoming, outgoing = bytearray(), memoryview(outgoing)
        self.socket.setblocking(False)
        while len(incoming) < expected_length:
            is_idle = True
            try:
                outgoing = outgoing[self.socket.send(outgoing[:65536]) :]
                is_idle = not outgoing
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            try:
                part = self.socket.recv(65536)
                if not part:
                    raise ConnectionError(f"the connection ended after {len(incoming)} bytes")
                incoming += part
                is_idle = False
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            if is_idle:
                writers = [self.socket] if outgoing else []
                if not any(select.select([self.socket], writers, [], TIMEOUT_SECS)):
                    raise TimeoutError(f"nothing moves after {len(incoming)} bytes")
        self.socket.settimeout(TIMEOUT_SECS)
        return bytes(incoming)

    def close(self):
        """The closing handshake, then the end of the connection."""
        code = (1000).to_bytes(2, "big")
        self.send(frames.CLOSE, code)
        checks.equal(self.receive(), (frames.CLOSE, code), "closing frame")
        checks.equal(self.reader.read(1), b"", "after the closing handshake")
        self.socket.close()


def echo(args):
    """Texts and bytes of every length class."""
    connection = Connection(args)
    for size in (0, 5, 125, 126, 65535, 65536, 1_000_000):
        for opcode in (frames.TEXT, frames.BINARY):
            payload = b"x" * size if opcode == frames.TEXT else os.urandom(size)
            connection.send(opcode, payload)
            checks.equal(connection.receive(), (opcode, payload), f"echo of {size} bytes")
    connection.close()


def ping(args):
    """A control frame is answered by the peer."""
    connection = Connection(args)
    connection.send(frames.PING, b"are you there")
    checks.equal(connection.receive(), (frames.PONG, b"are you there"), "answer")
    connection.close()


def fragments(args):
    """One message in three frames."""
    connection = Connection(args)
    parts = [b"one ", b"two ", b"three"]
    frames.write_fragments(connection.socket.sendall, frames.TEXT, parts, masked=True)
    checks.equal(connection.receive(), (frames.TEXT, b"one two three"), "echo")
    connection.close()


def both_directions(args):
    """Many messages on their way at once, more than any buffer between the two holds."""
    connection = Connection(args)
    payloads = [os.urandom(50_000) for _ in range(100)]
    outgoing, expected = io.BytesIO(), io.BytesIO()
    for payload in payloads:
        frames.write_frame(outgoing.write, frames.BINARY, payload, masked=True)
        frames.write_frame(expected.write, frames.BINARY, payload, masked=False)
    found = connection.exchange(outgoing.getvalue(), len(expected.getvalue()))
    reader = io.BytesIO(found)
    for index, payload in enumerate(payloads):
        checks.equal(frames.read_message(reader.read), (frames.BINARY, payload), f"message {index}")
    connection.close()


def many(args):
    """Fifty connections at once."""
    connections = [Connection(args) for _ in range(50)]
    for index, connection in enumerate(connections):
        connection.send(frames.TEXT, str(index).encode())
    for index, connection in enumerate(connections):
        checks.equal(connection.receive(), (frames.TEXT, str(index).encode()), "echo")
    for connection in connections:
        connection.close()


def main():
    """Runs all checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--ca", help="use TLS and trust this authority")
    args = parser.parse_args()
    every = (echo, ping, fragments, both_directions, many)
    sys.exit(checks.run([(c.__name__.replace("_", " "), lambda c=c: c(args)) for c in every]))


if __name__ == "__main__":
    main()
