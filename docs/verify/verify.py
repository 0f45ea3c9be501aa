#!/usr/bin/env python3
"""Checks proof bundles of Custody without Custody: Python's standard library, ed25519.py beside this file, and FORMAT.md, which says
what is checked. Prints a line of JSON for each bundle; exits with 0 where all are intact, 1 where one was tampered with, 2 where one
is unreadable."""
import argparse
import base64
import bisect
import collections
import hashlib
import json
import struct
import sys
import zlib

import ed25519

FORMAT, MAX_EVENT = "custody/proof/v1", 256 << 10


class Tampered(Exception):
    """Arguments: the class, what is wrong, the tree, the offsets."""


class Unreadable(Exception):
    pass


def want(ok, kind, what, origin="", offsets=()):
    if not ok:
        raise Tampered(kind, what, origin, offsets)


def sha256(b):
    return hashlib.sha256(b).digest()


def unbase64(text, kind, what):
    try:
        b = base64.b64decode(text, validate=True)
    except ValueError:
        b = None
    want(b is not None and base64.b64encode(b).decode() == text, kind, what + ": not base64 in its one form")
    return b


def number(text, kind, what):
    want(text.isascii() and text.isdigit() and str(int(text)) == text, kind, what + ": not a number")
    return int(text)


# Keys and signed notes (c2sp.org/signed-note, tlog-cosignature).

Key = collections.namedtuple("Key", "name type public")


def parse_key(text, types):
    name, digest, encoded = text.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    key = Key(name, raw[0], raw[1:])
    if key.type not in types or len(key.public) != 32 or key_hash(key).hex() != digest:
        raise ValueError("not a key of this kind: " + text)
    return key


def key_hash(key):
    return sha256(key.name.encode() + b"\n" + bytes([key.type]) + key.public)[:4]


def open_note(note, keys, kind, what):
    """Returns text and those keys that signed it. A signature of one of the keys that does not verify is an error."""
    at = note.rfind(b"\n\n")
    want(at >= 0 and note.endswith(b"\n"), kind, what + ": not a signed note")
    text, signed = note[:at + 1], []
    for line in note[at + 2:].decode("utf-8", "replace").split("\n")[:-1]:
        fields = line.split(" ")
        want(len(fields) == 3 and fields[0] == "\u2014", kind, what + ": not a line of a signature")
        raw = unbase64(fields[2], kind, what)
        for key in keys:
            if key.name != fields[1] or key_hash(key) != raw[:4]:
                continue
            sig, message = raw[4:], text
            if key.type == 4:
                want(len(sig) == 72, kind, what + ": not a cosignature")
                message, sig = b"cosignature/v1\ntime %d\n" % int.from_bytes(sig[:8], "big") + text, sig[8:]
            want(ed25519.verify(key.public, message, sig), kind, what + ": the signature of " + key.name + " does not verify")
            signed.append(key)
    return text.decode("utf-8", "replace"), signed


Checkpoint = collections.namedtuple("Checkpoint", "origin size root")


def parse_checkpoint(lines, what):
    want(len(lines) == 3, "signature", what + ": not a checkpoint")
    root = unbase64(lines[2], "signature", what)
    want(len(root) == 32, "signature", what + ": not a root")
    return Checkpoint(lines[0], number(lines[1], "signature", what), root)


class Ring:
    """The keys of a log: one that is trusted and those that rotations lead to; each with the rotation that replaced it."""

    def __init__(self, log, trusted, notes):
        self.log, self.keys = log, {trusted: None}
        rotations = [self.rotation(note) for note in notes]
        for _ in rotations:
            for r in rotations:
                self.follow(*r)

    def rotation(self, note):
        lines = note.decode("utf-8", "replace").split("\n\n")[0].split("\n")
        want(len(lines) >= 4 and lines[0] == "custody/key-rotation/v1" and lines[1][:4] == "old " and lines[2][:4] == "new ", "signature", "rotation: not one")
        try:
            old, new = parse_key(lines[1][4:], (1,)), parse_key(lines[2][4:], (1,))
        except ValueError:
            raise Tampered("signature", "rotation: not two keys", "", ())
        signed = open_note(note, (old, new), "signature", "rotation")[1]
        want(old != new and old.name == new.name and set(signed) == {old, new}, "signature", "rotation: not signed by both keys")
        return old, new, {c.origin: c for c in (parse_checkpoint(line.split(" "), "rotation") for line in lines[4:])}, note

    def follow(self, old, new, heads, note):
        if old.name != self.log or old.public not in self.keys and new.public not in self.keys:
            return
        was = self.keys.get(old.public)
        want(was is None or was[1] == note, "fork", "a key of the log was replaced twice")
        self.keys[old.public] = (heads, note)
        self.keys.setdefault(new.public, None)

    def open(self, note, name, what):
        """Returns the text of a note that one of the keys signed under a name, and the heads beyond which it counts for nothing."""
        text, signed = open_note(note, [Key(name, 1, k) for k in self.keys], "signature", what)
        want(signed, "signature", what + ": the log did not sign it")
        replaced = [self.keys[k.public] for k in signed]
        return text, None if None in replaced else replaced[-1][0]

    def checkpoint(self, note, what):
        origin = note.split(b"\n")[0].decode("utf-8", "replace")
        parts = origin.rsplit("/", 4)
        want(len(parts) == 5 and parts[0] == self.log, "signature", what + ": of another log")
        text, heads = self.open(note, origin, what)
        c = parse_checkpoint(text.split("\n")[:-1], what)
        head = heads.get(origin) if heads is not None else None
        want(heads is None or head and (c.size < head.size or c == head), "signature", what + ": by a key that was replaced before")
        return c


class Policy:
    def __init__(self, text):
        self.logs, self.reports, self.members, self.quorum = {}, [], {}, None
        for line in text.splitlines():
            word, *args = line.split("#")[0].split() or [""]
            if word == "log":
                key = parse_key(args[0], (1,))
                self.logs[key.name] = key.public
            elif word == "report":
                self.reports.append(parse_key(args[0], (1,)))
            elif word == "witness":
                self.members[args[0]] = parse_key(args[1], (4,))
            elif word == "group":
                self.members[args[0]] = ({"any": 1, "all": len(args) - 2}.get(args[1]) or int(args[1]), args[2:])
            elif word == "quorum":
                self.quorum = args[0]
            elif word:
                raise ValueError("policy: unknown word " + word)
        if not self.logs or self.quorum is None and self.members or self.quorum not in (None, "none", *self.members):
            raise ValueError("policy: want a log, and a quorum where there are witnesses")

    def witnesses(self, note, origin):
        signed = open_note(note, [k for k in self.members.values() if isinstance(k, Key)], "witness", "checkpoint")[1]

        def reached(name):
            m = self.members[name]
            return m in signed if isinstance(m, Key) else sum(map(reached, m[1])) >= m[0]
        want(self.quorum in (None, "none") or reached(self.quorum), "witness", "the quorum is not reached", origin)
        return [k.name for k in signed]


# Trees (RFC 6962, section 2.1; RFC 9162, section 2.1.4).

def node(a, b):
    return sha256(b"\1" + a + b)


def root_of(size, indexes, hashes, nodes, kept):
    """Computes the root from listed leaves and the hashes of subtrees without any; all of these are used up."""
    nodes = iter(nodes)

    def climb(lo, hi, i, j):
        if i == j:
            h = next(nodes, b"")
        elif hi - lo == 1:
            h = hashes[i]
        else:
            mid = lo + (1 << (hi - lo - 1).bit_length() - 1)
            k = bisect.bisect_left(indexes, mid, i, j)
            h = node(climb(lo, mid, i, k), climb(mid, hi, k, j))
        if kept is not None:
            kept[lo, hi] = h
        return h
    root = climb(0, size, 0, len(indexes))
    return root if next(nodes, None) is None else None


def tlog_proof(index, size, kept, checkpoint):
    lo, hi, path = 0, size, []
    while hi - lo > 1:
        mid = lo + (1 << (hi - lo - 1).bit_length() - 1)
        path.append(kept[(lo, mid) if index >= mid else (mid, hi)])
        lo, hi = (mid, hi) if index >= mid else (lo, mid)
    lines = [base64.b64encode(h).decode() + "\n" for h in reversed(path)]
    return ("c2sp.org/tlog-proof@v1\nindex %d\n" % index + "".join(lines) + "\n").encode() + checkpoint


def consistent(old, new, proof):
    if old.size == new.size:
        return old.root == new.root and not proof
    proof = ([old.root] if old.size & (old.size - 1) == 0 else []) + proof
    a, b = old.size - 1, new.size - 1
    while a & 1:
        a, b = a >> 1, b >> 1
    first = second = proof[0] if proof else b""
    for h in proof[1:]:
        if b == 0:
            return False
        if a & 1 or a == b:
            first, second = node(h, first), node(h, second)
            while a and not a & 1:
                a, b = a >> 1, b >> 1
        else:
            second = node(second, h)
        a, b = a >> 1, b >> 1
    return b == 0 and first == old.root and second == new.root


# The bundle.

def unzip(data):
    if data[:4] != b"PK\3\4":
        raise Unreadable("not a bundle")
    files, at = [], 0
    while data[at:at + 4] == b"PK\3\4":
        size, length = struct.unpack("<IH", data[at + 22:at + 28].ljust(6, b"\0"))
        at += 30 + length + size
        want(at <= len(data), "truncated", "the file ends early")
        files.append((data[at - size - length:at - size].decode("latin-1"), data[at - size:at]))
    if files[0][0] != "manifest.json":
        raise Unreadable("not a bundle")
    return files


def zipped(files):
    local, central = [], []
    at = 0
    for name, content in files:
        name = name.encode("latin-1")
        common = struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0)
        local += [b"PK\3\4" + common + name, content]
        central.append(b"PK\1\2\x0a\0" + common + bytes(10) + struct.pack("<I", at) + name)
        at += 30 + len(name) + len(content)
    size = sum(map(len, central))
    end = b"PK\5\6" + struct.pack("<IHHIIH", 0, len(files), len(files), size, at, 0)
    return b"".join(local + central + [end])


def lines_of(b, kind, what):
    want(b == b"" or b.endswith(b"\n"), kind, what + ": the last line does not end")
    return b.decode("utf-8", "replace").split("\n")[:-1]


def hash_lines(b, what):
    out = [unbase64(line, "content", what) for line in lines_of(b, "content", what)]
    want(all(len(h) == 32 for h in out), "content", what + ": not hashes")
    return out


def check_events(content, origin, listed):
    """Listed are offset, hash and length of each disclosed record."""
    at = good = 0
    for offset, h, length in listed:
        if length > MAX_EVENT or sha256(b"\0" + content[at:at + length]) != h or content[at + length:at + length + 1] != b"\n":
            break
        at, good = at + length + 1, good + 1
    if good == len(listed) and at == len(content):
        return
    rest, known = listed[good:], {h for _, h, _ in listed}
    lines = [sha256(b"\0" + line) for line in content[at:].split(b"\n")[:-1 if content.endswith(b"\n") else None]]
    left = collections.Counter(h for _, h, _ in rest)
    foreign, twice = [h for h in lines if h not in known], collections.Counter(lines) - left
    wrong = [offset for h, (offset, want_hash, _) in zip(lines, rest) if h != want_hash]
    if len(lines) == len(rest):
        strange = [offset for h, (offset, _, _) in zip(lines, rest) if h not in known]
        kind = "content" if strange or not wrong else "duplicate" if twice else "reordered"
        raise Tampered(kind, "%d events are others than those that were sealed" % len(wrong), origin, wrong)
    kind = "content" if foreign else "duplicate" if twice else "truncated" if not wrong else "dropped"
    raise Tampered(kind, "%d events are here, %d should be" % (good + len(lines), len(listed)), origin, [o for o, _, _ in rest][:1])


def check_leaves(part, base, size, content):
    """Returns offset, hash and length of each listed record; the length of one that is withheld is None."""
    origin, out = part["origin"], []
    for line in lines_of(content, "content", "leaves"):
        fields = line.split(" ")
        want(len(fields) == 3, "content", "leaves: want three words", origin)
        offset, h = number(fields[0], "content", "leaves"), unbase64(fields[1], "content", "leaves")
        want(len(h) == 32 and base <= offset < base + size, "content", "leaves: offset or hash", origin)
        if out and offset <= out[-1][0]:
            raise Tampered("duplicate" if offset == out[-1][0] else "reordered", "leaves: in another order than that of the log", origin, [offset])
        out.append((offset, h, None if fields[2] == "-" else number(fields[2], "content", "leaves")))
    disclosed = sum(length is not None for _, _, length in out)
    r = part.get("range")
    if r:
        for have, due in zip([o for o, _, _ in out], range(r["from"], r["to"] + 1)):
            want(have == due, "dropped", "a record of the range is not listed", origin, [due])
        want(len(out) >= r["to"] - r["from"], "truncated", "the list ends before the range", origin)
        want(len(out) == r["to"] - r["from"], "content", "the list has more than the range", origin)
        want(disclosed >= r["disclosed"], "dropped", "fewer records are disclosed than were signed", origin)
        total = r["disclosed"] + r["other_tenants"] + r["not_matched"] + r["no_event"]
        want(disclosed == r["disclosed"] and total == len(out), "content", "other numbers than were signed", origin)
    want(disclosed == part["events"], "dropped", "other events are listed than were signed", origin)
    return out


def check_tree(i, part, files, ring, policy, known, proofs):
    origin, get = part["origin"], lambda name: files.get("trees/%d/%s" % (i, name))
    for name in ("checkpoint", "leaves", "nodes", "events.ndjson"):
        want(get(name) is not None, "dropped", "a file is missing", origin)
    c = ring.checkpoint(get("checkpoint"), "checkpoint")
    want(c.origin == origin and c.size >= 1 and c.size >= part["size"], "truncated" if c.origin == origin else "content", "another checkpoint", origin)
    want(c.size == part["size"], "content", "another checkpoint", origin)
    witnesses = policy.witnesses(get("checkpoint"), origin)
    old = None
    if part.get("from"):
        want(get("from") is not None and get("consistency") is not None, "dropped", "a file is missing", origin)
        old = ring.checkpoint(get("from"), "earlier checkpoint")
        want(old.origin == origin and old.size == part["from"] <= c.size, "content", "another earlier checkpoint", origin)
        want(consistent(old, c, hash_lines(get("consistency"), "consistency")), "fork", "it does not continue the earlier checkpoint", origin)
    if get("gap") is not None:
        gap = ring.open(get("gap"), ring.log, "gap")[0].split("\n")
        want(len(gap) == 9 and gap[0] == "custody/log-gap/v1" and gap[1] == origin, "content", "the record of its end is another's", origin)
        end = number(gap[2], "content", "gap")
        want(end > c.size or end == c.size and gap[3] == base64.b64encode(c.root).decode(), "content", "the record of its end is another's", origin)
    unjudged = False
    if origin in known:
        k = known[origin]
        want(k.size <= c.size, "truncated", "the log has less than is known", origin)
        for other in (c, old):
            want(not other or k.size != other.size or k.root == other.root, "fork", "the log signed two roots", origin)
        unjudged = k.size not in (c.size, old.size if old else -1)
    base = int(origin.rsplit("/", 1)[1])
    listed, kept = check_leaves(part, base, c.size, get("leaves")), {} if proofs else None
    root = root_of(c.size, [o - base for o, _, _ in listed], [h for _, h, _ in listed], hash_lines(get("nodes"), "nodes"), kept)
    want(root == c.root, "content", "the records lead to another root than the log signed", origin)
    disclosed = [leaf for leaf in listed if leaf[2] is not None]
    for offset, _, _ in disclosed if proofs else ():
        got = get("proofs/%d.tlog-proof" % offset)
        want(got is not None, "dropped", "a proof is missing", origin, [offset])
        want(got == tlog_proof(offset - base, c.size, kept, get("checkpoint")), "content", "a proof is another", origin, [offset])
    check_events(get("events.ndjson"), origin, disclosed)
    return {"origin": origin, "size": c.size, "events": len(disclosed), "witnesses": witnesses, "from": old.size if old else 0, "range": part.get("range")}, unjudged


def check_manifest(files, policy):
    raw, note, names = files[0][1], dict(files).get("manifest.note", b""), [name for name, _ in files]
    want(len(set(names)) == len(names), "duplicate", "a file is there twice")
    try:
        m = json.loads(raw)
        log = m["log"]
        trusted = policy.logs[log]
    except (ValueError, KeyError, TypeError):
        raise Tampered("signature", "the manifest cannot be read, or the policy does not name its log", "", ())
    ring = Ring(log, trusted, [content for name, content in files if name.startswith("rotations/")])
    text = b"custody/proof-manifest/v1\n" + base64.b64encode(sha256(raw)) + b"\n"
    want(note.startswith(text + b"\n") and note.count(b"\n") == 4 and names[1] == "manifest.note", "signature", "manifest: its signature is another's")
    keys = [Key(log, 1, k) for k, replaced in ring.keys.items() if replaced is None]
    want(open_note(note, keys + policy.reports, "signature", "manifest")[1], "signature", "manifest: no key of the policy signed it")
    if m["format"] != FORMAT:
        raise Unreadable("another format: " + m["format"])
    return m, ring


def check_files(files, m):
    """The files are those that were signed, in their order."""
    content, listed = dict(files), [f["name"] for f in m["files"]]
    names = [name for name, _ in files[2:]]
    for name in names:
        want(name in listed, "content", "a file does not belong here: " + name[:100])
    want(names == [name for name in listed if name in content], "reordered", "the files stand in another order")
    for f in m["files"]:
        want(f["name"] in content, "dropped", "a file is missing: " + f["name"])
        b = content[f["name"]]
        want(len(b) == f["size"] and base64.b64encode(sha256(b)).decode() == f["sha256"], "content", "another file than was signed: " + f["name"])


def check(data, policy, known_notes):
    files = unzip(data)
    m, ring = check_manifest(files, policy)
    known = {}
    for note in known_notes:
        try:
            c = ring.checkpoint(note, "latest known checkpoint")
        except Tampered as e:
            if e.args[1].endswith("of another log"):
                continue
            raise Unreadable(e.args[1])
        old = known.get(c.origin)
        want(not old or old.size != c.size or old.root == c.root, "fork", "two known checkpoints have different roots", c.origin)
        if not old or old.size < c.size:
            known[c.origin] = c
    origins = [t["origin"] for t in m["trees"]]
    for a, b in zip(origins, origins[1:]):
        want(a < b, "duplicate", "a tree is there twice", b)
    trees, unjudged = [], []
    content = dict(files)
    try:
        for i, part in enumerate(m["trees"]):
            tree, open_question = check_tree(i, part, content, ring, policy, known, m["tlog_proofs"])
            trees.append(tree)
            if open_question:
                unjudged.append(tree["origin"])
    except Tampered as e:
        if e.args[1] == "a file is missing":
            check_files(files, m)
        raise
    check_files(files, m)
    want(sum(t["events"] for t in trees) == m["events"], "dropped", "other events than were signed")
    if m.get("after") or m.get("before"):
        want(set(known) <= set(origins), "dropped", "a tree that is known is left out")
    same = zipped(files)
    want(data == same, "truncated" if same.startswith(data) else "content", "the zip file is not in its one form")
    if unjudged:
        raise Unreadable("it does not prove that these continue what is known: " + " ".join(unjudged))
    return {"log": m["log"], "query": m["query"], "tenant": m["tenant"], "events": m["events"], "unwitnessed": not all(t["witnesses"] for t in trees), "trees": trees}


def verify(data, policy, known=()):
    """Returns the report on a bundle, as a dictionary; one that is unreadable raises Unreadable."""
    try:
        return {"intact": True, **check(data, policy, known)}
    except Tampered as e:
        kind, what, origin, offsets = (*e.args, "", ())[:4]
        return {"intact": False, "class": kind, "detail": what, "origin": origin, "offsets": list(offsets)}
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise Unreadable("the manifest is none: %r" % e)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("bundle", nargs="+")
    p.add_argument("--policy", required=True)
    p.add_argument("--latest-known", action="append", default=[], help="file with a checkpoint")
    args = p.parse_args()
    try:
        policy = Policy(open(args.policy, encoding="utf-8").read())
        known = [open(name, "rb").read() for name in args.latest_known]
    except (OSError, ValueError, IndexError) as e:
        print("verify:", e, file=sys.stderr)
        return 2
    worst = 0
    for name in args.bundle:
        try:
            report = verify(open(name, "rb").read(), policy, known)
            worst = max(worst, 0 if report["intact"] else 1)
        except (OSError, Unreadable) as e:
            report, worst = {"unreadable": str(e)}, 2
        print(json.dumps({"bundle": name, **report}))
    return worst


if __name__ == "__main__":
    sys.exit(main())
