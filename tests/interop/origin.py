"""The HTTP/1.1 origin behind the gateway. See `Origin.do_GET` for what it serves."""

import argparse
import collections
import http.server
import json
import os
import sys
import threading
import urllib.parse

import frames

TEXT = b"all work and no play makes a dull gateway\n" * 4000


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers by path. Unknown paths get 404."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    # Set before the server starts.
    file = b""
    released = collections.defaultdict(threading.Event)

    def do_GET(self):
        """GET and HEAD."""
        url = urllib.parse.urlsplit(self.path)
        path = url.path
        if path == "/echo":
            self.answer_json(self.facts())
        elif path == "/file":
            self.answer_file()
        elif path == "/compressed/text":
            self.answer(200, TEXT, [("Content-Type", "text/plain"), ("ETag", '"text"')])
        elif path == "/trailers":
            self.answer_with_trailers()
        elif path == "/events":
            self.answer_events(url.query)
        elif path == "/release":
            self.released[url.query].set()
            self.answer(200, b"released\n")
        elif path.startswith("/status/"):
            self.answer_status(int(path.rsplit("/", 1)[1]))
        elif path == "/websocket":
            self.serve_websocket()
        else:
            self.answer(404, b"no such path\n")

    do_HEAD = do_GET

    def do_POST(self):
        """Uploads: says what came, and whether it is the file."""
        size, is_same, trailers = self.read_body()
        self.answer_json({**self.facts(), "bytes": size, "same": is_same, "trailers": trailers})

    do_PUT = do_POST

    def handle_expect_100(self):
        """Refuses the body of `/refuse` before any of it has come."""
        if self.path != "/refuse":
            super().handle_expect_100()
            self.wfile.flush()
            return True
        self.close_connection = True
        self.answer(413, b"too large\n", [("Connection", "close")])
        return False

    def facts(self):
        """What the origin sees of the request."""
        return {
            "method": self.command,
            "target": self.path,
            "version": self.request_version,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }

    def answer(self, status, body, headers=()):
        """A whole answer with its length."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def answer_json(self, value):
        """A value as JSON."""
        self.answer(200, json.dumps(value).encode(), [("Content-Type", "application/json")])

    def answer_file(self):
        """The file, or one range of it."""
        headers = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes")]
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, self.file, headers)
            return
        first, last = (int(number) for number in wanted.removeprefix("bytes=").split("-"))
        headers.append(("Content-Range", f"bytes {first}-{last}/{len(self.file)}"))
        self.answer(206, self.file[first : last + 1], headers)

    def answer_status(self, status):
        """An empty answer with that status: no body and, for 204 and 304, no length either."""
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()

    def answer_with_trailers(self):
        """A chunked body and two trailer fields."""
        self.start_chunks([("Content-Type", "text/plain"), ("Trailer", "X-Sum, X-Count")])
        for part in (b"one ", b"two ", b"three\n"):
            self.write_chunk(part)
        self.wfile.write(b"0\r\nX-Sum: 42\r\nX-Count: 3\r\n\r\n")
        self.wfile.flush()

    def answer_events(self, key):
        """Server-sent events: the second is sent once `/release` was asked for with this key."""
        released = self.released[key]
        self.start_chunks([("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")])
        self.write_chunk(b"data: first\n\n")
        released.wait(timeout=30)
        self.write_chunk(b"data: second\n\n")
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def start_chunks(self, headers):
        """The head of a chunked answer."""
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def write_chunk(self, part):
        """One chunk, sent at once."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.flush()

    def read_body(self):
        """Reads the whole body: its size, whether it is the file, and its trailer fields."""
        body, trailers = bytearray(), {}
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while line := self.rfile.readline().strip():
                name, _, value = line.decode().partition(":")
                trailers[name.lower()] = value.strip()
        else:
            body += self.rfile.read(int(self.headers.get("Content-Length", "0")))
        return len(body), bytes(body) == self.file, trailers

    def serve_websocket(self):
        """Echoes messages until the client closes."""
        key = self.headers.get("Sec-WebSocket-Key")
        if self.headers.get("Upgrade", "").lower() != "websocket" or key is None:
            self.answer(400, b"not a WebSocket handshake\n")
            return
        self.close_connection = True
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", frames.accept_key(key))
        self.end_headers()
        self.wfile.flush()

        def send(data):
            self.wfile.write(data)
            self.wfile.flush()

        while True:
            opcode, payload = frames.read_message(self.rfile.read)
            if opcode == frames.PING:
                frames.write_frame(send, frames.PONG, payload, masked=False)
            else:
                frames.write_frame(send, opcode, payload, masked=False)
            if opcode == frames.CLOSE:
                return

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Quiet: the gateway's access log tells the same."""


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection of the gateway."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request, client_address):
        """A connection that the gateway or its client gave up is nothing to talk about."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


def main():
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", required=True, help="what /file serves and uploads must equal")
    parser.add_argument("--address-file", required=True, help="gets the bound address")
    args = parser.parse_args()
    with open(args.file, "rb") as file:
        Origin.file = file.read()
    server = Server(("127.0.0.1", 0), Origin)
    temporary = args.address_file + ".tmp"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"127.0.0.1:{server.server_address[1]}")
    os.rename(temporary, args.address_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
