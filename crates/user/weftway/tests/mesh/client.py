"""Clients of the mesh's tests: python3 client.py KIND HOST PORT [MORE]. Each prints one line of JSON."""

import http.client
import json
import select
import socket
import sys
import time

TIMEOUT = 10


def greeting(host, port):
    """Waits for a server that speaks first; the seconds that it took."""
    start = time.monotonic()
    with socket.create_connection((host, int(port)), TIMEOUT) as sock, sock.makefile("rwb") as stream:
        first = stream.readline().decode().strip()
        took = time.monotonic() - start
        stream.write(b"it is me\r\n")
        stream.flush()
        return {"first": first, "then": stream.readline().decode().strip(), "took": took}


def echo(host, port, count):
    """Sends so many bytes, closes that direction, and counts what comes back."""
    sent = bytes(index * 31 % 251 for index in range(int(count)))
    with socket.create_connection((host, int(port)), TIMEOUT) as sock:
        got = bytearray()
        view = memoryview(sent)
        for begin in range(0, len(sent), 65536):
            part = view[begin : begin + 65536]
            sock.sendall(part)
            while len(got) < begin + len(part):
                got += sock.recv(65536) or sys.exit("the connection ended early")
        sock.shutdown(socket.SHUT_WR)
        return {"same": bytes(got) == sent, "ended": sock.recv(1) == b""}


def stalled(host, port, count):
    """Fills so many connections with what nobody reads; then has something echoed on another one."""
    held = []
    for _ in range(int(count)):
        sock = socket.create_connection((host, int(port)), TIMEOUT)
        held.append(sock)
        sock.setblocking(False)
    # Until none takes any more.
    idle = 0
    while idle < 3:
        _, ready, _ = select.select([], held, [], 0.5)
        idle = 0 if ready else idle + 1
        for sock in ready:
            try:
                sock.send(bytes(262144))
            except BlockingIOError:
                pass
    return echo(host, port, 100000)


def held(host, port, to, seconds):
    """Has lines echoed on one connection for so many seconds, through a proxy that tunnels."""
    with socket.create_connection((host, int(port)), TIMEOUT) as sock, sock.makefile("rwb") as stream:
        stream.write(f"CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n".encode())
        stream.flush()
        status = stream.readline().split()[1]
        while stream.readline().strip():
            pass
        greeting = stream.readline()
        end, count = time.monotonic() + float(seconds), 0
        while time.monotonic() < end:
            stream.write(b"ping\r\n")
            stream.flush()
            if stream.readline() != b"ping\r\n":
                sys.exit(f"the connection ended after {count} lines")
            count += 1
            if count == 1:
                print("echoed", flush=True)
            time.sleep(0.05)
        return {"status": int(status), "greeting": greeting.decode(), "count": count}


def upgrade(host, port):
    """Switches to a protocol of bytes, as WebSocket does, and has something echoed."""
    with socket.create_connection((host, int(port)), TIMEOUT) as sock, sock.makefile("rwb") as stream:
        head = f"GET /chat HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        stream.write(head.encode())
        stream.flush()
        status = stream.readline().decode().split()[1]
        while stream.readline().strip():
            pass
        stream.write(b"\x81\x05hello\n")
        stream.flush()
        return {"status": int(status), "echoed": stream.readline().hex()}


def load(host, port, seconds, new_each_time):
    """Calls without a pause for so many seconds; how many answers of each kind, and from whom."""
    seen, names = {}, {}
    connection = None
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        try:
            connection = connection or http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
            connection.request("GET", "/load")
            response = connection.getresponse()
            body = response.read()
            kind = str(response.status)
            if response.status == 200:
                name = json.loads(body)["name"]
                names[name] = names.get(name, 0) + 1
            else:
                kind += " " + body.decode()
        except (OSError, http.client.HTTPException) as error:
            kind, connection = repr(error), None
        seen[kind] = seen.get(kind, 0) + 1
        if connection and new_each_time == "new":
            connection.close()
            connection = None
    return {"seen": seen, "names": names}


if __name__ == "__main__":
    kinds = {"greeting": greeting, "echo": echo, "held": held, "stalled": stalled, "upgrade": upgrade, "load": load}
    print(json.dumps(kinds[sys.argv[1]](*sys.argv[2:])))
