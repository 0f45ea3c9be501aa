#!/usr/bin/env python3
"""Checks proof bundles of Custody without Custody, by FORMAT.md: Python's standard library and ed25519.py beside this file. Prints a
line of JSON for each bundle. Exits with 0 where all are intact, 1 where one was tampered with, 2 where one cannot be judged."""
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

MAX_EVENT = 256 << 10
Key = collections.namedtuple("Key", "name type public")
Checkpoint = collections.namedtuple("Checkpoint", "origin size root")


class Tampered(Exception):
    """Arguments: the class, what is wrong, the tree, the offsets."""


class Unreadable(Exception):
    pass


def want(ok, kind, what, origin="", offsets=()):
    if not ok:
        raise Tampered(kind, what, origin, list(offsets))


def sha256(b):
    return hashlib.sha256(b).digest()


def text64(b):
    return base64.b64encode(b).decode()


def from64(text, kind="content", what="base64"):
    try:
        b = base64.b64decode(text, validate=True)
    except ValueError:
        b = None
    want(b is not None and text64(b) == text, kind, what + ": not base64 in its one form")
    return b


def number(text, kind="content"):
    want(text.isascii() and text.isdigit() and str(int(text)) == text, kind, "not a number: " + text[:30])
    return int(text)


def lines_of(b):
    want(b == b"" or b.endswith(b"\n"), "content", "the last line does not end")
    return b.decode("utf-8", "replace").split("\n")[:-1]


def hashes_of(b):
    out = [from64(line) for line in lines_of(b)]
    want(all(len(h) == 32 for h in out), "content", "not hashes")
    return out


# Keys and notes: c2sp.org/signed-note, tlog-cosignature (type 4), tlog-checkpoint.

def parse_key(text, kind):
    name, digest, encoded = text.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    key = Key(name, raw[0], raw[1:])
    if key.type != kind or len(key.public) != 32 or key_hash(key).hex() != digest:
        raise ValueError("not a key of this kind: " + text)
    return key


def key_hash(key):
    return sha256(key.name.encode() + b"\n" + bytes([key.type]) + key.public)[:4]


def open_note(note, keys, what, kind="signature"):
    """Returns the text and those keys that signed it; a signature of one of them that does not verify is an error."""
    body, mark, lines = note.rpartition(b"\n\n")
    want(mark and lines.endswith(b"\n"), kind, what + ": not a signed note")
    text, signed = body + b"\n", []
    for line in lines.decode("utf-8", "replace").split("\n")[:-1]:
        fields = line.split(" ")
        want(len(fields) == 3 and fields[0] == "\u2014", kind, what + ": not a signature")
        raw = from64(fields[2], kind, what)
        for key in keys:
            if key.name == fields[1] and key_hash(key) == raw[:4]:
                message, sig = text, raw[4:]
                if key.type == 4:
                    message, sig = b"cosignature/v1\ntime %d\n" % int.from_bytes(sig[:8], "big") + text, sig[8:]
                want(ed25519.verify(key.public, message, sig), kind, what + ": the signature of " + key.name + " does not verify")
                signed.append(key)
    return text.decode("utf-8", "replace"), signed


def parse_checkpoint(lines):
    want(len(lines) == 3, "signature", "not a checkpoint")
    c = Checkpoint(lines[0], number(lines[1], "signature"), from64(lines[2], "signature"))
    want(len(c.root) == 32, "signature", "not a checkpoint")
    return c


class Ring:
    """The keys of a log: one that is trusted and those that rotations lead to, each with the rotation that replaced it."""

    def __init__(self, log, trusted, notes):
        self.log, self.keys = log, {trusted: None}
        rotations = [self.rotation(note) for note in notes]
        for old, new, heads, note in rotations * len(rotations):  # in any order
            if old.name == log and (old.public in self.keys or new.public in self.keys):
                was = self.keys.get(old.public)
                want(was is None or was[1] == note, "fork", "a key of the log was replaced twice")
                self.keys[old.public] = heads, note
                self.keys.setdefault(new.public, None)

    @staticmethod
    def rotation(note):
        lines = note.decode("utf-8", "replace").split("\n\n")[0].split("\n")
        try:
            old, new = (parse_key(line.removeprefix(word), 1) for line, word in zip(lines[1:3], ("old ", "new ")))
        except ValueError:
            raise Tampered("signature", "not a rotation", "", []) from None
        signed = open_note(note, (old, new), "rotation")[1]
        want(lines[0] == "custody/key-rotation/v1" and old != new and set(signed) == {old, new}, "signature", "not a rotation by both keys")
        return old, new, {c.origin: c for c in (parse_checkpoint(line.split(" ")) for line in lines[4:])}, note

    def open(self, note, name, what):
        """Returns the text of a note that a key of the log signed under a name, and what is the last that counts of it, if it was replaced."""
        text, signed = open_note(note, [Key(name, 1, k) for k in self.keys], what)
        want(signed, "signature", what + ": the log did not sign it")
        replaced = [self.keys[k.public] for k in signed]
        return text, None if None in replaced else replaced[-1][0]

    def checkpoint(self, note):
        origin = note.split(b"\n")[0].decode("utf-8", "replace")
        want(origin.rsplit("/", 4)[0] == self.log, "signature", "a checkpoint of another log")
        text, heads = self.open(note, origin, "checkpoint")
        c = parse_checkpoint(text.split("\n")[:-1])
        head = heads and heads.get(origin)
        want(heads is None or head and (c.size < head.size or c == head), "signature", "a checkpoint by a key that was replaced before")
        return c


class Policy:
    """The lines of c2sp.org/tlog-policy, and "report KEY"."""

    def __init__(self, text):
        self.logs, self.reports, self.members, self.quorum = {}, [], {}, None
        for line in text.splitlines():
            word, *args = line.split("#")[0].split() or [""]
            if word == "log":
                self.logs[parse_key(args[0], 1).name] = parse_key(args[0], 1).public
            elif word == "report":
                self.reports.append(parse_key(args[0], 1))
            elif word == "witness":
                self.members[args[0]] = parse_key(args[1], 4)
            elif word == "group":
                self.members[args[0]] = {"any": 1, "all": len(args) - 2}.get(args[1]) or int(args[1]), args[2:]
            elif word == "quorum":
                self.quorum = args[0]
            elif word:
                raise ValueError("policy: unknown word " + word)
        if not self.logs or self.quorum is None and self.members or self.quorum not in (None, "none", *self.members):
            raise ValueError("policy: want a log, and a quorum where there are witnesses")

    def witnesses(self, note, origin):
        signed = open_note(note, [k for k in self.members.values() if isinstance(k, Key)], "checkpoint", "witness")[1]

        def reached(name):
            m = self.members[name]
            return m in signed if isinstance(m, Key) else sum(map(reached, m[1])) >= m[0]
        want(self.quorum in (None, "none") or reached(self.quorum), "witness", "the quorum is not reached", origin)
        return [k.name for k in signed]


# Trees: RFC 6962, section 2.1; RFC 9162, section 2.1.4.2.

def node(a, b):
    return sha256(b"\1" + a + b)


def half(lo, hi):
    return lo + (1 << (hi - lo - 1).bit_length() - 1)


def root_of(size, indexes, hashes, nodes, kept):
    """Computes the root from listed leaves and the hashes of subtrees without any, all of which are used; keeps what it computes."""
    nodes = iter(nodes)

    def climb(lo, hi, i, j):
        if i == j:
            h = next(nodes, b"")
        elif hi - lo == 1:
            h = hashes[i]
        else:
            mid = half(lo, hi)
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
        mid = half(lo, hi)
        path.append(kept[(lo, mid) if index >= mid else (mid, hi)])
        lo, hi = (mid, hi) if index >= mid else (lo, mid)
    return ("c2sp.org/tlog-proof@v1\nindex %d\n" % index + "".join(text64(h) + "\n" for h in reversed(path)) + "\n").encode() + checkpoint


def consistent(old, new, proof):
    if old.size == new.size:
        return old.root == new.root and not proof
    proof = [old.root] * (old.size & (old.size - 1) == 0) + proof
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
    files, at = [], 0
    while data[at:at + 4] == b"PK\3\4":
        size, length = struct.unpack("<IH", data[at + 22:at + 28].ljust(6, b"\0"))
        at += 30 + length + size
        want(at <= len(data), "truncated", "the file ends early")
        files.append((data[at - size - length:at - size].decode("latin-1"), data[at - size:at]))
    if not files or files[0][0] != "manifest.json":
        raise Unreadable("not a bundle")
    return files


def zipped(files):
    local, central, at = [], [], 0
    for name, content in files:
        name = name.encode("latin-1")
        common = struct.pack("<HHHHHIIIHH", 10, 0, 0, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name), 0)
        local += [b"PK\3\4" + common + name, content]
        central.append(b"PK\1\2\x0a\0" + common + bytes(10) + struct.pack("<I", at) + name)
        at += 30 + len(name) + len(content)
    end = struct.pack("<IHHIIH", 0, len(files), len(files), sum(map(len, central)), at, 0)
    return b"".join(local + central + [b"PK\5\6" + end])


def check_events(content, origin, listed):
    """Listed are offset, hash and length of each disclosed record."""
    at = good = 0
    for _, h, length in listed:
        if length > MAX_EVENT or sha256(b"\0" + content[at:at + length]) != h or content[at + length:at + length + 1] != b"\n":
            break
        at, good = at + length + 1, good + 1
    if good == len(listed) and at == len(content):
        return
    rest, known = listed[good:], {h for _, h, _ in listed}
    lines = [sha256(b"\0" + line) for line in content[at:].split(b"\n")[:-1 if content.endswith(b"\n") else None]]
    wrong = [offset for h, (offset, due, _) in zip(lines, rest) if h != due]
    if not set(lines) <= known or len(lines) == len(rest) and not wrong:
        kind = "content"
    elif collections.Counter(lines) - collections.Counter(h for _, h, _ in rest):
        kind = "duplicate"
    else:
        kind = "reordered" if len(lines) == len(rest) else "dropped" if wrong else "truncated"
    raise Tampered(kind, "%d events are here, %d should be" % (good + len(lines), len(listed)), origin, wrong if len(lines) == len(rest) else [])


def check_leaves(part, base, size, content):
    """Returns offset, hash and length of each listed record, None for the length of one that is withheld."""
    origin, r, out = part["origin"], part.get("range"), []
    for line in lines_of(content):
        offset, h, length, *more = line.split(" ") + ["", ""]
        offset, h = number(offset), from64(h)
        want(more == ["", ""] and len(h) == 32 and base <= offset < base + size, "content", "the list of records", origin)
        if out and offset <= out[-1][0]:
            raise Tampered("duplicate" if offset == out[-1][0] else "reordered", "the list of records", origin, [offset])
        out.append((offset, h, None if length == "-" else number(length)))
    disclosed = sum(length is not None for _, _, length in out)
    if r:
        for (offset, _, _), due in zip(out, range(r["from"], r["to"])):
            want(offset == due, "dropped", "a record of the range is not listed", origin, [due])
        want(len(out) >= r["to"] - r["from"], "truncated", "the list ends before the range", origin)
        want(disclosed >= r["disclosed"], "dropped", "fewer records are disclosed than were signed", origin)
        total = r["disclosed"] + r["other_tenants"] + r["not_matched"] + r["no_event"]
        want(disclosed == r["disclosed"] and r["to"] - r["from"] == total == len(out), "content", "other numbers than were signed", origin)
    want(disclosed == part["events"], "dropped", "other events are listed than were signed", origin)
    return out


def check_tree(part, get, ring, policy, known, proofs):
    """get returns a file of the tree. Returns what was verified, and whether what is known of it is covered by that."""
    origin, note = part["origin"], get("checkpoint")
    base, c, old = int(origin.rsplit("/", 1)[1]), ring.checkpoint(note), None
    want(c.origin == origin, "content", "the checkpoint of another tree", origin)
    want(c.size >= part["size"], "truncated", "a smaller checkpoint", origin)
    want(c.size == part["size"] >= 1, "content", "another checkpoint", origin)
    witnesses = policy.witnesses(note, origin)
    if part.get("from"):
        old = ring.checkpoint(get("from"))
        want(old.origin == origin and old.size == part["from"] <= c.size, "content", "another earlier checkpoint", origin)
        want(consistent(old, c, hashes_of(get("consistency"))), "fork", "it does not continue the earlier checkpoint", origin)
    if get("gap", b""):
        title, of, size, root, *_ = ring.open(get("gap"), ring.log, "gap")[0].split("\n") + [""] * 4
        ends = number(size) > c.size or (number(size), root) == (c.size, text64(c.root))
        want(title == "custody/log-gap/v1" and of == origin and ends, "content", "the end of another tree", origin)
    k = known.get(origin)
    want(not k or k.size <= c.size, "truncated", "the log has less than is known", origin)
    for other in (c, old):
        want(not k or not other or k.size != other.size or k.root == other.root, "fork", "the log signed two roots", origin)
    listed, kept = check_leaves(part, base, c.size, get("leaves")), {} if proofs else None
    root = root_of(c.size, [o - base for o, _, _ in listed], [h for _, h, _ in listed], hashes_of(get("nodes")), kept)
    want(root == c.root, "content", "the records lead to another root than the log signed", origin)
    disclosed = [leaf for leaf in listed if leaf[2] is not None]
    for offset, _, _ in disclosed if proofs else ():
        due = tlog_proof(offset - base, c.size, kept, note)
        want(get("proofs/%d.tlog-proof" % offset) == due, "content", "another proof", origin, [offset])
    check_events(get("events.ndjson"), origin, disclosed)
    report = {"origin": origin, "size": c.size, "events": len(disclosed), "witnesses": witnesses, "from": old.size if old else 0, "range": part.get("range")}
    return report, not k or k.size in (c.size, old.size if old else 0)


def check_manifest(files, policy):
    names, content = [name for name, _ in files], dict(files)
    raw, note = files[0][1], content.get("manifest.note", b"")
    want(len(content) == len(files), "duplicate", "a file is there twice")
    try:
        m = json.loads(raw)
        trusted = policy.logs[m["log"]]
    except (ValueError, KeyError, TypeError):
        raise Tampered("signature", "the manifest cannot be read, or the policy does not name its log", "", []) from None
    ring = Ring(m["log"], trusted, [b for name, b in files if name.startswith("rotations/")])
    text = b"custody/proof-manifest/v1\n" + text64(sha256(raw)).encode() + b"\n\n"
    want(note.startswith(text) and note.count(b"\n") == 4 and names[1] == "manifest.note", "signature", "the manifest's signature is another's")
    keys = [Key(m["log"], 1, k) for k, replaced in ring.keys.items() if replaced is None]
    want(open_note(note, keys + policy.reports, "manifest")[1], "signature", "no key of the policy signed the manifest")
    if m["format"] != "custody/proof/v1":
        raise Unreadable("another format: " + m["format"])
    return m, ring


def check_files(files, m):
    content, names, listed = dict(files), [name for name, _ in files[2:]], [f["name"] for f in m["files"]]
    want(set(names) <= set(listed), "content", "a file does not belong here")
    want(names == [name for name in listed if name in content], "reordered", "the files stand in another order")
    for f in m["files"]:
        want(f["name"] in content, "dropped", "a file is missing: " + f["name"])
        b = content[f["name"]]
        want(len(b) == f["size"] and text64(sha256(b)) == f["sha256"], "content", "another file than was signed: " + f["name"])


def check(data, policy, notes):
    files = unzip(data)
    m, ring = check_manifest(files, policy)
    content, known, trees, unjudged = dict(files), {}, [], []
    for note in notes:
        if not note.startswith(m["log"].encode() + b"/"):
            continue  # of another log
        try:
            c = ring.checkpoint(note)
        except Tampered as e:
            raise Unreadable("the latest known checkpoint: " + e.args[1]) from None
        other = known.get(c.origin, c)
        want(other.size != c.size or other.root == c.root, "fork", "two known checkpoints have different roots", c.origin)
        known[c.origin] = max(other, c, key=lambda c: c.size)
    origins = [t["origin"] for t in m["trees"]]
    want(origins == sorted(set(origins)), "duplicate", "a tree is there twice")
    for i, part in enumerate(m["trees"]):
        def get(name, otherwise=None):
            if otherwise is None and "trees/%d/%s" % (i, name) not in content:
                check_files(files, m)
                raise Tampered("dropped", "a file is missing: " + name, part["origin"], [])
            return content.get("trees/%d/%s" % (i, name), otherwise)
        report, judged = check_tree(part, get, ring, policy, known, m["tlog_proofs"])
        trees.append(report)
        unjudged += [] if judged else [part["origin"]]
    check_files(files, m)
    want(sum(t["events"] for t in trees) == m["events"], "dropped", "other events than were signed")
    want(not m.get("after") and not m.get("before") or set(known) <= set(origins), "dropped", "a tree that is known is left out")
    same = zipped(files)
    want(data == same, "truncated" if same.startswith(data) else "content", "the zip file is not in its one form")
    if unjudged:
        raise Unreadable("it does not prove that these continue what is known: " + " ".join(unjudged))
    return {"log": m["log"], "query": m["query"], "tenant": m["tenant"], "events": m["events"], "unwitnessed": not all(t["witnesses"] for t in trees), "trees": trees}


def verify(data, policy, known=()):
    """Returns the report on a bundle as a dictionary; raises Unreadable for what cannot be judged."""
    try:
        return {"intact": True, **check(data, policy, known)}
    except Tampered as e:
        return {"intact": False, **dict(zip(("class", "detail", "origin", "offsets"), e.args))}
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise Unreadable("the manifest is not in its form: %r" % e) from None


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("bundle", nargs="+")
    p.add_argument("--policy", required=True)
    p.add_argument("--latest-known", action="append", default=[], help="file with a checkpoint that is known from elsewhere")
    args, worst = p.parse_args(), 0
    try:
        policy = Policy(open(args.policy, encoding="utf-8").read())
        known = [open(name, "rb").read() for name in args.latest_known]
    except (OSError, ValueError, IndexError) as e:
        print("verify:", e, file=sys.stderr)
        return 2
    for name in args.bundle:
        try:
            report = verify(open(name, "rb").read(), policy, known)
        except (OSError, Unreadable) as e:
            report = {"unreadable": str(e)}
        worst = max(worst, 2 if "unreadable" in report else 0 if report["intact"] else 1)
        print(json.dumps({"bundle": name, **report}))
    return worst


if __name__ == "__main__":
    sys.exit(main())
