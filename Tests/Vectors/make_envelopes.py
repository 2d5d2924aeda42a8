#!/usr/bin/env python3
"""Computes the golden envelopes with the Python package `cryptography`, apart from all code of the project.

    make_envelopes.py            compares with the files in envelopes/; exit status 1 when any differs
    make_envelopes.py --write    writes them
"""

import base64
import hashlib
import hmac
import json
import os
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.padding import PKCS7

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "envelopes")
KEY = bytes(range(0x20))
MAC_KEY = bytes(range(0x40, 0x60))
KEY_ID = bytes.fromhex("6f1d3c5a9b7e4a028c41d2e3f4a5b6c7")
DEK = bytes(range(0x80, 0xA0))

CASES = [
    # name, label, suite, version, IV, plaintext, context
    ("suite-1", "claviger/wrap/1", 1, 1, bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaab"), DEK, ["tenant=7"]),
    ("suite-1-version-2", "claviger/wrap/1", 1, 2, bytes.fromhex("c0c1c2c3c4c5c6c7c8c9cacb"), DEK, ["tenant=7"]),
    ("suite-1-generated", "claviger/wrap/1", 1, 1, bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadb"), bytes(range(0xE0, 0xF0)), []),
    ("suite-1-no-context", "claviger/wrap/1", 1, 1, bytes.fromhex("b0b1b2b3b4b5b6b7b8b9babb"), b"\x2a", []),
    ("suite-1-empty-string", "claviger/wrap/1", 1, 1, bytes.fromhex("b0b1b2b3b4b5b6b7b8b9babb"), b"\x2a", [""]),
    ("suite-1-long-iv", "claviger/wrap/1", 1, 1, bytes(range(0xA0, 0xB0)), DEK, ["Straße", "🔑", "a\u0308 is not ä"]),
    ("suite-1-known-answer", "claviger/known-answer/1", 1, 1, bytes.fromhex("e0e1e2e3e4e5e6e7e8e9eaeb"), bytes(range(0x60, 0x80)), []),
    ("suite-1-longest", "claviger/wrap/1", 1, 0xFFFFFFFF, bytes(12), bytes(n % 251 for n in range(4096)), []),
    ("suite-2", "claviger/wrap/1", 2, 1, bytes(range(0xA0, 0xB0)), DEK, ["tenant=7"]),
    ("suite-2-one-byte", "claviger/wrap/1", 2, 1, bytes(range(0xB0, 0xC0)), b"\x2a", []),
    ("suite-3", "claviger/wrap/1", 3, 1, b"", DEK, ["tenant=7"]),
    ("suite-3-shortest", "claviger/wrap/1", 3, 1, b"", DEK[:16], []),
]


def context(strings):
    parts = [string.encode("utf-8") for string in strings]
    return struct.pack(">I", len(parts)) + b"".join(struct.pack(">I", len(part)) + part for part in parts)


def envelope(label, suite, version, iv, plaintext, strings):
    header = b"CLV\x01" + bytes([suite, 0]) + KEY_ID + struct.pack(">I", version)
    data = label.encode("ascii") + b"\x00" + header + context(strings)
    if suite == 1:
        sealed = AESGCM(KEY).encrypt(iv, bytes(32) + plaintext, data)
        ciphertext, tag = sealed[:-16], sealed[-16:]
    else:
        if suite == 2:
            padder = PKCS7(128).padder()
            encryptor = Cipher(algorithms.AES(KEY), modes.CBC(iv)).encryptor()
            ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
        else:
            ciphertext = aes_key_wrap(KEY, plaintext)
        tag = hmac.digest(MAC_KEY, struct.pack(">Q", len(data)) + data + bytes([len(iv)]) + iv + ciphertext, hashlib.sha256)
    return data, ciphertext, tag, header + bytes([len(iv)]) + iv + ciphertext + tag


def lines(name, label, suite, version, iv, plaintext, strings):
    data, ciphertext, tag, whole = envelope(label, suite, version, iv, plaintext, strings)
    rows = [
        ("name", name), ("suite", suite), ("label", label), ("key", KEY.hex()), ("mac-key", MAC_KEY.hex() if suite != 1 else ""),
        ("key-id", "-".join((KEY_ID.hex()[:8], KEY_ID.hex()[8:12], KEY_ID.hex()[12:16], KEY_ID.hex()[16:20], KEY_ID.hex()[20:]))),
        ("version", version), ("iv", iv.hex()), ("context", json.dumps(strings, ensure_ascii=False)),
        ("plaintext", plaintext.hex()), ("aad", data.hex()), ("ciphertext", ciphertext.hex()), ("tag", tag.hex()),
        ("envelope", whole.hex()), ("text", "clv1." + base64.urlsafe_b64encode(whole).rstrip(b"=").decode("ascii")),
    ]
    return "".join(f"{key}: {value}".rstrip() + "\n" for key, value in rows)


def main(arguments):
    failures = 0
    for case in CASES:
        path = os.path.join(FOLDER, case[0] + ".txt")
        if arguments == ["--write"]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(lines(*case))
        else:
            with open(path, encoding="utf-8") as file:
                if file.read() != lines(*case):
                    failures += 1
                    print(f"{path}: differs from what is computed")
    print(f"{len(CASES)} envelopes, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
