"""Services of the mesh's tests: python3 service.py KIND PORT [NAME]; with a 6 after the kind over IPv6, too.

For tls, a file with key and certificate stands before the name."""

import http.server
import json
import os
import signal
import socket
import socketserver
import ssl
import sys
import threading


class Drain:
    """What well-behaved servers do at SIGTERM: serve until callers know, and end after the last answer."""

    NOTICE_SECONDS = 0.5

    asked = threading.Event()
    idle = threading.Condition()
    busy = 0

    @classmethod
    def begin(cls):
        with cls.idle:
            cls.busy += 1
        return cls()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with Drain.idle:
            Drain.busy -= 1
            Drain.idle.notify_all()

    @classmethod
    def end(cls):
        with cls.idle:
            cls.idle.wait_for(lambda: cls.busy == 0, timeout=10)


class Http(http.server.BaseHTTPRequestHandler):
    """Answers with what it got; after an upgrade, with the bytes it gets."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name = "http"

    def do_GET(self):
        with Drain.begin():
            self.answer()

    do_POST = do_GET

    def answer(self):
        if "upgrade" in self.headers:
            self.send_response(101)
            self.send_header("upgrade", self.headers["upgrade"])
            self.send_header("connection", "upgrade")
            self.end_headers()
            while data := self.connection.recv(65536):
                self.connection.sendall(data)
            self.close_connection = True
            return
        length = int(self.headers.get("content-length", 0))
        seen = {
            "name": self.name,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(length).decode(),
        }
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if Drain.asked.is_set():
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Hasty(Http):
    """Keeps connections, and closes each at the very moment at which its second request comes."""

    def handle(self):
        self.close_connection = True
        self.handle_one_request()
        if not self.close_connection:
            self.connection.recv(1)


class Greeter(socketserver.StreamRequestHandler):
    """Speaks first, as servers of SMTP and MySQL do."""

    def handle(self):
        self.wfile.write(b"220 who is it\r\n")
        while line := self.rfile.readline():
            self.wfile.write(b"250 " + line)


class Echo(socketserver.BaseRequestHandler):
    """Says nothing unless it is spoken to."""

    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


class Server6(Server):
    """Takes connections of either family."""

    address_family = socket.AF_INET6


class TlsServer(Server):
    """Terminates TLS with the certificate and key of a file; if there is one of authorities, too,
    clients have to show a certificate of those."""

    pem = ""
    clients = None

    def get_request(self):
        sock, peer = super().get_request()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem)
        if self.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.clients)
        return context.wrap_socket(sock, server_side=True), peer


def main(kind, port, *rest):
    handlers = {"http": Http, "hasty": Hasty, "tls": Http, "mtls": Http}
    handlers |= {"greeter": Greeter, "echo": Echo}
    server, addr = Server, "0.0.0.0"
    if kind.endswith("6"):
        server, addr = Server6, "::"
    if kind == "tls":
        server, TlsServer.pem, *rest = TlsServer, *rest
    if kind == "mtls":
        server, TlsServer.pem, TlsServer.clients, *rest = TlsServer, *rest
    if rest:
        Http.name = rest[0]
    with server((addr, int(port)), handlers[kind.rstrip("6")]) as running:

        def drain(*_):
            Drain.asked.set()
            threading.Timer(Drain.NOTICE_SECONDS, running.shutdown).start()

        signal.signal(signal.SIGTERM, drain)
        print(f"{kind} {socket.gethostname()} {port}", flush=True)
        running.serve_forever(poll_interval=0.01)
    Drain.end()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
