#!/usr/bin/env python3
"""Checks the golden vectors with the Python client, which shares nothing with the Swift code: each frame must be what its
readable fields encode to, and decode to them again.

    vectors.py            checks; exit status 1 when any differs
    vectors.py --write    writes the frame of every vector from its fields (after a new vector's fields were written by hand)
"""

import json
import os
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "SystemTests"))

import protocol_client as client  # noqa: E402

KINDS = {"request": client.REQUEST, "reply": client.REPLY, "refusal": client.REFUSAL, "event": client.EVENT}


def encode_value(kind, rest):
    if kind in ("u8", "u32", "u64"):
        return {"u8": client.u8, "u32": client.u32, "u64": client.u64}[kind](int(rest))
    if kind == "id":
        return client.identifier(rest)
    if kind == "text":
        return client.text(json.loads(rest))
    if kind == "bytes":
        return bytes.fromhex(rest)
    if kind in ("context", "texts"):
        return client.context(json.loads(rest))
    raise ValueError(f"no such kind: {kind}")


def decode_value(kind, value):
    if kind in ("u8", "u32", "u64"):
        if len(value) != {"u8": 1, "u32": 4, "u64": 8}[kind]:
            raise ValueError(f"a {kind} of {len(value)} bytes")
        return str(client.number(value))
    if kind == "id":
        return str(uuid.UUID(bytes=value))
    if kind == "text":
        return json.dumps(value.decode("utf-8"), ensure_ascii=False)
    if kind == "bytes":
        return value.hex()
    if kind in ("context", "texts"):
        return json.dumps(client.read_context(value), ensure_ascii=False)
    raise ValueError(f"no such kind: {kind}")


def encode_fields(lines, depth=0):
    """Consumes the lines of one body; a list's items stand below it, indented by two, their fields by four."""
    fields, indent = [], "    " * depth
    while lines and lines[0].startswith(indent) and not lines[0][len(indent):].startswith(" "):
        tag, _, kind, *rest = lines.pop(0)[len(indent):].split(" ", 3)
        if kind == "list":
            bodies = []
            while lines and lines[0] == indent + "  item":
                lines.pop(0)
                bodies.append(encode_fields(lines, depth + 1))
            fields.append((int(tag), client.items(bodies)))
        else:
            fields.append((int(tag), encode_value(kind, rest[0] if rest else "")))
    return client.body(fields)


def check_fields(data, lines, depth=0):
    """Decodes `data` and compares it with the lines."""
    fields, indent = client.read_body(data), "    " * depth
    for tag, value in fields.items():
        shown_tag, _, kind, *rest = lines.pop(0)[len(indent):].split(" ", 3)
        if int(shown_tag) != tag:
            raise ValueError(f"field {tag} is shown as {shown_tag}")
        if kind == "list":
            for item in client.read_items(value):
                if lines.pop(0) != indent + "  item":
                    raise ValueError("an item is not shown")
                check_fields(item, lines, depth + 1)
        elif decode_value(kind, value) != (rest[0] if rest else ""):
            raise ValueError(f"field {tag} reads {decode_value(kind, value)}")


def read(path):
    """The three parts of a vector: its headers, the lines of its fields, its frame."""
    with open(path, encoding="utf-8") as file:
        upper, _, lower = file.read().partition("\nfields:\n")
    headers = dict(line.split(": ", 1) for line in upper.splitlines())
    shown, _, digits = lower.partition("\nframe:\n")
    return headers, [line for line in shown.splitlines() if line], bytes.fromhex(digits)


def encode(headers, lines):
    rest = list(lines)
    data = encode_fields(rest)
    if rest:
        raise ValueError(f"not understood: {rest[0]}")
    opcode = int(headers["opcode"].split(" ")[0], 16)
    return client.frame(KINDS[headers["kind"]], opcode, int(headers["request-id"]), int(headers["detail"]), data)


def write(path, frame):
    with open(path, encoding="utf-8") as file:
        upper = file.read().partition("\nframe:\n")[0]
    digits = frame.hex()
    rows = [digits[at:at + 64] for at in range(0, len(digits), 64)]
    with open(path, "w", encoding="utf-8") as file:
        file.write(upper.rstrip("\n") + "\n\nframe:\n" + "\n".join(rows) + "\n")


def main(arguments):
    failures = count = 0
    for folder in ("messages", "refusals", "events"):
        for name in sorted(os.listdir(os.path.join(HERE, folder))):
            path = os.path.join(HERE, folder, name)
            headers, lines, frame = read(path)
            count += 1
            try:
                if arguments == ["--write"]:
                    write(path, encode(headers, lines))
                    continue
                if encode(headers, lines) != frame:
                    raise ValueError("the fields do not encode to the frame")
                header = client.read_header(frame[:16])
                if header[0] != len(frame) - 16:
                    raise ValueError("the length field is wrong")
                rest = list(lines)
                check_fields(frame[16:], rest)
                if rest:
                    raise ValueError(f"shown and not there: {rest[0]}")
            except (ValueError, KeyError, IndexError, client.ProtocolError) as error:
                failures += 1
                print(f"{folder}/{name}: {error}")
    print(f"{count} vectors, {failures} failures")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
