# SPDX-License-Identifier: LGPL-2.1-or-later
"""The sampler: what the tables say of themselves, and whom the watchers talk to.

Reads the header of each host's table (words as libsd/table/layout.h numbers
them) 50 times a second, and, a few times a second and whenever the table says
something else than before, the connections of its watcher.  A line of
samples.log:

    time | host | file is there | state | age of the heartbeat | instances held
    back | process id of the watcher | its members, comma-separated, or - | lists
    that it completed
"""
import os
import struct
import threading
import time

from world import HOSTS, MEMBERS, WORK, address_of

LOOK_S, SAMPLE_S = 0.02, 0.2
STATE, HEARTBEAT, WRITER, LISTS, HELD, WORDS = 8, 9, 15, 27, 29, 32
LIVE = 1


def member_at(hexadecimal):
    """The member whose client port this is in /proc/net/tcp, or None."""
    address, port = hexadecimal.split(":")
    if int(port, 16) != 2379:
        return None
    text = ".".join(str(byte) for byte in bytes.fromhex(address)[::-1])
    return next((node for node in MEMBERS if address_of(node) == text), None)


def members_of(pid):
    """The members to which a process has connections."""
    try:
        sockets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        with open(f"/proc/{pid}/net/tcp") as file:
            lines = [line.split() for line in file.readlines()[1:]]
    except OSError:
        return set()
    return {member_at(line[2]) for line in lines
            if line[3] == "01" and f"socket:[{line[9]}]" in sockets} - {None}


class Sampler:
    def __init__(self, directory, world):
        self.file = open(directory + "/samples.log", "w", buffering=1)
        self.world = world
        self.states = [0 for _ in HOSTS]
        self.said = [None for _ in HOSTS]  # state, held, lists, and who writes
        self.sampled = [0 for _ in HOSTS]
        self.is_over = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def is_live(self, host):
        return self.states[host] == LIVE

    def look(self, index):
        now = time.monotonic()
        try:
            with open(f"{WORK}/{HOSTS[index]}/table/table.v1", "rb") as file:
                words = struct.unpack(f"={WORDS}Q", file.read(8 * WORDS))
        except (OSError, struct.error):
            words = None
        said = words and (words[STATE] & 255, words[HELD], words[LISTS], words[WRITER])
        if said != self.said[index] or now - self.sampled[index] >= SAMPLE_S:
            self.said[index], self.sampled[index] = said, now
            self.sample(index, now, words)

    def sample(self, index, now, words):
        watcher = self.world.watchers[index].child
        pid = watcher.pid if watcher else 0
        if words is None:
            self.file.write(f"{now:.6f} {index} 0 0 0 0 0 - 0\n")
            return
        self.states[index] = words[STATE] & 255
        # The heartbeat's low half is in monotonic seconds, cut.
        age = now - (words[HEARTBEAT] & 0xffffffff)
        members = ",".join(sorted(members_of(pid))) or "-"
        writer = pid if words[WRITER] == pid else 0
        self.file.write(f"{now:.6f} {index} 1 {self.states[index]} {age:.3f} {words[HELD]} {writer} {members} "
                        f"{words[LISTS]}\n")

    def work(self):
        while not self.is_over:
            for index in range(len(HOSTS)):
                self.look(index)
            time.sleep(LOOK_S)

    def finish(self):
        self.is_over = True
        self.thread.join()
        self.file.close()
