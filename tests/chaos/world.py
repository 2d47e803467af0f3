# SPDX-License-Identifier: LGPL-2.1-or-later
"""The world of a chaos run: machines as network namespaces on one bridge.

    n1, n2, n3   an etcd each, 10.77.0.11 ...; TLS and users
    h1, h2       hosts, 10.77.0.21 ...: an etcdsd-watcher, clients, and half of the
                 registrars; each has mounts of its own: /run/etcdsd, a state
                 directory, both small
    (outside)    10.77.0.1: recorder and nemesis

All of it lives in namespaces of the run, and ends with it.  What happens to
processes and paths is written to events.log, with times that are cautious: a
path counts as cut from before the cut until after the mending.
"""
import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import threading
import time

from gateway import Gateway

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = "/run/chaos"
FILES = WORK + "/tls"
MEMBERS, HOSTS = ["n1", "n2", "n3"], ["h1", "h2"]
INSTANCES, VERSIONS = 5, 8
ROOT_PASSWORD = "root's own"


def address_of(node):
    return f"10.77.0.{(10 if node[0] == 'n' else 20) + int(node[1:])}"


def pool(service, instance):
    """The addresses that an instance may have; nobody else ever has them."""
    if instance == 4 and service % 2:
        return [str(ipaddress.ip_address(f"fd00:{service + 1:x}::{instance:x}:{version:x}"))
                for version in range(1, VERSIONS + 1)]
    return [f"10.{100 + service // 250}.{service % 250}.{instance * VERSIONS + version + 1}"
            for version in range(VERSIONS)]


def with_port(address):
    return f"[{address}]:80" if ":" in address else f"{address}:80"


def run(*command, check=True, **options):
    return subprocess.run(command, check=check, stdin=subprocess.DEVNULL, **options)


class Process:
    """A program that is meant to run, except while the nemesis wants it not to."""

    def __init__(self, world, name, node, command, environment=None):
        self.world, self.name, self.node, self.command = world, name, node, command
        self.environment = environment or {}
        self.child = None
        self.down = self.frozen = 0
        self.lives = 0

    def start(self):
        self.lives += 1
        log = open(f"{self.world.directory}/{self.name}.log", "a")
        command = self.command() if callable(self.command) else self.command
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": TOP + "/build", **self.environment}
        self.child = subprocess.Popen(self.world.inside(self.node) + command, stdin=subprocess.DEVNULL,
                                      stdout=log, stderr=log, env=environment)
        log.close()
        self.world.tell("up", process=self.name, node=self.node, pid=self.child.pid)

    def is_up(self):
        return self.child is not None and self.child.poll() is None

    def send(self, number):
        if self.is_up():
            self.child.send_signal(number)

    def end(self, number=signal.SIGKILL, wait=10):
        if not self.is_up():
            return
        self.world.tell("down", process=self.name, by=int(number))
        self.child.send_signal(signal.SIGCONT if number != signal.SIGKILL else number)
        self.child.send_signal(number)
        try:
            self.child.wait(wait)
        except subprocess.TimeoutExpired:
            self.world.fault("does not end", self.name)
            self.child.kill()
            self.child.wait()
        self.child = None

    # What the nemesis does; several faults may want the same.
    def hold_down(self, number=signal.SIGKILL):
        self.down += 1
        self.end(number)

    def let_up(self):
        self.down -= 1
        if self.down == 0 and not self.is_up():
            self.start()

    def freeze(self):
        self.frozen += 1
        if self.frozen == 1 and self.is_up():
            self.world.tell("stop", process=self.name)
            self.send(signal.SIGSTOP)

    def thaw(self):
        self.frozen -= 1
        if self.frozen == 0:
            self.send(signal.SIGCONT)
            self.world.tell("continue", process=self.name)

    def mind(self):
        """One that ended by itself is a fault, and started again."""
        if self.child and self.child.poll() is not None:
            self.world.tell("down", process=self.name, by=0)
            self.world.fault("ended by itself", f"{self.name}: status {self.child.returncode}")
            self.child = None
        if self.child is None and self.down == 0:
            self.start()


class World:
    def __init__(self, directory, seed, services, registrars, pause_ms, token):
        self.directory, self.seed, self.services, self.token = directory, seed, services, token
        self.pause_ms = pause_ms
        self.events = open(directory + "/events.log", "w", buffering=1)
        self.lock = threading.RLock()
        self.keepers = {}  # of namespaces
        self.cuts = {}  # (from, to): how many faults want it
        self.links = {}  # node: the same for its cable
        self.passwords = {"app": "p\"ss:w\\rd", "guest": "guest-0"}
        self.urls = ",".join(f"https://{address_of(node)}:2379" for node in MEMBERS)
        self.members = [Process(self, node, node, self.etcd(node)) for node in MEMBERS]
        self.watchers = [Process(self, "watcher-" + node, node,
                                 [TOP + "/build/etcdsd-watcher", "--config", f"{WORK}/{node}/etcdsd.conf"])
                         for node in HOSTS]
        self.registrars = [Process(self, f"registrar-{i}", HOSTS[i % 2], self.registrar(i, registrars))
                           for i in range(registrars)]
        self.clients = []

    def tell(self, what, **more):
        with self.lock:
            self.events.write(json.dumps(dict(t=time.monotonic(), what=what, **more)) + "\n")

    def fault(self, kind, text):
        self.tell("fault", kind=kind, text=text)

    def inside(self, node):
        pid = self.keepers[node].pid
        return ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt", "--"]

    # ---- building -----------------------------------------------------------

    def etcd(self, node):
        client, peer = f"https://{address_of(node)}:2379", f"http://{address_of(node)}:2380"
        return ["etcd", "--name", node, "--data-dir", f"{WORK}/{node}", "--listen-client-urls", client,
                "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", ",".join(f"{other}=http://{address_of(other)}:2380" for other in MEMBERS),
                "--cert-file", FILES + "/server.crt", "--key-file", FILES + "/server.key",
                "--trusted-ca-file", FILES + "/ca.crt", "--client-cert-auth", "--auth-token", self.token,
                "--auth-token-ttl", "20", "--bcrypt-cost", "4", "--snapshot-count", "5000", "--logger", "zap",
                "--log-outputs", "stderr"]

    def registrar(self, index, count):
        """The command of one, with the password that holds when it is started."""
        places = [(k // INSTANCES, k % INSTANCES) for k in range(index, self.services * INSTANCES, count)]
        members = [f"s{s}/i{i}=" + ",".join(with_port(a) for a in pool(s, i)) for s, i in places]
        process = []

        def command():
            process.append(None)
            tls = [f"ETCDCTL_CACERT={FILES}/ca.crt", f"ETCDCTL_CERT={FILES}/client.crt",
                   f"ETCDCTL_KEY={FILES}/client.key", "ETCDCTL_USER=app",
                   "ETCDCTL_PASSWORD=" + self.passwords["app"], "ETCDCTL_ENDPOINTS=" + self.urls, "ETCDSD_CONF="]
            return ["env"] + tls + [TOP + "/build/obj/tests/chaos/registrar",
                                    f"{self.directory}/wants-{index}.log", str(self.seed * 1000 + index * 100 + len(process)),
                                    str(self.ttl(index)), str(self.pause_ms)] + members

        return command

    @staticmethod
    def ttl(index):
        return 10 if index % 4 == 3 else 5

    def node(self, name, mounts=""):
        keeper = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c",
                                   f"{mounts} ip link set lo up && echo ready && exec sleep infinity"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.keepers[name] = keeper
        if keeper.stdout.readline() != b"ready\n":
            raise SystemExit(f"chaos: no namespace for {name}")
        run("ip", "link", "add", "v-" + name, "type", "veth", "peer", "name", "e0", "netns", str(keeper.pid))
        run("ip", "link", "set", "v-" + name, "master", "br0", "up")
        run(*self.inside(name), "ip", "addr", "add", address_of(name) + "/24", "dev", "e0")
        run(*self.inside(name), "ip", "link", "set", "e0", "up")

    def build(self):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run")
        os.makedirs(FILES)
        os.makedirs("/run/etcdsd")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        run("ip", "addr", "add", "10.77.0.1/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")
        with open(WORK + "/nsswitch.conf", "w") as file:
            file.write("hosts: etcdsd [!UNAVAIL=return] files\n")
        run("mount", "--bind", WORK + "/nsswitch.conf", "/etc/nsswitch.conf")
        run(TOP + "/tests/integration/libsd/certificates.sh", FILES,
            ",".join("IP:" + address_of(node) for node in MEMBERS))
        if self.token.startswith("jwt"):
            run("openssl", "genrsa", "-out", FILES + "/jwt.key", "2048", stderr=subprocess.DEVNULL)
            run("openssl", "rsa", "-in", FILES + "/jwt.key", "-pubout", "-out", FILES + "/jwt.pub",
                stderr=subprocess.DEVNULL)
        for name in MEMBERS:
            os.mkdir(f"{WORK}/{name}", 0o700)
            self.node(name)
        for name in HOSTS:
            for part, size in (("table", "3m"), ("state", "1m")):
                os.makedirs(f"{WORK}/{name}/{part}")
                run("mount", "-t", "tmpfs", "-o", f"mode=755,size={size}", "none", f"{WORK}/{name}/{part}")
            self.node(name, f"mount --bind {WORK}/{name}/table /run/etcdsd &&")
            self.configure(name)

    def configure(self, host):
        """Writes a watcher's configuration; it takes it over on SIGHUP."""
        path = f"{WORK}/{host}/etcdsd.conf"
        with open(path + ".new", "w") as file:
            file.write(f"endpoints = {self.urls}\ncacert = {FILES}/ca.crt\ncert = {FILES}/client.crt\n"
                       f"key = {FILES}/client.key\nuser = guest\npassword = {self.passwords['guest']}\n"
                       f"max-answers = 8\nstate-directory = {WORK}/{host}/state\nsnapshot-interval = 2\n")
        os.replace(path + ".new", path)

    def gateway(self, member, timeout=3.0):
        return Gateway(address_of(MEMBERS[member]), FILES, ROOT_PASSWORD, timeout)

    def start_etcd(self):
        for member in self.members:
            member.start()
        gateway = self.gateway(0)
        deadline = time.monotonic() + 60
        while True:
            try:
                gateway.post("/kv/range", {"key": "AA=="})
                break
            except Exception as error:
                if time.monotonic() > deadline:
                    raise SystemExit(f"chaos: etcd does not start: {error}")
                time.sleep(0.1)
        for role in ("root", "app", "guest"):
            gateway.post("/auth/role/add", {"name": role})
        for role, right in (("app", "READWRITE"), ("guest", "READ")):
            gateway.post("/auth/role/grant", {"name": role, "perm": {
                "permType": right, "key": "L3NlcnZpY2Uv", "range_end": "L3NlcnZpY2Uw"}})
        for user, password in dict(self.passwords, root=ROOT_PASSWORD).items():
            gateway.post("/auth/user/add", {"name": user, "password": password})
            gateway.post("/auth/user/grant", {"user": user, "role": user})
        gateway.post("/auth/enable", {})

    def start_clients(self, names, rates):
        for host in HOSTS:
            for kind, (rate, renew) in enumerate(rates):
                log = f"{self.directory}/answers-{host}-{kind}.log"
                client = Process(self, f"client-{host}-{kind}", host,
                                 [TOP + "/build/obj/tests/chaos/client", log,
                                  str(self.seed + 7 * kind + int(host[1])), str(rate), str(renew)] + names)
                client.start()
                self.clients.append(client)

    # ---- paths --------------------------------------------------------------

    def cut(self, source, target):
        """Nothing goes from source to target any more."""
        self.cuts[source, target] = self.cuts.get((source, target), 0) + 1
        if self.cuts[source, target] == 1:
            self.tell("cut", source=source, target=target)
            run(*self.inside(source), "ip", "route", "add", "blackhole", address_of(target) + "/32")

    def join(self, source, target):
        self.cuts[source, target] -= 1
        if self.cuts[source, target] == 0:
            run(*self.inside(source), "ip", "route", "del", "blackhole", address_of(target) + "/32")
            self.tell("join", source=source, target=target)

    def unplug(self, node):
        self.links[node] = self.links.get(node, 0) + 1
        if self.links[node] == 1:
            for other in MEMBERS + HOSTS:
                self.tell("cut", source=node, target=other)
            run("ip", "link", "set", "v-" + node, "down")

    def plug(self, node):
        self.links[node] -= 1
        if self.links[node] == 0:
            run("ip", "link", "set", "v-" + node, "up")
            for other in MEMBERS + HOSTS:
                self.tell("join", source=node, target=other)

    # ---- disks --------------------------------------------------------------

    def fill_disk(self, host, part):
        self.tell("disk", node=host, full=True)
        try:
            with open(f"{WORK}/{host}/{part}/filler", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            pass

    def free_disk(self, host, part):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{WORK}/{host}/{part}/filler")
        self.tell("disk", node=host, full=False)
