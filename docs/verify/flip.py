#!/usr/bin/env python3
"""Changes every byte of a bundle in turn and says how many of these verify.py takes, which must be none. Exits with 1 otherwise."""
import sys

import verify


def main(bundle, policy_file):
    policy, data = verify.Policy(open(policy_file, encoding="utf-8").read()), bytearray(open(bundle, "rb").read())
    if not verify.verify(bytes(data), policy)["intact"]:
        sys.exit("it is not intact as it is")
    taken = []
    for i in range(len(data)):
        data[i] ^= 1 << i % 8
        try:
            taken += [i] if verify.verify(bytes(data), policy)["intact"] else []
        except verify.Unreadable:
            pass
        data[i] ^= 1 << i % 8
    print("%d bytes changed, %d accepted" % (len(data), len(taken)), *taken[:20])
    sys.exit(1 if taken else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
