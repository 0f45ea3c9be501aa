"""Verifies Ed25519 signatures (RFC 8032, section 5.1) in plain Python. It signs nothing and keeps no secret, so it need not run in
constant time. One verification takes some milliseconds."""
import functools
import hashlib

P = 2**255 - 19                                                     # the field
L = 2**252 + 27742317777372353535851937790883648493                # the order of the base point
D = -121665 * pow(121666, -1, P) % P                                # the curve: -x^2 + y^2 = 1 + D x^2 y^2
ZERO = (0, 1, 1, 0)                                                 # points as (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def decode(b):
    """Returns the point that 32 bytes stand for, None where there is none."""
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if x * x % P != xx:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != xx or x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode(p):
    z = pow(p[2], -1, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


B = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))          # the base point: y = 4/5, x even


@functools.lru_cache(maxsize=1024)
def verify(public, message, signature):
    """Says whether 64 bytes are the signature of a message by the key of 32 bytes."""
    a = decode(public)
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    minus = (P - a[0], a[1], 1, P - a[3])
    table = (None, B, minus, add(B, minus))
    r = ZERO                                                        # s B - k A, both at once from the highest bit
    for i in range(252, -1, -1):
        r = add(r, r)
        which = s >> i & 1 | (k >> i & 1) << 1
        if which:
            r = add(r, table[which])
    return encode(r) == signature[:32]
