"""What a watcher costs that follows many instances.  Prints measurements as bench.c does.

SPDX-License-Identifier: LGPL-2.1-or-later

    scale.py BUILD DIRECTORY COUNT PER_SERVICE SECONDS

The etcd is that of ETCDCTL_ENDPOINTS and is empty.  This program is the watcher's
service manager, too: with a watchdog of a fifth of a second the watcher gives a
sign of life at each tick, once a second, so that the longest silence says how
long its loop was held up.
"""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path.insert(0, os.path.join(TOP, "tests/integration/watcher"))
import fill  # pylint: disable=wrong-import-position

BUILD, DIRECTORY = sys.argv[1], sys.argv[2]
COUNT, PER_SERVICE, SECONDS = (int(text) for text in sys.argv[3:6])
ENDPOINT = os.environ["ETCDCTL_ENDPOINTS"]
TABLE = os.environ["ETCDSD_TABLE"]
SNAPSHOT = f"{DIRECTORY}/state/snapshot.v1"
WHAT = f"{COUNT:,}, {'one' if PER_SERVICE == 1 else 'ten'} a service"
DIES_WITH_US = ["setpriv", "--pdeathsig", "KILL"]
PAGE = 5000  # keys, as libsd asks for
PER_SECOND, CONNECTIONS = 10000, 4
FRESH_S = 3  # TABLE_FRESH_S
ROUNDS = 3 if COUNT <= 100000 else 1


def say(row, unit, value, goal="", base="", round_=1):
    base = f"{WHAT}: {base}" if base else ""
    print(f"scale\t{WHAT}: {row}\t{unit}\t{base}\t{goal}\t{round_}\t{value:.6g}", flush=True)


def wait_for(what, seconds=300.0):
    """Until what() is true; returns when that was."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            sys.exit(f"scale: {what.__name__}: nothing in {seconds} s")
        time.sleep(0.001)
    return time.monotonic()


class Manager(threading.Thread):
    """Hears what the watcher tells its service manager."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.heard = []
        self.start()

    def run(self):
        while True:
            text = self.socket.recv(4096).decode()
            self.heard.append((time.monotonic(), text))

    def when(self, word, since):
        return next((at for at, text in self.heard if at >= since and word in text), None)

    def silence(self, since, until):
        signs = [since] + [at for at, text in self.heard if since < at < until and "WATCHDOG=1" in text] + [until]
        return max(later - earlier for earlier, later in zip(signs, signs[1:]))


class Watcher:
    def __init__(self, manager):
        self.manager = manager
        self.log = open(f"{DIRECTORY}/log", "w+b")
        environment = dict(os.environ, NOTIFY_SOCKET=f"{DIRECTORY}/notify", WATCHDOG_USEC="200000")
        del environment["ETCDCTL_ENDPOINTS"], environment["ETCDSD_TABLE"]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [*DIES_WITH_US, f"{BUILD}/etcdsd-watcher", "--config", f"{DIRECTORY}/conf"],
            env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def proc(self, file):
        with open(f"/proc/{self.process.pid}/{file}", encoding="ascii") as text:
            return text.read()

    def memory(self):
        """Bytes, by the names of /proc/PID/status."""
        lines = (line.split() for line in self.proc("status").splitlines())
        return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}

    def cpu_s(self):
        fields = self.proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wake_ups(self):
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            for line in self.proc(f"task/{task}/status").splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def wake_ups_a_second(self):
        first, begun = self.wake_ups(), time.monotonic()
        time.sleep(10)
        return (self.wake_ups() - first) / (time.monotonic() - begun)

    def lists(self):
        """How many were completed, as far as the log tells."""
        with open(f"{DIRECTORY}/log", "rb") as log:
            return log.read().count(b": list at revision ")

    def published(self):
        if self.process.poll() is not None:
            with open(f"{DIRECTORY}/log", encoding="utf-8") as log:
                sys.exit(f"scale: the watcher ended: {log.read()[-2000:]}")
        return wait_for(lambda: os.path.exists(TABLE)) - self.begun

    def follows(self):
        """Until it is live; in seconds since it was started."""
        return wait_for(self.lists) - self.begun

    def stop(self, number=signal.SIGTERM):
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait()
        self.log.close()
        return time.monotonic() - begun


def configure(**keys):
    keys = {"endpoints": ENDPOINT, "table": TABLE, "state-directory": f"{DIRECTORY}/state",
            "snapshot-interval": 5, "max-answers": 8, "confirm-loss": 0, **keys}
    with open(f"{DIRECTORY}/conf", "w", encoding="utf-8") as conf:
        conf.writelines(f"{key.replace('_', '-')} = {value}\n" for key, value in keys.items())


def forget():
    for path in TABLE, SNAPSHOT:
        if os.path.exists(path):
            os.unlink(path)


def download():
    """The pages that the watcher reads, to nowhere; in seconds."""
    begun = time.monotonic()
    etcd = fill.connect(ENDPOINT)
    first, revision = fill.b64("/service/"), 0
    while True:
        etcd.request("POST", "/v3/kv/range", f'{{"key":"{first}","range_end":"{fill.b64("/service0")}",'
                     f'"limit":"{PAGE}","revision":"{revision}"}}')
        body = etcd.getresponse().read()
        if b'"more":true' not in body:
            return time.monotonic() - begun
        revision = body[body.index(b'"revision":"') + 12:].split(b'"', 1)[0].decode()
        last = body[body.rindex(b'"key":"') + 7:].split(b'"', 1)[0]
        first = fill.b64(fill.base64.b64decode(last).decode() + "\0")


def etcdctl():
    begun = time.monotonic()
    subprocess.run(["etcdctl", "get", "--prefix", "/service/"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begun


def shared(memory):
    return memory["RssAnon"] + memory["RssShmem"]


def measure_empty(manager):
    watcher = Watcher(manager)
    watcher.published()
    time.sleep(2)
    say("wake-ups a second at rest, of an empty one", "", watcher.wake_ups_a_second(), "2")
    memory = watcher.memory()
    say("resident memory of an empty one", "KiB", memory["VmRSS"] / 1024)
    watcher.stop()
    return memory


def measure_first(manager):
    """Leaves the last round's watcher."""
    for round_ in range(1, ROUNDS + 1):
        forget()
        say("bare download of the same pages", "ns", 1e9 * download(), round_=round_)
        say("etcdctl get --prefix", "ns", 1e9 * etcdctl(), round_=round_)
        watcher = Watcher(manager)
        took = watcher.published()
        say("from start to published table", "ns", 1e9 * took, "1.25 × the download",
            "bare download of the same pages", round_)
        watcher.follows()
        if round_ < ROUNDS:
            watcher.stop(signal.SIGKILL)
    return watcher


def measure_snapshot():
    begun = wait_for(lambda: os.path.exists(SNAPSHOT + ".new"))
    ended = wait_for(lambda: os.path.exists(SNAPSHOT))
    say("the snapshot written", "ns", 1e9 * (ended - begun))
    say("size of the snapshot, each instance", "B", os.path.getsize(SNAPSHOT) / COUNT)


def measure_memory(watcher, empty):
    time.sleep(3)
    memory = watcher.memory()
    say("resident memory, each instance beyond the empty one", "B", (memory["VmRSS"] - empty["VmRSS"]) / COUNT, "350 B")
    say("the same without mapped programs and files", "B", (shared(memory) - shared(empty)) / COUNT)
    say("the same of the table alone", "B", (memory["RssShmem"] - empty["RssShmem"]) / COUNT)
    say("most resident memory so far, each instance", "B", (memory["VmHWM"] - empty["VmRSS"]) / COUNT)
    say("table, each instance", "B", os.path.getsize(TABLE) / COUNT, "128 B")
    say("wake-ups a second at rest", "", watcher.wake_ups_a_second(), "2")


def measure_changes(watcher):
    before, table, cpu = watcher.memory(), os.path.getsize(TABLE), watcher.cpu_s()
    counted = f"{DIRECTORY}/changes"
    begun = time.monotonic()
    load = subprocess.Popen([*DIES_WITH_US, sys.executable, f"{TOP}/tests/bench/change.py", ENDPOINT, str(COUNT),
                             str(PER_SERVICE), str(PER_SECOND), str(CONNECTIONS), counted])
    time.sleep(1)
    seen = subprocess.run([f"{BUILD}/bench/pipeline", "visible", str(20 * SECONDS)],
                          stdout=subprocess.PIPE, check=False)
    time.sleep(max(0, begun + SECONDS - time.monotonic()))
    took, cpu = time.monotonic() - begun, watcher.cpu_s() - cpu
    load.terminate()
    load.wait()
    say("changes a second that etcd took", "", 100 * os.path.getsize(counted) / took, "10000")
    if seen.returncode != 0:
        print("scale: a change took more than 10 s to be seen: no figures of that", file=sys.stderr)
    for line in seen.stdout.decode().splitlines():
        fields = line.split("\t")
        say("meanwhile, " + fields[1], fields[2], float(fields[6]), "50 ms" if fields[1] == "new answer, p99" else "")
    say("processor time of the watcher, each second", "ns", 1e9 * cpu / took)
    say("longest silence of the watcher", "ns", 1e9 * watcher.manager.silence(begun, begun + took))
    time.sleep(12)  # the last snapshot's child is gone
    say("resident memory afterwards, of that before", "%", 100 * watcher.memory()["VmRSS"] / before["VmRSS"])
    say("table file afterwards, of that before", "%", 100 * os.path.getsize(TABLE) / table)


def silent(manager, what, since):
    say(f"longest silence: {what}", "ns", 1e9 * manager.silence(since, time.monotonic()), f"{FRESH_S} s")


def measure_reload(watcher, manager, what, **keys):
    configure(log_level="debug", **keys)  # which tells of each list
    lists, begun = watcher.lists(), time.monotonic()
    watcher.process.send_signal(signal.SIGHUP)
    wait_for(lambda: manager.when("RELOADING=1", begun))
    reloading = manager.when("RELOADING=1", begun)
    wait_for(lambda: manager.when("READY=1", reloading))
    say(f"SIGHUP, {what}", "ns", 1e9 * (manager.when("READY=1", reloading) - begun))
    if "endpoints" in keys:
        say(f"SIGHUP, {what}: until it is live again", "ns", 1e9 * (wait_for(lambda: watcher.lists() > lists) - begun))
    time.sleep(1.5)
    silent(manager, f"SIGHUP, {what}", begun)


def measure_boot(watcher, manager):
    begun = time.monotonic()
    say("SIGTERM, last snapshot included", "ns", 1e9 * watcher.stop())
    os.unlink(TABLE)
    watcher = Watcher(manager)
    say("from start to a table from the snapshot", "ns", 1e9 * watcher.published())
    watcher.follows()
    time.sleep(1.5)
    silent(manager, "stop, boot from the snapshot, list", begun)
    watcher.stop(signal.SIGKILL)
    watcher = Watcher(manager)
    say("killed: from start to live, with the table adopted", "ns", 1e9 * watcher.follows())
    time.sleep(1.5)
    silent(manager, "adopted table, list", watcher.begun)
    watcher.stop()


def main():
    manager = Manager(f"{DIRECTORY}/notify")
    configure()
    forget()
    empty = measure_empty(manager)
    subprocess.run([sys.executable, f"{TOP}/tests/integration/watcher/fill.py", ENDPOINT, str(COUNT),
                    str(PER_SERVICE)], check=True)
    watcher = measure_first(manager)
    measure_snapshot()
    silent(manager, "first list and snapshot", watcher.begun)
    measure_memory(watcher, empty)
    measure_changes(watcher)
    measure_reload(watcher, manager, "other limits for all", max_answers=7)
    measure_reload(watcher, manager, "another way to etcd", max_answers=7,
                   endpoints=ENDPOINT.replace("127.0.0.1", "localhost"))
    measure_boot(watcher, manager)


main()
