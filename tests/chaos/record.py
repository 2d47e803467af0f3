# SPDX-License-Identifier: LGPL-2.1-or-later
"""The recorder: every revision of the store, and when it was made.

Three threads watch, one member each, all keys from revision 1 on; whichever
hears of a revision first tells its content.  All keys: so revisions are
consecutive, and one that were missed would show.  Each thread goes on from
where it was; the store is only ever compacted up to what is recorded
already.  Three more threads ask, ten times a second, for the revision of a
linearizable read.  So for revision R, with CLOCK_MONOTONIC:

  hi[R]    when the first thread heard of R; it was committed before
  at[m][R] when R was heard from member m
  lo[R]    the latest time at which a read was sent that answered with a
           revision below R; R was committed after.  (Such a read waits
           until its member has applied what was committed when it was sent:
           etcd's ReadIndex.)
"""
import http.client
import json
import threading
import time

from gateway import Gateway, Refused, text_of

TROUBLE = (OSError, http.client.HTTPException, Refused, ValueError, KeyError)
ALL = {"key": "AA==", "range_end": "AA=="}


def changes_of(events):
    """[(revision, [(key, value or None, lease)])] of a message of a watch."""
    revisions = {}
    for event in events:
        kv = event["kv"]
        value = None if event.get("type") == "DELETE" else text_of(kv.get("value"))
        revisions.setdefault(int(kv["mod_revision"]), []).append(
            (text_of(kv["key"]), value, int(kv.get("lease", 0))))
    return sorted(revisions.items())


class Recorder:
    def __init__(self, directory, addresses, files, password):
        self.directory = directory
        self.history = {}  # revision: (hi, changes)
        self.last = 1
        self.at = [{} for _ in addresses]
        self.probes = []  # (sent, answered, member, revision, term)
        self.faults = []  # of the recording itself
        self.now = {}  # key: (value, lease)
        self.lock = threading.Lock()
        self.is_over = False
        self.threads = []
        for member, address in enumerate(addresses):
            for work, timeout in ((self.watch, 3.0), (self.probe, 2.0)):
                gateway = Gateway(address, files, password, timeout)
                self.threads.append(threading.Thread(target=work, args=(member, gateway), daemon=True))
        for thread in self.threads:
            thread.start()

    def take(self, member, revision, changes, now):
        with self.lock:
            self.at[member][revision] = now
            if revision == self.last + 1:
                self.history[revision] = (now, changes)
                self.last = revision
                for key, value, lease in changes:
                    if value is None:
                        self.now.pop(key, None)
                    else:
                        self.now[key] = (value, lease)
            elif revision > self.last + 1:
                self.faults.append(f"revision {revision} of member {member} came before {self.last + 1}")
            elif self.history[revision][1] != changes:
                self.faults.append(f"members disagree on revision {revision}: {changes}, {self.history[revision][1]}")

    def watch_once(self, member, gateway, start):
        """Yields the revision after the last one heard."""
        request = {"create_request": dict(ALL, start_revision=str(start))}
        for line in gateway.stream("/watch", request):
            result = line["result"]
            if result.get("canceled"):
                if "compact_revision" in result:
                    yield max(start, int(result["compact_revision"]))
                return
            now = time.monotonic()
            for revision, changes in changes_of(result.get("events", ())):
                if revision >= start:
                    self.take(member, revision, changes, now)
                    start = revision + 1
            yield start

    def watch(self, member, gateway):
        start = 2
        while not self.is_over:
            try:
                for start in self.watch_once(member, gateway, start):
                    if self.is_over:
                        return
            except TROUBLE:
                time.sleep(0.1)

    def probe(self, member, gateway):
        while not self.is_over:
            sent = time.monotonic()
            try:
                header = gateway.post("/kv/range", dict(ALL, limit="1", keys_only=True))["header"]
                self.probes.append((sent, time.monotonic(), member, int(header["revision"]), int(header["raft_term"])))
            except TROUBLE:
                pass
            time.sleep(0.1)

    def finish(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(5)
        with open(self.directory + "/probes.log", "w") as file:
            for sent, answered, member, revision, term in list(self.probes):
                file.write(f"{sent:.6f} {answered:.6f} {member} {revision} {term}\n")
        with open(self.directory + "/history.log", "w") as file:
            for revision in range(2, self.last + 1):
                hi, changes = self.history[revision]
                at = [heard.get(revision) for heard in self.at]
                file.write(json.dumps([revision, hi, at, changes]) + "\n")
        with open(self.directory + "/recorder-faults.log", "w") as file:
            file.writelines(fault + "\n" for fault in self.faults)
