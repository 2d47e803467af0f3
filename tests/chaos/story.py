# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a chaos run wrote down, read for the checker: etcd's history as states of
names with bounds of their times, and what was done to whom.  check.py says what
the bounds mean."""
import bisect
import collections
import json
import os
import re

PREFIX, DOMAIN = "/service/", ".service.etcd"
FOREVER = float("inf")
PLAIN = re.compile(r"(?:\[([0-9a-f:]+)\]|(\d+\.\d+\.\d+\.\d+)):\d+")


def address_in(value):
    """The address of a value, None if there is none that can be read."""
    match = PLAIN.fullmatch(value or "")
    return match and (match[1] or match[2])


def overlap(a, b):
    """The spans that both lists have in common; each sorted and disjoint."""
    result, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        begin, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if begin < end:
            result.append((begin, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return result


def without(spans, holes):
    """The spans with holes cut out of them."""
    edges, at = [], -FOREVER
    for begin, end in sorted(holes):
        if begin > at:
            edges.append((at, begin))
        at = max(at, end)
    return overlap(spans, edges + [(at, FOREVER)])


def longest(spans):
    return max(spans, key=lambda span: span[1] - span[0], default=(0, 0))


class History:
    """Revisions 1 ... last, with lo, hi and at as record.py tells them."""

    def __init__(self, directory):
        self.changes, self.hi, at = {}, [0.0, 0.0], []
        with open(directory + "/history.log") as file:
            for line in file:
                revision, hi, heard, changes = json.loads(line)
                self.changes[revision] = changes
                self.hi.append(hi)
                at.append(heard)
        self.last = len(self.hi) - 1
        # What a member was not heard to say, it said with the next that was.
        self.at = [[0.0] * len(self.hi) for _ in range(3)]
        for member in range(3):
            known = FOREVER
            for revision in range(self.last, 1, -1):
                heard = at[revision - 2][member]
                known = min(known, FOREVER if heard is None else heard) if heard is not None else known
                self.at[member][revision] = known
        self.probes = []
        with open(directory + "/probes.log") as file:
            for line in file:
                sent, answered, member, revision, term = line.split()
                self.probes.append((float(sent), float(answered), int(member), int(revision), int(term)))
        self.probes.sort(key=lambda probe: probe[1])
        self.lo = [0.0] * (self.last + 2)
        for sent, _, _, revision, _ in self.probes:
            if revision <= self.last:
                self.lo[revision + 1] = max(self.lo[revision + 1], sent)
        for revision in range(1, self.last + 1):
            self.lo[revision] = max(self.lo[revision], self.lo[revision - 1])
        self.lo.pop()

    def floor(self, heard, when):
        """The last revision that was heard of by then."""
        return bisect.bisect_right(heard, when) - 1

    def runs(self, keep):
        """Spans in which linearizable reads went on without a break."""
        spans, begin, last, last_term = [], None, None, None
        for sent, answered, member, _, term in self.probes:
            if not keep(member) or answered - sent > 1:
                continue
            if begin is not None and sent - last <= 1 and term == last_term:
                last = max(last, answered)
                continue
            if begin is not None:
                spans.append((begin, last))
            begin, last, last_term = answered, answered, term
        return spans + ([(begin, last)] if begin is not None else [])


class Name:
    """What a name had, by revision; sets holds (all, IPv4, IPv6)."""

    def __init__(self):
        self.revisions, self.sets, self.lo = [0], [(frozenset(),) * 3], [0.0]

    def add(self, revision, lo, addresses):
        addresses = frozenset(addresses)
        if addresses == self.sets[-1][0]:
            return
        four = frozenset(a for a in addresses if ":" not in a)
        self.revisions.append(revision)
        self.sets.append((addresses, four, addresses - four))
        self.lo.append(lo)


def names_of(history):
    names = collections.defaultdict(Name)
    services = collections.defaultdict(dict)
    for revision in range(2, history.last + 1):
        touched = set()
        for key, value, _ in history.changes[revision]:
            if not key.startswith(PREFIX):
                continue
            service, instance = key[len(PREFIX):].split("/", 1)
            address = address_in(value)
            services[service].pop(instance, None)
            if address:
                services[service][instance] = address
            touched.add(service)
            names[f"{instance}.{service}{DOMAIN}"].add(revision, history.lo[revision], [address] if address else [])
        for service in touched:
            names[service + DOMAIN].add(revision, history.lo[revision], services[service].values())
    return names


class Events:
    """What was done, as spans."""

    def __init__(self, directory):
        with open(directory + "/events.log") as file:
            self.all = [json.loads(line) for line in file]
        self.begin = next((e["t"] for e in self.all if e["what"] == "begin"), 0)
        self.end = next((e["t"] for e in self.all if e["what"] == "end"), self.all[-1]["t"] if self.all else 0)
        self.cuts = self.pair("cut", "join", lambda e: frozenset((e["source"], e["target"])))
        self.stops = self.pair("stop", "continue", lambda e: e["process"])
        self.downs = self.pair("down", "up", lambda e: e["process"])
        self.disks = self.pair("disk", "disk", lambda e: e["node"], lambda e: e["full"])
        self.locks = self.pair("lock", "unlock", lambda e: "app")["app"]
        self.lives = collections.defaultdict(list)  # process: [(begin, end, pid)]
        for event in self.all:
            if event["what"] == "up":
                self.lives[event["process"]].append((event["t"], self.end, event["pid"]))
            elif event["what"] == "down" and self.lives[event["process"]]:
                begin, _, pid = self.lives[event["process"]].pop()
                self.lives[event["process"]].append((begin, event["t"], pid))

    def pair(self, opening, closing, key_of, is_opening=None):
        """{key: spans from the first opening to the closing of the last one}"""
        depth, since, spans = collections.Counter(), {}, collections.defaultdict(list)
        for event in self.all:
            if event["what"] not in (opening, closing):
                continue
            key = key_of(event)
            if is_opening(event) if is_opening else event["what"] == opening:
                depth[key] += 1
                since.setdefault(key, event["t"])
            elif depth[key]:
                depth[key] -= 1
                if not depth[key]:
                    spans[key].append((since.pop(key), event["t"]))
        for key, begin in since.items():
            spans[key].append((begin, FOREVER))
        return spans

    def around(self, when, before=15, after=2):
        return [e for e in self.all if when - before <= e["t"] <= when + after]


def samples_of(directory):
    """{host: [(time, is there, state, heartbeat's age, held, pid, members, lists)]}"""
    samples = collections.defaultdict(list)
    with open(directory + "/samples.log") as file:
        for line in file:
            when, host, there, state, age, held, pid, members, lists = line.split()
            samples[int(host)].append((float(when), there == "1", int(state), float(age), int(held), int(pid),
                                       () if members == "-" else tuple(members.split(",")), int(lists)))
    return samples


def files(directory, start):
    return sorted(directory + "/" + name for name in os.listdir(directory) if name.startswith(start))
