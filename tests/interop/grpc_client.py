"""A gRPC client without generated code that checks every kind of call through the gateway."""

import argparse
import concurrent.futures
import json
import os
import queue
import sys
import uuid

import grpc

import checks

SERVICE = "/interop.Echo/"
MESSAGE_BYTES_MAX = 32 << 20
# For calls that should end by themselves.
TIMEOUT_SECS = 30


class Client:
    """One channel, and its checks."""

    def __init__(self, args):
        options = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ]
        target = f"ipv4:{args.address}"
        if args.ca:
            with open(args.ca, "rb") as file:
                credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
            options.append(("grpc.ssl_target_name_override", args.host))
            self.channel = grpc.secure_channel(target, credentials, options)
        else:
            options.append(("grpc.default_authority", args.host))
            self.channel = grpc.insecure_channel(target, options)

    def unary(self, method, request=b"", service=SERVICE, **options):
        """One message there, one back: (message, call)."""
        options.setdefault("timeout", TIMEOUT_SECS)
        return self.channel.unary_unary(service + method).with_call(request, **options)

    def stream(self, method, request=b"", **options):
        """One message there, many back."""
        options.setdefault("timeout", TIMEOUT_SECS)
        return self.channel.unary_stream(SERVICE + method)(request, **options)

    def failure(self, method, request=b"", **options):
        """The error of a call that must fail."""
        try:
            self.unary(method, request, **options)
        except grpc.RpcError as error:
            return error
        raise AssertionError(f"{method} did not fail")

    def check_unary(self):
        """Messages come back as they are."""
        for size in (0, 1, 1000, 16384, 65536):
            sent = os.urandom(size)
            reply, call = self.unary("Unary", sent)
            checks.equal(reply, sent, f"{size} bytes")
            checks.equal(call.code(), grpc.StatusCode.OK, "code")

    def check_server_streaming(self):
        """Many messages back."""
        replies = list(self.stream("ServerStream", b'{"count": 500, "bytes": 1000}'))
        checks.equal([len(reply) for reply in replies][::499], [1002, 1004], "sizes")
        checks.equal([int(r.split(b":")[0]) for r in replies], list(range(500)), "order")

    def check_client_streaming(self):
        """Many messages there."""
        call = self.channel.stream_unary(SERVICE + "ClientStream")
        reply = call(iter([bytes(1000)] * 500), timeout=TIMEOUT_SECS)
        checks.equal(json.loads(reply), {"count": 500, "bytes": 500_000}, "what came")

    def check_bidirectional_streaming(self):
        """Each message is answered before the next is sent, so nothing may be held back."""
        outgoing = queue.Queue()
        call = self.channel.stream_stream(SERVICE + "Bidi")
        replies = call(iter(outgoing.get, None), timeout=TIMEOUT_SECS)
        for index in range(50):
            outgoing.put(b"ping %d" % index)
            checks.equal(next(replies), b"ping %d" % index, "echo")
        outgoing.put(None)
        checks.equal(list(replies), [], "after the end")
        checks.equal(replies.code(), grpc.StatusCode.OK, "code")

    def check_metadata(self):
        """Before and after the message, text and binary, repeated names in order."""
        sent = [
            ("e-text", "a, b; c=d"),
            ("e-twice", "first"),
            ("e-twice", "second"),
            ("e-raw-bin", bytes(range(256))),
            ("t-text", "after"),
            ("t-raw-bin", b"\x00\xff"),
        ]
        _, call = self.unary("Unary", b"m", metadata=sent)
        initial = [(k, v) for k, v in call.initial_metadata() if k.startswith("e-")]
        checks.equal(initial, sent[:4], "initial metadata")
        trailing = [(k, v) for k, v in call.trailing_metadata() if k.startswith("t-")]
        checks.equal(trailing, sent[4:], "trailing metadata")

    def check_status_codes(self):
        """Every code with its message, which may hold any character."""
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            message = f"{code.name}: 100 % naïve\n\u4e16\u754c"
            wanted = json.dumps({"code": code.value[0], "message": message}).encode()
            error = self.failure("Fail", wanted)
            checks.equal((error.code(), error.details()), (code, message), "status")
            trailing = [(k, v) for k, v in error.trailing_metadata() if k.startswith("t-")]
            expected = [("t-reason", "wanted"), ("t-raw-bin", b"\x00\xff\x80")]
            checks.equal(sorted(trailing), sorted(expected), "trailers")

    def check_failure_midway(self):
        """The messages before the error arrive, then the error."""
        replies, got = self.stream("FailMidway"), []
        try:
            for reply in replies:
                got.append(reply)
        except grpc.RpcError as error:
            status = (error.code(), error.details())
            expected = (grpc.StatusCode.DATA_LOSS, "after two messages")
            checks.equal((got, status), ([b"one", b"two"], expected), "stream")
            return
        raise AssertionError("the stream ended without an error")

    def check_unknown_method(self):
        """The server's own refusal passes: trailers without a message."""
        error = self.failure("Nothing")
        checks.equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, "code")

    def check_unknown_service(self):
        """What no route takes is refused by the gateway (or by the server) in gRPC's terms."""
        error = self.failure("Unary", service="/unknown.Service/")
        checks.equal(error.code(), grpc.StatusCode.UNIMPLEMENTED, "code")

    def check_server_that_is_down(self):
        """No connection to the server: a code on which clients retry."""
        error = self.failure("Unary", service="/down.Service/")
        checks.equal(error.code(), grpc.StatusCode.UNAVAILABLE, "code")

    def check_deadline_reaches_the_server(self):
        """`grpc-timeout` passes the gateway; the client rounds it up."""
        reply, _ = self.unary("Deadline", timeout=20)
        checks.equal(10 < float(reply) < 21, True, f"{reply} of 20 s left")

    def check_deadline_ends_the_call(self):
        """On both sides."""
        key = uuid.uuid4().bytes
        try:
            list(self.stream("Hang", key, timeout=0.5))
            raise AssertionError("the call ended without an error")
        except grpc.RpcError as error:
            checks.equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED, "code")
        checks.equal(self.unary("WasCancelled", key)[0], b"yes", "ended on the server")

    def check_cancellation(self):
        """A client that gives up is noticed by the server; the channel goes on."""
        key = uuid.uuid4().bytes
        call = self.stream("Hang", key)
        checks.equal(next(call), b"started", "first message")
        call.cancel()
        checks.equal(call.code(), grpc.StatusCode.CANCELLED, "code")
        checks.equal(self.unary("WasCancelled", key)[0], b"yes", "ended on the server")

    def check_large_messages(self):
        """Eight megabytes each way, in one message and in many."""
        sent = os.urandom(8 << 20)
        reply, _ = self.unary("Unary", sent)
        checks.equal(reply == sent, True, "echo of one message is the same")
        call = self.channel.stream_stream(SERVICE + "Bidi")
        parts = [sent[at : at + (1 << 20)] for at in range(0, len(sent), 1 << 20)]
        replies = list(call(iter(parts), timeout=TIMEOUT_SECS))
        checks.equal(replies == parts, True, "echo of many messages is the same")

    def check_compressed_messages(self):
        """gRPC's own compression is not the gateway's business."""
        sent = b"again and again " * 10_000
        reply, _ = self.unary("Unary", sent, compression=grpc.Compression.Gzip)
        checks.equal(reply == sent, True, "echo is the same")

    def check_many_calls_at_once(self):
        """More than one connection may have streams: the rest wait their turn."""
        call = self.channel.unary_unary(SERVICE + "Unary")
        sent = [b"%d" % index + bytes(2000) for index in range(600)]
        futures = [call.future(request, timeout=TIMEOUT_SECS) for request in sent]
        checks.equal([f.result() for f in futures] == sent, True, "all echoes are the same")

    def check_streams_beside_calls(self):
        """Streams that stay open do not hold up other calls."""
        streams = [self.stream("Hang", uuid.uuid4().bytes) for _ in range(20)]
        for stream in streams:
            checks.equal(next(stream), b"started", "first message")
        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            replies = executor.map(lambda i: self.unary("Unary", b"%d" % i)[0], range(100))
            checks.equal(list(replies), [b"%d" % i for i in range(100)], "echoes")
        for stream in streams:
            stream.cancel()


def main():
    """Runs all checks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--ca", help="use TLS and trust this authority")
    client = Client(parser.parse_args())
    prefix = "check_"
    names = [name for name in vars(Client) if name.startswith(prefix)]
    named = [(n.removeprefix(prefix).replace("_", " "), getattr(client, n)) for n in names]
    sys.exit(checks.run(named))


if __name__ == "__main__":
    main()
