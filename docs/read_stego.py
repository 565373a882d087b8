#!/usr/bin/env python3
"""Gets the secret out of a stego image, written from docs/FORMAT.md alone.

    pip install numpy pypng pycryptodome argon2-cffi
    python3 docs/read_stego.py picture.png [PASSPHRASE_FILE] > secret

The passphrase is the first line of the file. This shares no code with stegcluster and is there
to check that the document is enough. It reads version 1 and all methods of version 2, and ends
with 1 where it finds nothing.
"""

import hashlib
import hmac
import struct
import sys
import zlib

import argon2.low_level
import numpy as np
import png
from Crypto.Cipher import ChaCha20, ChaCha20_Poly1305

MAGIC = bytes.fromhex("d353679c")
HEAD = 48
TAG = 16
LANES = 32
# FORMAT.md, "The code".
COLUMNS = [0x81 | (i * 27 + 50) % 64 << 1 for i in range(64)]


class Picture:
    def __init__(self, path):
        width, height, rows, info = png.Reader(filename=path).asDirect()
        planes = info["planes"]
        samples = np.vstack([np.asarray(row, dtype=np.uint16) for row in rows])
        samples = samples.reshape(height, width, planes)
        self.width, self.height = width, height
        self.colours = planes if planes in (1, 3) else planes - 1
        self.sample_bytes = 2 if info["bitdepth"] == 16 else 1
        # Carriers in order: rows, pixels, colours; without alpha.
        self.carriers = samples[:, :, : self.colours].reshape(-1)

    def salt_carriers(self):
        return min(256, self.width * self.height // 8) * self.colours

    def salt(self):
        samples = self.carriers[: self.salt_carriers()]
        samples = samples.astype(">u2" if self.sample_bytes == 2 else "u1").tobytes()
        shape = struct.pack(">IIBB", self.width, self.height, self.colours, self.sample_bytes)
        return hashlib.sha256(b"stegcluster/2/salt" + shape + samples).digest()[:16]


def in_order(carriers, bits, size):
    """`size` bytes from the first carriers, each of which has `bits`, the highest first."""
    count = -(-size * 8 // bits)
    if count > len(carriers):
        return None
    low = carriers[:count, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16) & 1
    return np.packbits(low.reshape(-1).astype(np.uint8))[:size].tobytes()


def inflated(packed, compressed):
    return zlib.decompress(packed, wbits=-15) if compressed else packed


def stretched(passphrase, salt, size):
    return argon2.low_level.hash_secret_raw(
        passphrase, salt, time_cost=2, memory_cost=19456, parallelism=1, hash_len=size,
        type=argon2.low_level.Type.ID, version=0x13,
    )


def opened(key, nonce, associated, text, tag):
    cipher = ChaCha20_Poly1305.new(key=key, nonce=nonce)
    cipher.update(associated)
    try:
        return cipher.decrypt_and_verify(text, tag)
    except ValueError:
        return None


def version_1(picture, passphrase):
    header = in_order(picture.carriers, 1, 16)
    if header is None or header[:4] != MAGIC:
        return None
    version, flags, method, bits, size, checksum = struct.unpack(">BBBBII", header[4:])
    if version != 1:
        sys.exit(f"version {version} is not known")
    if method != 1 or flags > 3 or not 1 <= bits <= 4:
        return None
    body = in_order(picture.carriers[128:], bits, size)
    if body is None or zlib.crc32(header[:12] + body) != checksum:
        return None
    if bool(flags & 2) != (passphrase is not None):
        return None
    if passphrase is not None:
        if size < 56:
            return None
        salt, nonce = body[:16], body[16:40]
        key = stretched(passphrase, salt, 64)[:32]
        body = opened(key, nonce, header[:12] + salt, body[40:-16], body[-16:])
        if body is None:
            return None
    return inflated(body, flags & 1)


class Keys:
    def __init__(self, picture, passphrase):
        if passphrase is None:
            self.master = hashlib.sha256(b"stegcluster/2/open").digest()
        else:
            self.master = stretched(passphrase, picture.salt(), 32)

    def key(self, label, context=b""):
        info = b"stegcluster/2/" + label + context
        return hmac.new(self.master, info + b"\x01", hashlib.sha256).digest()

    def facts(self, head, method):
        """Flags, bits and body size; None where there is no head."""
        nonce = head[:24]
        facts = opened(self.key(b"head", nonce), nonce, b"", head[24:32], head[32:])
        if facts is None:
            return None
        version, flags, found, bits, size = struct.unpack(">BBBBI", facts)
        if version != 2:
            sys.exit(f"version {version} is not known")
        return (flags, bits, size) if found == method and flags <= 1 else None

    def secret(self, head, flags, body):
        nonce = head[:24]
        packed = opened(self.key(b"body", nonce), nonce, head, body[:-TAG], body[-TAG:])
        return None if packed is None else inflated(packed, flags & 1)


def draws(key, count):
    """`count` words of a key's ChaCha20 stream."""
    stream = ChaCha20.new(key=key, nonce=bytes(12)).encrypt(bytes(4 * count))
    return np.frombuffer(stream, dtype="<u4").astype(np.uint64)


def lsb(field, keys):
    head = in_order(field, 1, HEAD)
    facts = head and keys.facts(head, 1)
    if not facts:
        return None
    flags, bits, size = facts
    body = in_order(field[HEAD * 8 :], bits, size)
    return body and keys.secret(head, flags, body)


def parts(key, carriers, count):
    """One carrier of each of `count` parts."""
    begin = np.arange(count + 1, dtype=np.uint64) * np.uint64(carriers) // np.uint64(count)
    draw = draws(key, count) >> np.uint64(1)
    return (begin[:-1] + (draw * (begin[1:] - begin[:-1]) >> np.uint64(31))).astype(np.int64)


def spread(field, keys):
    if len(field) < HEAD * 8:
        return None
    places = parts(keys.key(b"spread head"), len(field), HEAD * 8)
    head = np.packbits((field[places] & 1).astype(np.uint8)).tobytes()
    facts = keys.facts(head, 2)
    if not facts:
        return None
    flags, _, size = facts
    others = np.delete(np.arange(len(field)), places)
    if size * 8 > len(others):
        return None
    body = others[parts(keys.key(b"spread body", head[:24]), len(others), size * 8)]
    body = np.packbits((field[body] & 1).astype(np.uint8)).tobytes()
    return keys.secret(head, flags, body)


def dealt(cells, done, key, count):
    """Shuffles `count` cells to the front of what is left; gives cells and turns."""
    words = draws(key, 2 * count).tolist()
    turns = []
    for step in range(count):
        at = done + step
        chosen = at + (words[2 * step] * (len(cells) - at) >> 32)
        cells[at], cells[chosen] = cells[chosen], cells[at]
        turns.append(words[2 * step + 1] % LANES)
    return np.array(cells[done : done + count]), np.array(turns)


def syndrome(field, cells, turns, widths):
    """Four bytes for each row of the code. Its memory ends after each group of rows."""
    lane = np.arange(LANES)
    low = field[cells[:, None] * LANES + (lane + turns[:, None]) % LANES] & 1
    rows, groups = len(widths), -(-len(widths) // 128)
    ends = {(group + 1) * rows // groups for group in range(groups)}
    state, at, words = np.zeros(LANES, dtype=np.uint8), 0, []
    for row, width in enumerate(widths, 1):
        for column in range(width):
            state ^= (low[at + column] * COLUMNS[column % 64]).astype(np.uint8)
        at += width
        words.append(np.packbits(state & 1).tobytes())
        state = np.zeros(LANES, dtype=np.uint8) if row in ends else state >> 1
    return b"".join(words)


def adaptive(field, keys):
    cells = list(range(len(field) // LANES))
    width = min(max(len(cells) // 96, 2), 32)
    if len(cells) < 12 * width:
        return None
    where = dealt(cells, 0, keys.key(b"adaptive head"), 12 * width)
    head = syndrome(field, *where, [width] * 12)
    facts = keys.facts(head, 3)
    if not facts:
        return None
    flags, _, size = facts
    rows, left = -(-size // 4), len(cells) - 12 * width
    if rows > left // 2:
        return None
    widths = [(row + 1) * left // rows - row * left // rows for row in range(rows)]
    where = dealt(cells, 12 * width, keys.key(b"adaptive body", head[:24]), left)
    return keys.secret(head, flags, syndrome(field, *where, widths)[:size])


def secret_of(path, passphrase):
    picture = Picture(path)
    secret = version_1(picture, passphrase)
    if secret is not None:
        return secret
    keys = Keys(picture, passphrase)
    field = picture.carriers[picture.salt_carriers() :]
    for method in (lsb, spread, adaptive):
        secret = method(field, keys)
        if secret is not None:
            return secret
    return None


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    passphrase = None
    if len(sys.argv) == 3:
        with open(sys.argv[2], "rb") as file:
            passphrase = file.readline().rstrip(b"\r\n")
    secret = secret_of(sys.argv[1], passphrase)
    if secret is None:
        sys.exit("nothing found")
    sys.stdout.buffer.write(secret)


if __name__ == "__main__":
    main()
