"""A gRPC server without generated code: messages are bytes, every kind of call is there."""

import argparse
import collections
import concurrent.futures
import json
import os
import threading

import grpc

SERVICE = "interop.Echo"
CODES = {code.value[0]: code for code in grpc.StatusCode}
MESSAGE_BYTES_MAX = 32 << 20

_cancelled = collections.defaultdict(threading.Event)


def unary(request, context):
    """Echo. Metadata `e-...` comes back before the message, `t-...` after it."""
    metadata = context.invocation_metadata()
    context.send_initial_metadata([(k, v) for k, v in metadata if k.startswith("e-")])
    context.set_trailing_metadata([(k, v) for k, v in metadata if k.startswith("t-")])
    return request


def server_stream(request, _context):
    """`{"count": n, "bytes": m}`: that many messages."""
    wanted = json.loads(request)
    for index in range(wanted["count"]):
        yield b"%d:" % index + bytes(wanted["bytes"])


def client_stream(requests, _context):
    """How many messages, and how long they were together."""
    sizes = [len(request) for request in requests]
    return json.dumps({"count": len(sizes), "bytes": sum(sizes)}).encode()


def bidi(requests, _context):
    """Echo of each message as it comes."""
    yield from requests


def fail(request, context):
    """`{"code": n, "message": text}`: ends so, without a message."""
    wanted = json.loads(request)
    context.set_trailing_metadata([("t-reason", "wanted"), ("t-raw-bin", b"\x00\xff\x80")])
    context.abort(CODES[wanted["code"]], wanted["message"])


def fail_midway(_request, context):
    """Two messages, then an error."""
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "after two messages")


def deadline(_request, context):
    """The seconds that are left, as text."""
    left = context.time_remaining()
    return b"none" if left is None else repr(left).encode()


def hang(request, context):
    """One message, then nothing until the client gives up; `request` is a key."""
    ended = threading.Event()
    context.add_callback(ended.set)
    yield b"started"
    if ended.wait(timeout=30):
        _cancelled[request].set()


def was_cancelled(request, _context):
    """Whether the call `hang` with that key has ended."""
    return b"yes" if _cancelled[request].wait(timeout=10) else b"no"


def handlers():
    """All methods by name."""
    return {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailMidway": grpc.unary_stream_rpc_method_handler(fail_midway),
        "Deadline": grpc.unary_unary_rpc_method_handler(deadline),
        "Hang": grpc.unary_stream_rpc_method_handler(hang),
        "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
    }


def main():
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address-file", required=True, help="gets the bound address")
    args = parser.parse_args()
    # Calls that hang hold their thread.
    executor = concurrent.futures.ThreadPoolExecutor(max_workers=64)
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.server(executor, options=options)
    generic = grpc.method_handlers_generic_handler(SERVICE, handlers())
    server.add_generic_rpc_handlers([generic])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    temporary = args.address_file + ".tmp"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"127.0.0.1:{port}")
    os.rename(temporary, args.address_file)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
