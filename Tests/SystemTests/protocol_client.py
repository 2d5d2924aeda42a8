#!/usr/bin/env python3
"""A minimal Claviger client, written from the protocol page alone (Sources/ClavigerWire/Documentation.docc/Protocol.md).

It proves that the page is enough: standard library only, nothing shared with the Swift client. Everyday use:

    protocol_client.py ping
    protocol_client.py wrap KEY [CONTEXT...]   < dek.bin > dek.clv
    protocol_client.py unwrap [CONTEXT...]     < dek.clv > dek.bin
    protocol_client.py exercise KEY            walks through the protocol against a living daemon; one line for each step

The socket is $CLAVIGER_SOCKET, or /run/claviger/claviger.sock. Exit status: 0 done, 1 refused or failed, 2 usage.
"""

import base64
import os
import socket
import struct
import sys
import uuid

VERSION = 1
REQUEST, REPLY, REFUSAL, EVENT = 0, 1, 2, 3
HEADER = struct.Struct(">IBBHII")  # length, version, kind, opcode, request id, detail
MINIMUM_LENGTH, MAXIMUM_LENGTH = 12, 1 << 20
FIRST_IGNORABLE_TAG = 0x8000

PING, HEALTH, STATUS, WHOAMI = 0x0001, 0x0002, 0x0003, 0x0004
WRAP, UNWRAP, REWRAP = 0x0010, 0x0011, 0x0012


class ProtocolError(Exception):
    """The peer broke the protocol; the connection is of no more use."""


class Refused(Exception):
    """The daemon refused; `code` is the number to act on."""

    def __init__(self, code, message, retry_after_ms=None):
        super().__init__(f"refusal {code}: {message}")
        self.code, self.message, self.retry_after_ms = code, message, retry_after_ms


# Values, fields, bodies

def u8(value):
    return struct.pack(">B", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def text(value):
    return value.encode("utf-8")


def identifier(value):
    return uuid.UUID(value).bytes


def context(strings):
    parts = [text(string) for string in strings]
    return u32(len(parts)) + b"".join(u32(len(part)) + part for part in parts)


def items(bodies):
    return u32(len(bodies)) + b"".join(u32(len(body)) + body for body in bodies)


def body(fields):
    """The bytes of `fields`, pairs of tag and value; those whose value is None are left out."""
    present = sorted((tag, value) for tag, value in fields if value is not None)
    return b"".join(struct.pack(">HI", tag, len(value)) + value for tag, value in present)


def read_body(data, known=None):
    """The fields of a body as a dictionary. `known`, where given, are the tags that may occur below 0x8000."""
    fields, at, previous = {}, 0, -1
    while at < len(data):
        if len(data) - at < 6:
            raise ProtocolError("a field is cut off")
        tag, length = struct.unpack_from(">HI", data, at)
        at += 6
        if length > len(data) - at or tag <= previous:
            raise ProtocolError(f"field {tag} is out of bounds or out of order")
        previous = tag
        if known is None or tag in known:
            fields[tag] = data[at:at + length]
        elif tag < FIRST_IGNORABLE_TAG:
            raise ProtocolError(f"field {tag} is unknown")
        at += length
    return fields


def read_items(value):
    if len(value) < 4:
        raise ProtocolError("a list is cut off")
    (count,), at, found = struct.unpack_from(">I", value), 4, []
    for _ in range(count):
        if len(value) - at < 4:
            raise ProtocolError("a list is cut off")
        (length,) = struct.unpack_from(">I", value, at)
        at += 4
        if length > len(value) - at:
            raise ProtocolError("an item is longer than its list")
        found.append(value[at:at + length])
        at += length
    if at != len(value):
        raise ProtocolError("bytes follow a list")
    return found


def read_context(value):
    return [part.decode("utf-8") for part in read_items(value)]


def number(value):
    return int.from_bytes(value, "big")


# Frames

def frame(kind, opcode, request_id, detail, data=b""):
    return HEADER.pack(len(data) + MINIMUM_LENGTH, VERSION, kind, opcode, request_id, detail) + data


def read_header(data):
    length, version, kind, opcode, request_id, detail = HEADER.unpack(data)
    if not MINIMUM_LENGTH <= length <= MAXIMUM_LENGTH:
        raise ProtocolError("the frame length is out of bounds")
    if version != VERSION:
        raise ProtocolError(f"the peer speaks version {version}")
    return length - MINIMUM_LENGTH, kind, opcode, request_id, detail


# The text form of envelopes

def to_text(envelope):
    return "clv1." + base64.urlsafe_b64encode(envelope).rstrip(b"=").decode("ascii")


def from_text(line):
    line = line.removesuffix("\n")
    digits = line[len("clv1."):]
    if not line.startswith("clv1.") or not digits.isascii() or len(digits) % 4 == 1:
        raise ValueError("not an envelope's text form")
    envelope = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    if not envelope or to_text(envelope) != line:
        raise ValueError("not an envelope's text form")
    return envelope


# The client

class Client:
    """One connection. Requests may overlap: `send` some, then `receive` their answers in the order of completion."""

    def __init__(self, path=None):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path or os.environ.get("CLAVIGER_SOCKET") or "/run/claviger/claviger.sock")
        self.next_id = 0
        self.answers = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, opcode, data=b"", deadline_ms=0):
        self.next_id = self.next_id % 0xFFFFFFFF + 1
        self.socket.sendall(frame(REQUEST, opcode, self.next_id, deadline_ms, data))
        return self.next_id

    def read(self, count):
        data = bytearray()
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ProtocolError("the daemon closed the connection")
            data += part
        return bytes(data)

    def receive(self, request_id=None):
        """The answer to `request_id`, or the next one at all, as (request id, opcode, body); raises when it is a refusal."""
        while True:
            if request_id is not None and request_id in self.answers:
                answer = self.answers.pop(request_id)
            else:
                length, kind, opcode, got, detail = read_header(self.read(HEADER.size))
                answer = (kind, opcode, got, detail, self.read(length))
                if kind == EVENT:
                    continue  # none is defined; they are ignored
                if request_id is not None and got != request_id:
                    self.answers[got] = answer
                    continue
            kind, opcode, got, detail, data = answer
            if kind == REFUSAL:
                fields = read_body(data, {1, 2})
                after = number(fields[2]) if 2 in fields else None
                raise Refused(detail, fields[1].decode("utf-8"), after)
            if kind != REPLY:
                raise ProtocolError("neither a reply nor a refusal")
            return got, opcode, data

    def call(self, opcode, data=b"", deadline_ms=0):
        return self.receive(self.send(opcode, data, deadline_ms))[2]

    def cipher(self, opcode, data):
        """The items of the reply to wrap, unwrap or rewrap: dictionaries, or Refused where an item was refused."""
        reply = read_body(self.call(opcode, data), {1})
        results = []
        for item in read_items(reply[1]):
            fields = read_body(item, {1, 2, 3, 4, 5, 6, 7, 8})
            if number(fields[1]) != 0:
                results.append(Refused(number(fields[1]), fields.get(2, b"").decode("utf-8")))
                continue
            results.append({
                "key": str(uuid.UUID(bytes=fields[3])), "version": number(fields[4]), "envelope": fields.get(5),
                "plaintext": fields.get(7), "stale": fields.get(8) == b"\x01",
            })
        return results

    def wrap(self, key, deks, strings=(), generate=None):
        bound = context(strings) if strings else None
        wanted = [body([(1, dek), (3, bound)]) for dek in deks]
        if generate is not None:
            wanted.append(body([(2, u32(generate)), (3, bound)]))
        return self.cipher(WRAP, body([(1, text(key)), (2, items(wanted))]))

    def open(self, opcode, envelopes, strings=(), key=None, refresh=False):
        bound = context(strings) if strings else None
        given = [body([(1, envelope), (2, bound)]) for envelope in envelopes]
        named = text(key) if key is not None else None
        return self.cipher(opcode, body([(1, named), (2, items(given)), (3, u8(1) if refresh else None)]))

    def unwrap(self, envelopes, strings=(), key=None, refresh=False):
        return self.open(UNWRAP, envelopes, strings, key, refresh)

    def rewrap(self, envelopes, strings=(), key=None):
        return self.open(REWRAP, envelopes, strings, key)


def one(results):
    """The one item's result; raises when it was refused."""
    if isinstance(results[0], Refused):
        raise results[0]
    return results[0]


# The walk against a living daemon

def refusal_of(action):
    try:
        action()
    except Refused as refused:
        return refused.code
    return None


def exercise(key):
    failures = 0

    def step(name, done):
        nonlocal failures
        failures += 0 if done else 1
        print(("ok     " if done else "FAILED ") + name, flush=True)

    dek, bound = os.urandom(32), ["tenant=7", "Straße"]
    with Client() as client:
        step("ping", client.call(PING) == b"")
        who = read_body(client.call(WHOAMI), {1, 2, 3, 4, 5, 6})
        step("whoami names this uid", number(who[1]) == os.geteuid())
        ids = [client.send(PING) for _ in range(50)]
        step("50 pings in flight", sorted(client.receive()[0] for _ in ids) == ids)

        wrapped = one(client.wrap(key, [dek], bound))
        envelope = wrapped["envelope"]
        step("wrap", envelope[:4] == b"CLV\x01" and str(uuid.UUID(bytes=envelope[6:22])) == wrapped["key"])
        step("text form", from_text(to_text(envelope) + "\n") == envelope)
        step("unwrap", one(client.unwrap([envelope], bound))["plaintext"] == dek)
        step("unwrap with the key named", one(client.unwrap([envelope], bound, key=key))["plaintext"] == dek)
        again = one(client.rewrap([envelope], bound))
        step("rewrap", again["plaintext"] is None and one(client.unwrap([again["envelope"]], bound))["plaintext"] == dek)
        made = one(client.wrap(key, [], bound, generate=48))
        step("generate", len(made["plaintext"]) == 48
             and one(client.unwrap([made["envelope"]], bound))["plaintext"] == made["plaintext"])
        batch = client.wrap(key, [bytes([n]) for n in range(256)])
        opened = client.unwrap([item["envelope"] for item in batch])
        step("256 items in order", [item["plaintext"] for item in opened] == [bytes([n]) for n in range(256)])

        altered = envelope[:-1] + bytes([envelope[-1] ^ 1])
        mixed = client.unwrap([altered, envelope, envelope[:-1], b""], bound)
        step("altered envelope: decryption-failed (34) in its item", getattr(mixed[0], "code", 0) == 34)
        step("the item beside it is opened", isinstance(mixed[1], dict) and mixed[1]["plaintext"] == dek)
        step("no envelope: malformed (32) in its item", getattr(mixed[3], "code", 0) == 32)
        wrong = client.unwrap([envelope], ["tenant=8"])[0]
        step("wrong context: decryption-failed (34)", getattr(wrong, "code", 0) == 34)
        foreign = client.unwrap([envelope[:6] + uuid.uuid4().bytes + envelope[22:]], bound)[0]
        step("unknown key: denied (33)", getattr(foreign, "code", 0) == 33)

        request = lambda wanted: body([(1, text(key)), (2, items(wanted))])
        step("empty DEK: plaintext-size (14)", refusal_of(lambda: client.wrap(key, [b""])) == 14)
        step("DEK of 4,097 bytes: plaintext-size (14)", refusal_of(lambda: client.wrap(key, [bytes(4097)])) == 14)
        step("257 items: item-count (13)", refusal_of(lambda: client.wrap(key, [b"x"] * 257)) == 13)
        step("no items: item-count (13)", refusal_of(lambda: client.call(WRAP, request([]))) == 13)
        step("missing field (8)", refusal_of(lambda: client.call(WRAP, body([(2, items([]))]))) == 8)
        step("unknown field (7)", refusal_of(lambda: client.call(PING, body([(1, b"")]))) == 7)
        step("ignorable field", client.call(PING, body([(0x8000, b"later")])) == b"")
        twice = body([(1, text(key))])
        step("duplicate field (9)", refusal_of(lambda: client.call(WRAP, twice + twice)) == 9)
        step("malformed body (6)", refusal_of(lambda: client.call(WRAP, b"\x00")) == 6)
        step("text that is not UTF-8 (11)", refusal_of(lambda: client.call(WRAP, body([(1, b"\xff\xff")]))) == 11)
        step("unknown opcode (5)", refusal_of(lambda: client.call(0x7777)) == 5)
        step("the connection lives", client.call(PING) == b"")

    for name, header, code in (
        ("version 2: unsupported-version (2), then the end", HEADER.pack(12, 2, REQUEST, PING, 1, 0), 2),
        ("a reply from a client: invalid-kind (3), then the end", HEADER.pack(12, 1, REPLY, PING, 1, 0), 3),
        ("a length of 11: frame-length (4), then the end", HEADER.pack(11, 1, REQUEST, PING, 1, 0), 4),
    ):
        with Client() as client:
            client.socket.sendall(header)
            refused = refusal_of(client.receive)
            try:
                ended = client.socket.recv(1) == b""
            except ConnectionResetError:
                ended = True
            step(name, refused == code and ended)
    return 0 if failures == 0 else 1


def main(arguments):
    if arguments[:1] == ["ping"] and len(arguments) == 1:
        with Client() as client:
            client.call(PING)
        return 0
    if arguments[:1] == ["wrap"] and len(arguments) >= 2:
        with Client() as client:
            made = one(client.wrap(arguments[1], [sys.stdin.buffer.read()], arguments[2:]))
        print(to_text(made["envelope"]))
        return 0
    if arguments[:1] == ["unwrap"]:
        with Client() as client:
            opened = one(client.unwrap([from_text(sys.stdin.read())], arguments[1:]))
        sys.stdout.buffer.write(opened["plaintext"])
        return 0
    if arguments[:1] == ["exercise"] and len(arguments) == 2:
        return exercise(arguments[1])
    print(__doc__.strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Refused, ProtocolError, ValueError, OSError) as error:
        print(f"protocol_client: {error}", file=sys.stderr)
        sys.exit(1)
