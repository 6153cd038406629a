"""WebSocket frames (RFC 6455 section 5) on a blocking socket, for both sides."""

import base64
import hashlib
import os
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUATION = 0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key):
    """The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def write_frame(send, opcode, payload, masked, final=True):
    """Hands one frame to `send`. A client masks, a server does not."""
    head = bytearray([(0x80 if final else 0) | opcode])
    mask_bit = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        head.append(mask_bit | length)
    elif length < 1 << 16:
        head.append(mask_bit | 126)
        head += struct.pack(">H", length)
    else:
        head.append(mask_bit | 127)
        head += struct.pack(">Q", length)
    if masked:
        mask = os.urandom(4)
        head += mask
        payload = _masked(payload, mask)
    send(bytes(head) + payload)


def read_frame(read):
    """One frame by `read(n)`, which gives exactly n bytes: (final, opcode, payload)."""
    first, second = read(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", read(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", read(8))
    mask = read(4) if second & 0x80 else None
    payload = read(length)
    if mask:
        payload = _masked(payload, mask)
    return bool(first & 0x80), first & 0x0F, payload


def read_message(read):
    """One message or control frame: (opcode, payload). Fragments are put together."""
    final, opcode, payload = read_frame(read)
    while not final:
        final, next_opcode, part = read_frame(read)
        if next_opcode != _CONTINUATION:
            raise ValueError(f"opcode {next_opcode} inside a fragmented message")
        payload += part
    return opcode, payload


def write_fragments(send, opcode, parts, masked):
    """One message in several frames."""
    for index, part in enumerate(parts):
        code = opcode if index == 0 else _CONTINUATION
        write_frame(send, code, part, masked, final=index == len(parts) - 1)


def _masked(payload, mask):
    repeated = mask * (len(payload) // 4 + 1)
    word = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return word.to_bytes(len(payload), "big")
