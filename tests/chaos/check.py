#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The checker: judges what a chaos run wrote down.

    check.py DIR

THE MODEL.  etcd's history is one sequence of revisions; between two of them a
name has exactly the addresses that the keys say.  The recorder has all of it
(revisions are consecutive, and it says so if they are not).

TIME.  All times are CLOCK_MONOTONIC of one machine.  When revision R was
committed is not known, but bounds are (record.py says why they hold):
lo[R] <= commit <= hi[R] <= at[m][R].  An answer was given at some moment
between t0, before libc was called, and t1, after it returned.

ANSWERS.  An answer must be *the state of its name after one revision*, whole:
the set of addresses of its family.  Which revisions will do?

  Not too new: lo[R] <= t1.  As lo is at most the commit, no answer that came
  from etcd fails this; and an address that a name has never had, or not yet,
  matches nothing.

  Not too old: the state must have been true after revision FLOOR or later.
  FLOOR grows with the time of the host's table, never shrinks (a table does
  not go back), and is the greatest of what these two say at or before t0:

  F1, connected.  If for B = 2 s the table has said LIVE, written by
     the watcher that runs, with a heartbeat and nothing held back, and the
     watcher had connections to the members M and no others: all that the
     recorder had heard from each of M for B s already.  The
     reference is the member's own stream, so that a member without a leader
     owes its watcher nothing (F2 does).  Not claimed within G = 10 s after a
     path to M was cut, or a member of M was stopped or down: a connection may
     wait out a retransmission before it is found dead (TCP_USER_TIMEOUT
     is 8 s), nor while or just after the watcher is stopped or its disk is full.
  F2, reachable.  If for W = 30 s one member answered linearizable reads to the
     recorder without a break, the paths between host and that member were
     whole, and the watcher ran and had a disk: all that the recorder had heard
     from anybody 30 s ago.  No word of the product's is believed here.

  Nor older than an answer that the same client got for the same name before.

  In between, as long as neither is claimed, FLOOR stays where it was: a
  host that is cut off may tell what was true when it was cut off, but nothing
  older, and nothing that was never true.

  An answer that fails is called
    invented  it has an address that the name never had
    denied    "no such host", but it had an instance all the time
    stale     it was true, but too long ago
    back      it is older than what the client was told before
    mixed     each address was there once, but never these together, or not
              now
    again     EAI_AGAIN after the first table was published
    error     any other
  A watcher that doubts a list keeps what it had besides what is new, and says
  so in its table (and F1 is not claimed): for that, stale, back and mixed are
  counted apart, unless the doubt is older than 25 s and etcd reachable (F2).
  One that doubts its very first list leaves the table of the watcher before as
  it is: that may be stale, but not older than what the client was told, nor mixed.

REGISTRATIONS.  A registrar writes down what it wants before libsd is asked to
take it away, and after libsd promised to keep it.
    lost   absent (by bounds: from hi of its delete to lo of its put), though
           wanted, for longer than TTL + 10 s during which the process ran and one
           member served its host without a break
    wrong  at the end the key says what its process does not want
    ghost  there, under a lease, for longer than TTL + 4 s after its process ended,
           with one leader all the time (a new leader gives each lease its
           whole TTL anew)
    odd    a call of libsd failed as it must not
    fault  of the run: a program ended by itself, the recorder missed something

NO BLIND EYE.  The report tells what part of the answers was judged by F1 and by
F2; a run of some length with little of them is none, and fails.
selftest.py feeds it lies.
"""
import bisect
import collections
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from story import (FOREVER, PREFIX, Events, History, address_in, files, longest, names_of, overlap,  # noqa: E402
                   samples_of, without)

B, G, W = 2.0, 10.0, 30.0
GAP = 0.8  # more between two samples: nobody looked
LIVE = 1
LOST_S, GHOST_S, DOUBT_S = 10, 4, 25
LOCK_S = 40  # libsd's longest wait after a refusal, and some more
FAILED, NOT_FOUND = "6", "-5"  # the callback may come after the next call
HOSTS, MEMBERS = ["h1", "h2"], ["n1", "n2", "n3"]
SHOWN = 5  # of each kind


class Report:
    def __init__(self):
        self.counts = collections.Counter()
        self.details = []
        self.lines = []

    def add(self, kind, text):
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.details.append(f"{kind}: {text}")

    def is_bad(self):
        return bool(self.counts)

    def text(self):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))
        return "\n".join(self.details + self.lines + [f"violations: {kinds or 'none'}"]) + "\n"


def grown(spans, seconds):
    return [(begin, end + seconds) for begin, end in spans]


class Host:
    """What may be asked of one host's table, by time."""

    def __init__(self, index, history, events, samples):
        self.name = HOSTS[index]
        watcher = "watcher-" + self.name
        self.samples = samples
        self.history, self.events = history, events
        ill = (grown(events.stops[watcher], 2) + events.downs[watcher] + grown(events.disks[self.name], 5))
        self.unfit = {member: ill + grown(events.cuts[frozenset((self.name, member))], G) +
                      grown(events.stops[member], G) + grown(events.downs[member], G) for member in MEMBERS}
        self.served = [without(history.runs(lambda m, i=i: m == i),
                               events.cuts[frozenset((self.name, member))]) for i, member in enumerate(MEMBERS)]
        self.fit = [without(spans, ill) for spans in self.served]
        self.published = next((s[0] for s in samples if s[1]), FOREVER)
        self.doubts, self.first_doubts = doubts_of(samples)
        self.times, self.floors, self.modes = [], [], []
        self.judge_samples()

    def judge_samples(self):
        healthy = {members: without([(-FOREVER, FOREVER)], sum((self.unfit[m] for m in members), []))
                   for members in {s[6] for s in self.samples}}
        since, floor, last = None, 0, None
        for sample in self.samples:
            when, _, state, age, held, pid, members, _ = sample
            good = state == LIVE and age < 3 and not held and pid and members
            if not good or last is None or when - last[0] > GAP or last[5:7] != sample[5:7]:
                since = when if good else None
            last = sample
            claims = []
            if since is not None and when - since >= B and covers(healthy[members], when - B, when):
                claims.append(("tight", min(self.history.floor(self.history.at[MEMBERS.index(m)], when - B)
                                            for m in members)))
            if any(covers(spans, when - W, when) for spans in self.fit):
                claims.append(("wide", self.history.floor(self.history.hi, when - W)))
            floor = max([floor] + [claim[1] for claim in claims])
            self.times.append(when)
            self.floors.append(floor)
            self.modes.append("tight" if claims and claims[0][0] == "tight" else "wide" if claims else "order")

    def at(self, when):
        """(floor, how it was found)"""
        i = bisect.bisect_right(self.times, when) - 1
        return (self.floors[i], self.modes[i]) if i >= 0 else (0, "order")

    def excuses(self, kind, mode, when, was_told):
        """Whether a doubt explains it.  was_told: it is no older than what the client knew."""
        if kind not in ("stale", "back", "mixed") or not covers(self.doubts, when, when):
            return False
        if mode == "wide" and covers(self.doubts, when - DOUBT_S, when - DOUBT_S):
            return False
        return kind == "stale" and was_told or not covers(self.first_doubts, when, when)


def doubts_of(samples):
    """Spans in which a watcher held instances back: its table says so before it has
    them, and until it has them no more, so they begin behind the last sample that
    says no.  And those of them in which the table is one that it found, was true,
    and has to stay as it is."""
    spans, firsts, since, is_first, was_true, before = [], [], None, False, False, 0
    for when, there, state, _, held, pid, _, lists in samples + [(FOREVER, True, 0, 0, 0, 0, (), 0)]:
        if held and since is None:
            since, is_first = before, was_true and pid and lists == 1
        elif not held and since is not None:
            spans.append((since, when))
            firsts += [(since, when)] if is_first else []
            since = None
        before = when
        was_true = there and (was_true and not (held and not is_first) or state == LIVE and not held)
    return spans, firsts


def covers(spans, begin, end):
    i = bisect.bisect_right(spans, (begin, FOREVER)) - 1
    return i >= 0 and spans[i][0] <= begin and spans[i][1] >= end


# ---- answers ------------------------------------------------------------------

FAMILY = {"u": 0, "4": 1, "h": 1, "6": 2, "g": 2}


def why_wrong(name, family, answer, first, last):
    """The kind of an answer that is the state of none of first ... last."""
    everything = set().union(*(sets[0] for sets in name.sets[:last + 1]))
    if answer - everything:
        return "invented"
    if not answer:
        return "denied"
    if any(name.sets[i][family] == answer for i in range(first)):
        return "stale"
    return "mixed"


def explain(name, text, line, first, last, host, history):
    lines = [f"{host.name} {text}: {line.strip()}"]
    for i in range(max(0, min(first, last) - 2), min(len(name.sets), last + 3)):
        revision = name.revisions[i]
        mark = ">" if first <= i <= last else " "
        heard = [f"{at[revision]:.3f}" for at in history.at] if revision else []
        lines.append(f"   {mark} revision {revision}, {history.lo[revision]:.3f} ... {history.hi[revision]:.3f} "
                     f"({' '.join(heard)}): {' '.join(sorted(name.sets[i][0])) or 'nothing'}")
    when = int(line.split()[0]) / 1e6
    lines += [f"     table {s[0]:.3f} state {s[2]} heartbeat {s[3]:.1f} held {s[4]} pid {s[5]} {','.join(s[6])}"
              for s in host.samples if when - 2 < s[0] < when + 0.5]
    lines += [f"     {e['t']:.3f} {' '.join(str(v) for k, v in e.items() if k != 't')}"
              for e in host.events.around(when)]
    return "\n".join(lines)


def judge_answers(path, host, names, history, report, totals):
    seen = {}
    nothing = names["nothing"]
    for line in open(path):
        words = line.split(" ")
        begin, how, outcome = int(words[0]) / 1e6, words[2], words[4]
        end = begin + int(words[1]) / 1e6
        name = names.get(words[3], nothing)
        floor, mode = host.at(begin)
        totals["answers"] += 1
        totals[mode] += 1
        totals[outcome] += 1
        if outcome == "again":
            if host.published < begin:
                report.add("again", explain(name, "EAI_AGAIN", line, 0, 0, host, history))
            continue
        if outcome not in ("ok", "none", "nodata"):
            report.add("error", f"{host.name} {line.strip()}")
            continue
        family = 0 if outcome == "none" else FAMILY[how]
        answer = frozenset(words[5].strip().split(",")) if outcome == "ok" else frozenset()
        told = seen.get(words[3], 0)
        first = told
        revisions, sets = name.revisions, name.sets
        while first + 1 < len(revisions) and revisions[first + 1] <= floor:
            first += 1
        last = bisect.bisect_right(name.lo, end) - 1
        i = first
        while i <= last and sets[i][family] != answer:
            i += 1
        if i <= last:
            seen[words[3]] = i
            continue
        oldest = bisect.bisect_right(revisions, floor) - 1
        if any(sets[j][family] == answer for j in range(oldest, min(first, last + 1))):
            kind = "back"
        else:
            kind = why_wrong(name, family, answer, first, last)
        was_told = any(sets[j][family] == answer for j in range(told, first))
        if host.excuses(kind, mode, begin, was_told):
            totals["in doubt"] += 1
            continue
        report.add(kind, explain(name, f"({mode}, floor {floor})", line, first, last, host, history))


# ---- registrations --------------------------------------------------------------


def keys_of(history):
    """{key: [(revision, value, lease)]}"""
    keys = collections.defaultdict(list)
    for revision in range(2, history.last + 1):
        for key, value, lease in history.changes[revision]:
            keys[key].append((revision, value, lease))
    return keys


def is_by_hand(value):
    address = address_in(value)
    return address is None or address.startswith("10.90.")


def absences(changes, history):
    """When a key surely was not there with a value of its owner's."""
    spans, since = [], -FOREVER
    for revision, value, _ in changes:
        gone = value is None or is_by_hand(value)
        if gone and since is None:
            since = history.hi[revision]
        elif not gone and since is not None:
            if since < history.lo[revision]:
                spans.append((since, history.lo[revision]))
            since = None
    return spans + ([(since, FOREVER)] if since is not None else [])


def wishes_of(path, lives, report):
    """{key: [(begin, end, addresses)]} of the processes of one registrar."""
    ends = {pid: end for _, end, pid in lives}
    wishes, now = collections.defaultdict(list), {}
    lines = [line.split() for line in open(path)]
    failed = {(words[1], words[3]): int(words[0]) for words in lines if words[2:3] == ["told"] and words[4] == FAILED}
    for words in lines:
        if len(words) < 4 or not words[0].isdigit() or int(words[1]) not in ends:
            continue
        when, pid, what, key = int(words[0]) / 1e9, int(words[1]), words[2], PREFIX + words[3]
        if what == "odd" and not (words[-1] == NOT_FOUND and
                                  abs(failed.get((words[1], words[3]), 0) / 1e9 - when) < 2):
            report.add("odd", " ".join(words))
        if what not in ("want", "drop"):
            continue
        if key in now:
            begin, owner, addresses = now.pop(key)
            wishes[key].append((begin, min(when, ends[owner]), addresses))
        if what == "want":
            now[key] = (when, pid, [address_in(value) for value in words[4].split(",")])
    for key, (begin, pid, addresses) in now.items():
        wishes[key].append((begin, ends[pid], addresses))
    return wishes


def joined(spans):
    """One span where one begins as another ends: an update."""
    result = []
    for begin, end in spans:
        if result and begin - result[-1][1] < 1e-6:
            result[-1] = (result[-1][0], end)
        else:
            result.append((begin, end))
    return result


def judge_registrar(number, path, keys, history, events, hosts, report, totals):
    process, ttl = f"registrar-{number}", 10 if number % 4 == 3 else 5
    host = hosts[number % 2]
    wishes = wishes_of(path, events.lives[process], report)
    holes = events.stops[process] + grown(events.locks, LOCK_S)
    served = [without(spans, holes) for spans in host.served]
    quiet = history.runs(lambda member: True)
    for key, wanted in wishes.items():
        totals["registrations"] += len(wanted)
        spans = overlap(joined([w[:2] for w in wanted]), absences(keys[key], history))
        for each in served:
            begin, end = longest(overlap(spans, each))
            if min(end, events.end) - begin > ttl + LOST_S:
                report.add("lost", f"{key} of {process}: not there for {min(end, events.end) - begin:.1f} s from "
                                   f"{begin:.3f}\n{tell_key(keys[key], history, begin)}\n{tell_events(events, begin)}")
                break
        judge_end(key, wanted[-1], keys[key], process, events, report)
        judge_ghost(key, keys[key], process, ttl, quiet, history, events, report)


def judge_end(key, last_wish, changes, process, events, report):
    _, until, addresses = last_wish
    if until >= events.end and changes and changes[-1][1] and address_in(changes[-1][1]) not in addresses:
        report.add("wrong", f"{key} of {process} is {changes[-1][1]} at the end, not {addresses}")


def judge_ghost(key, changes, process, ttl, quiet, history, events, report):
    for died, back in events.downs[process]:
        back = min(back, events.end)
        there, at = False, bisect.bisect_left(changes, died, key=lambda change: history.hi[change[0]])
        if at:
            there = changes[at - 1][1] is not None and changes[at - 1][2] != 0
        until = back
        for revision, value, lease in changes[at:]:
            if history.lo[revision] >= back:
                break
            if value is None or not lease:
                until = history.lo[revision]
                break
            there = True
        begin, end = longest(overlap([(died, until)], quiet)) if until > died else (0, 0)
        if there and end - begin > ttl + GHOST_S:
            report.add("ghost", f"{key} of {process}, dead at {died:.3f}: still there at {end:.3f}, with one leader since "
                                f"{begin:.3f}\n{tell_key(changes, history, died)}\n{tell_events(events, died)}")


def tell_key(changes, history, when):
    at = bisect.bisect_left(changes, when, key=lambda change: history.hi[change[0]])
    return "\n".join(f"     revision {revision}, {history.lo[revision]:.3f} ... {history.hi[revision]:.3f}: "
                     f"{value or 'deleted'} lease {lease:x}" for revision, value, lease in changes[max(0, at - 4):at + 5])


def tell_events(events, when):
    return "\n".join(f"     {e['t']:.3f} {' '.join(str(v) for k, v in e.items() if k != 't')}"
                     for e in events.around(when, 15, 15))


# ---- all of it --------------------------------------------------------------------


def tell(report, totals, history, events, seconds):
    kinds = collections.Counter(e["kind"] for e in events.all if e["what"] == "fault begins")
    width = sorted(hi - lo for lo, hi in zip(history.lo[2:], history.hi[2:])) or [0]
    answers = max(1, totals["answers"])
    report.lines += [
        f"answers checked: {totals['answers']} ({totals['ok']} ok, {totals['none']} none, {totals['nodata']} nodata, "
        f"{totals['again']} again); {totals['in doubt']} while a watcher doubted a loss",
        f"  by F1 {100 * totals['tight'] / answers:.1f} %, by F2 alone {100 * totals['wide'] / answers:.1f} %",
        f"revisions: {history.last}; commit known within {width[len(width) // 2] * 1000:.0f} ms (median), "
        f"{width[len(width) * 99 // 100] * 1000:.0f} ms (99 %)",
        f"registrations wanted: {totals['registrations']}",
        f"faults: {sum(kinds.values())} in {seconds:.0f} s: " +
        ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))]
    if seconds > 120 and totals["tight"] + totals["wide"] < 0.15 * answers:
        report.add("fault", "too few answers could be judged by F1 or F2")


def judge(directory):
    report, totals = Report(), collections.Counter()
    history, events = History(directory), Events(directory)
    names, keys, samples = names_of(history), keys_of(history), samples_of(directory)
    hosts = [Host(index, history, events, samples[index]) for index in range(len(HOSTS))]
    for event in events.all:
        if event["what"] == "fault":
            report.add("fault", f"{event['kind']}: {event['text']}\n{tell_events(events, event['t'])}")
    for line in open(directory + "/recorder-faults.log"):
        report.add("fault", line.strip())
    for path in files(directory, "answers-"):
        host = hosts[HOSTS.index(path.rsplit("/", 1)[1].split("-")[1])]
        judge_answers(path, host, names, history, report, totals)
    for path in files(directory, "wants-"):
        judge_registrar(int(path.rsplit("-", 1)[1][:-4]), path, keys, history, events, hosts, report, totals)
    tell(report, totals, history, events, events.end - events.begin)
    return report


if __name__ == "__main__":
    result = judge(sys.argv[1])
    print(result.text(), end="")
    sys.exit(1 if result.is_bad() else 0)
