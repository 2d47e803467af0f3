# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is done to the world, and when.

The schedule is a function of the seed, of the length of the run and of the size
of the world, and of nothing else: schedule() reads no clock.  Where a fault
says "the leader" or "some key", its number chooses among what there is at that
moment.

Storms, in which faults overlap, take turns with calms, in which only those
happen that need no time to get over: so both what fails and what recovers is
seen.  Faults that write to etcd are queued and repeated until etcd takes them;
all else is done at its time.
"""
import queue
import random
import signal
import threading
import time

from gateway import b64
from record import TROUBLE
from world import HOSTS, MEMBERS, with_port

STORM_S, CALM_S = 50, 40
FLOOD_SERVICES = 20


class Nemesis:
    def __init__(self, world, recorder):
        self.world, self.recorder = world, recorder
        self.chores = queue.Queue()
        self.gateways = [world.gateway(member, 2.0) for member in range(len(MEMBERS))]
        self.floods = 0
        self.leader = 0
        threading.Thread(target=self.work, daemon=True).start()

    # ---- writing to etcd, by hand ----------------------------------------------

    def post(self, path, body, seconds=60):
        """Until a member takes it; None when none did."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for member in range(len(MEMBERS)):
                try:
                    return self.gateways[member].post(path, body)
                except TROUBLE as error:
                    if "not found" in str(error) or "compacted" in str(error):
                        return None
            time.sleep(0.1)
        self.world.tell("gave up", path=path)
        return None

    def work(self):
        while True:
            chore = self.chores.get()
            try:
                chore()
            finally:
                self.chores.task_done()

    def put(self, changes):
        """[(key, value or None)] in transactions, without a lease."""
        for first in range(0, len(changes), 100):
            operations = [{"request_put": {"key": b64(key), "value": b64(value)}} if value is not None else
                          {"request_delete_range": {"key": b64(key)}} for key, value in changes[first:first + 100]]
            self.post("/kv/txn", {"success": operations})

    def some_keys(self, number, count):
        keys = sorted(key for key in self.recorder.now if key.startswith("/service/s"))
        return random.Random(number).sample(keys, min(count, len(keys)))

    def delete(self, number, count):
        self.put([(key, None) for key in self.some_keys(number, count)])

    def overwrite(self, number, count, values, undo):
        """Puts other values there, and takes back at the end what nobody mended."""
        for index, key in enumerate(self.some_keys(number, count)):
            value = values.format(index + 1, number % 250)
            self.put([(key, value)])
            undo.append((key, value))

    def undo(self, undo):
        for key, value in undo:
            self.post("/kv/txn", {"compare": [{"target": "VALUE", "key": b64(key), "value": b64(value)}],
                                  "success": [{"request_delete_range": {"key": b64(key)}}]})

    def revoke(self, number, count):
        leases = sorted({lease for _, lease in self.recorder.now.values() if lease})
        for lease in random.Random(number).sample(leases, min(count, len(leases))):
            self.post("/lease/revoke", {"ID": str(lease)})

    def compact(self):
        self.post("/kv/compaction", {"revision": str(self.recorder.last), "physical": True}, 5)

    def flood(self, count):
        """Many services come, change and go."""
        self.floods += 1
        for turn in range(count):
            self.put([(f"/service/f{f}/i{i}", with_port(f"10.91.{f}.{(self.floods * 8 + turn + i) % 250 + 1}"))
                      for f in range(FLOOD_SERVICES) for i in range(5)])
        if self.floods % 2:
            self.put([(f"/service/f{f}/i{i}", None) for f in range(FLOOD_SERVICES) for i in range(5)])

    def find_leader(self):
        """Its index; the last known one while there is none."""
        for member in range(len(MEMBERS)):
            try:
                status = self.world.gateway(member, 1.0).post("/maintenance/status", {})
                if status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    self.leader = member
            except TROUBLE:
                pass
        return self.leader

    def move_leader(self, number):
        members = (self.post("/cluster/member/list", {}, 5) or {}).get("members", [])
        leader = self.find_leader()
        others = sorted(m["ID"] for m in members if m["name"] != MEMBERS[leader])
        if others:
            try:
                self.world.gateway(leader).post("/maintenance/transfer-leadership",
                                                {"targetID": others[number % len(others)]})
            except TROUBLE as error:
                self.world.tell("gave up", path="transfer-leadership", why=str(error))

    def change_guest(self, number):
        self.world.passwords["guest"] = f"guest-{number}"
        if self.post("/auth/user/changepw", {"name": "guest", "password": f"guest-{number}"}):
            for host, watcher in zip(HOSTS, self.world.watchers):
                self.world.configure(host)
                watcher.send(signal.SIGHUP)

    def lock_app(self):
        """Somebody changes the password, and the services do not know it."""
        self.world.tell("lock")
        self.post("/auth/user/changepw", {"name": "app", "password": "another one"})

    def unlock_app(self):
        self.post("/auth/user/changepw", {"name": "app", "password": self.world.passwords["app"]})
        self.world.tell("unlock")

    # ---- faults -----------------------------------------------------------------
    # Each takes its numbers and returns what ends it, or None.

    def kill_member(self, a, _):
        member = self.world.members[a % 3]
        member.hold_down()
        return member.let_up

    def kill_leader(self, a, b):
        return self.kill_member(self.find_leader(), b)

    def kill_all(self, _, __):
        for member in self.world.members:
            member.hold_down()
        return lambda: [member.let_up() for member in self.world.members]

    def stop_member(self, a, _):
        member = self.world.members[a % 3]
        member.freeze()
        return member.thaw

    def stop_leader(self, _, b):
        return self.stop_member(self.find_leader(), b)

    def kill_watcher(self, a, _):
        watcher = self.world.watchers[a % 2]
        watcher.hold_down()
        return watcher.let_up

    def end_watcher(self, a, _):
        watcher = self.world.watchers[a % 2]
        watcher.hold_down(signal.SIGTERM)
        return watcher.let_up

    def stop_watcher(self, a, _):
        watcher = self.world.watchers[a % 2]
        watcher.freeze()
        return watcher.thaw

    def some_registrars(self, a, b):
        registrars = self.world.registrars
        return [registrars[i] for i in random.Random(a).sample(range(len(registrars)), b % (len(registrars) // 6 + 1) + 1)]

    def kill_registrars(self, a, b):
        chosen = self.some_registrars(a, b)
        for registrar in chosen:
            registrar.hold_down()
        return lambda: [registrar.let_up() for registrar in chosen]

    def end_registrars(self, a, b):
        chosen = self.some_registrars(a, b)
        for registrar in chosen:
            registrar.hold_down(signal.SIGTERM)
        return lambda: [registrar.let_up() for registrar in chosen]

    def stop_registrars(self, a, b):
        chosen = self.some_registrars(a, b)
        for registrar in chosen:
            registrar.freeze()
        return lambda: [registrar.thaw() for registrar in chosen]

    def cut_paths(self, paths):
        for source, target in paths:
            self.world.cut(source, target)
        return lambda: [self.world.join(source, target) for source, target in paths]

    def isolate_member(self, a, _):
        alone = MEMBERS[a % 3]
        return self.cut_paths([pair for other in MEMBERS if other != alone for pair in ((alone, other), (other, alone))])

    def isolate_leader(self, _, b):
        return self.isolate_member(self.find_leader(), b)

    def part_members(self, a, b):
        """Two of them, one way or both."""
        one, two = MEMBERS[a % 3], MEMBERS[(a + 1) % 3]
        return self.cut_paths([[(one, two)], [(two, one)], [(one, two), (two, one)]][b % 3])

    def part_host(self, a, b):
        """A host and one member, one way or both."""
        host, member = HOSTS[a % 2], MEMBERS[b % 3]
        return self.cut_paths([[(host, member)], [(member, host)], [(host, member), (member, host)]][b // 3 % 3])

    def isolate_host(self, a, b):
        """A host and all members, one way or both."""
        host = HOSTS[a % 2]
        pairs = [pair for member in MEMBERS for pair in ((host, member), (member, host))]
        return self.cut_paths([pairs, pairs[::2], pairs[1::2]][b % 3])

    def unplug(self, a, _):
        node = (MEMBERS + HOSTS)[a % 5]
        self.world.unplug(node)
        return lambda: self.world.plug(node)

    def fill_disk(self, a, b):
        host, part = HOSTS[a % 2], ("table", "state")[b % 2]
        self.world.fill_disk(host, part)
        return lambda: self.world.free_disk(host, part)

    def stir(self, a, b):
        for registrar in self.some_registrars(a, b):
            registrar.send(signal.SIGUSR1)

    def queue_flood(self, _, b):
        self.chores.put(lambda: self.flood(b % 12 + 1))

    def queue_delete(self, a, b):
        self.chores.put(lambda: self.delete(a, b % 20 + 1))

    def queue_overwrite(self, a, b):
        undo, values = [], ("10.90.{1}.{0}:80", "not an address {0} {1}")[a % 2]
        self.chores.put(lambda: self.overwrite(a, b % 10 + 1, values, undo))
        return lambda: self.chores.put(lambda: self.undo(undo))

    def queue_revoke(self, a, b):
        self.chores.put(lambda: self.revoke(a, b % 5 + 1))

    def queue_compact(self, _, __):
        self.chores.put(self.compact)

    def queue_move_leader(self, a, _):
        self.chores.put(lambda: self.move_leader(a))

    def queue_guest(self, a, _):
        self.chores.put(lambda: self.change_guest(a))

    def queue_lock(self, _, __):
        self.chores.put(self.lock_app)
        return lambda: self.chores.put(self.unlock_app)


# kind: (how often, least and most seconds, also in a calm)
KINDS = {
    "kill_member": (3, 1, 12, False), "kill_leader": (3, 1, 12, False), "kill_all": (1, 0, 6, False),
    "stop_member": (2, 1, 12, False), "stop_leader": (2, 1, 12, False),
    "kill_watcher": (3, 0, 6, False), "end_watcher": (1, 0, 6, False), "stop_watcher": (2, 1, 12, False),
    "kill_registrars": (4, 0, 25, True), "end_registrars": (2, 0, 10, True), "stop_registrars": (3, 1, 20, True),
    "isolate_member": (2, 3, 15, False), "isolate_leader": (2, 3, 15, False), "part_members": (2, 3, 15, False),
    "part_host": (4, 3, 20, False), "isolate_host": (2, 3, 20, False), "unplug": (3, 1, 15, False),
    "fill_disk": (3, 2, 10, False), "stir": (4, 0, 0, True), "queue_flood": (3, 0, 0, True),
    "queue_delete": (4, 0, 0, True), "queue_overwrite": (4, 1, 4, True), "queue_revoke": (3, 0, 0, True),
    "queue_compact": (4, 0, 0, True), "queue_move_leader": (3, 0, 0, False), "queue_guest": (2, 0, 0, True),
    "queue_lock": (1, 1, 5, False),
}


def schedule(seed, seconds):
    """[(begin, end, kind, number, number)], seconds from the start."""
    dice = random.Random(f"chaos {seed}")
    now, faults = 2.0, []
    while True:
        is_calm = now % (STORM_S + CALM_S) > STORM_S
        now += dice.expovariate(1 / 4 if is_calm else 1 / 1.8)
        kinds = [kind for kind in KINDS if KINDS[kind][3] or not is_calm]
        kind = dice.choices(kinds, [KINDS[kind][0] for kind in kinds])[0]
        _, least, most, _ = KINDS[kind]
        end = now + dice.uniform(least, most)
        numbers = dice.randrange(1 << 20), dice.randrange(1 << 20)
        if now > seconds:
            return faults
        faults.append((round(now, 2), round(min(end, seconds), 2), kind, *numbers))


def perform(world, nemesis, faults, start, each):
    """Does it all; each() is called in between."""
    actions = sorted([(begin, 0, index) for index, (begin, *_) in enumerate(faults)] +
                     [(fault[1], 1, index) for index, fault in enumerate(faults)])
    ends = {}
    for when, is_end, index in actions:
        while time.monotonic() < start + when:
            each()
            time.sleep(max(0, min(0.2, start + when - time.monotonic())))
        kind, a, b = faults[index][2:]
        world.tell("fault ends" if is_end else "fault begins", kind=kind, numbers=[a, b], index=index)
        if not is_end:
            ends[index] = getattr(nemesis, kind)(a, b)
        elif ends[index]:
            ends[index]()
