"""Kills a watcher again and again while services change and clients ask.

SPDX-License-Identifier: LGPL-2.1-or-later

    killed.py ENDPOINT KILLS SEED WATCHER ARG...

Each state of a service has a number, and each address of that state bears it:
10.SERVICE.NUMBER (two bytes).  So one answer tells which state it is of, whether
it is whole, and whether it may be: not younger than what was sent to etcd, not
older than what this process was told before.  States of all keys of a service
are written in one transaction.  Every fifth state of the services that come and
go has no instance.
"""
import atexit
import base64
import ctypes
import http.client
import json
import mmap
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

SERVICES = 6
COMING_AND_GOING = (4, 5)
INSTANCES = 3
CLIENTS = 3
ENOUGH = 200  # changes, in which a run must have seen something
BULK = 100  # services that come at once, to make the table grow


class Sent:
    """The number of the last state sent to etcd, shared by all processes.

    Each is a word that is stored at once; struct.pack_into() would write a 0
    first, which others can read."""

    def __init__(self):
        self.numbers = (ctypes.c_uint64 * SERVICES).from_buffer(mmap.mmap(-1, 4096))

    def get(self, service):
        return self.numbers[service]

    def set(self, service, number):
        self.numbers[service] = number


def count_in(service, number):
    if service in COMING_AND_GOING and number % 5 == 4:
        return 0
    return 1 + number % INSTANCES


def address(service, number, instance):
    return f"10.{service * 8 + instance}.{number >> 8 & 255}.{number & 255}"


def state(service, number):
    return {address(service, number, i) for i in range(count_in(service, number))}


# ---- etcd -----------------------------------------------------------------


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Etcd:
    def __init__(self, endpoint):
        self.connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)

    def change(self, puts, deletes):
        operations = [{"request_put": {"key": b64(k), "value": b64(v)}} for k, v in puts]
        operations += [{"request_delete_range": {"key": b64(k)}} for k in deletes]
        self.connection.request("POST", "/v3/kv/txn", json.dumps({"success": operations}))
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"etcd: {answer.status} {body[:200]!r}")


def send(etcd, sent, service, number):
    count = count_in(service, number)
    keys = [f"/service/s{service}/i{i}" for i in range(INSTANCES)]
    sent.set(service, number)
    etcd.change(
        [(keys[i], address(service, number, i) + ":80") for i in range(count)], keys[count:]
    )


def change_all_the_time(endpoint, sent, seed, end):
    etcd, dice, bulk = Etcd(endpoint), random.Random(seed), 0
    while not end.is_set():
        service = dice.randrange(SERVICES)
        send(etcd, sent, service, sent.get(service) + 1)
        if dice.randrange(40) == 0:
            names = [f"/service/bulk{bulk % 8}-{i}/i" for i in range(BULK)]
            etcd.change([], names) if bulk & 8 else etcd.change([(n, "10.99.0.1:80") for n in names], [])
            bulk += 1
        time.sleep(dice.random() * 0.004)


# ---- clients --------------------------------------------------------------


def ask(name):
    """The addresses; an empty set: there is no such name."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return set()
        raise
    return {entry[4][0] for entry in found}


def number_of(service, addresses, before, last):
    """Which of the states from `before` to `last` the answer is; None: of none."""
    for number in range(before, last + 1):
        if state(service, number) == addresses:
            return number
    return None


def check(sent, service, before):
    addresses = ask(f"s{service}.service.etcd")
    last = sent.get(service)
    number = number_of(service, addresses, before, last)
    if number is None:
        raise AssertionError(
            f"s{service}: {sorted(addresses) or 'no such name'} is no state from {before} to {last}"
        )
    return number


def ask_all_the_time(sent, seed, end, results):
    dice, known, asked, moved = random.Random(seed), [1] * SERVICES, 0, 0
    try:
        while not end.is_set():
            service = dice.randrange(SERVICES)
            number = check(sent, service, known[service])
            asked, moved = asked + 1, moved + (number != known[service])
            known[service] = number
            if ask("nobody.service.etcd"):
                raise AssertionError("nobody has addresses")
        results.put((asked, moved, None))
    except (AssertionError, socket.gaierror) as error:
        results.put((asked, moved, f"client {os.getpid()}: {error}"))


def first_questions(sent, seed, end, results):
    """Each from a process of its own, which has to find the table first."""
    dice, asked = random.Random(seed), 0
    while not end.is_set():
        service, asked = dice.randrange(SERVICES), asked + 1
        child = os.fork()
        if child == 0:
            try:
                check(sent, service, 1)
                os._exit(0)
            except (AssertionError, socket.gaierror) as error:
                print(f"new process: {error}", flush=True)
                os._exit(1)
        if os.waitpid(child, 0)[1] != 0:
            results.put((asked, 0, "a new process got a wrong answer"))
            return
        time.sleep(0.005)
    results.put((asked, 0, None))


# ---- the watcher ----------------------------------------------------------


def start(command):
    """It ends with this process, whatever that one's end is."""
    watcher = subprocess.Popen(command)
    atexit.register(watcher.kill)
    return watcher


def wait_for(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not after {seconds} s")
        time.sleep(0.005)


def has_all(sent):
    try:
        return all(ask(f"s{s}.service.etcd") == state(s, sent.get(s)) for s in range(SERVICES))
    except socket.gaierror:
        return False


def answers_first(command, sent):
    """Asked by a child: this process must not map the table before its children do."""
    child = os.fork()
    if child == 0:
        try:
            wait_for("the first table", 30, lambda: has_all(sent))
            os._exit(0)
        except AssertionError:
            os._exit(1)
    watcher = start(command)
    if os.waitpid(child, 0)[1] != 0:
        raise AssertionError("the first table did not come")
    return watcher


def changes_sent(sent):
    return sum(sent.get(s) for s in range(SERVICES))


def kill_often(command, watcher, kills, dice, sent):
    """At any moment: most often while it starts, adopts and lists.  On a busy
    machine more often, until enough has changed meanwhile."""
    deadline = time.monotonic() + 30 + kills
    while kills > 0 or (changes_sent(sent) < ENOUGH and time.monotonic() < deadline):
        kills -= 1
        time.sleep(dice.choice((0.01, 0.05, 0.1, 0.5)) * dice.random())
        watcher.send_signal(signal.SIGKILL)
        watcher.wait()
        watcher = start(command)
        if dice.randrange(4) == 0:
            time.sleep(dice.random() * 0.4)
    return watcher


def main():
    endpoint, kills, seed, command = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    # What /etc/nsswitch.conf would say, for these processes alone.
    ctypes.CDLL(None).__nss_configure_lookup(b"hosts", b"etcdsd")
    fork, sent = multiprocessing.get_context("fork"), Sent()
    end, results, dice = fork.Event(), fork.Queue(), random.Random(seed)
    etcd = Etcd(endpoint)
    for service in range(SERVICES):
        send(etcd, sent, service, 1)
    watcher = answers_first(command, sent)
    clients = [
        fork.Process(target=ask_all_the_time, args=(sent, seed + i, end, results))
        for i in range(CLIENTS)
    ]
    clients.append(fork.Process(target=first_questions, args=(sent, seed, end, results)))
    changer = fork.Process(target=change_all_the_time, args=(endpoint, sent, seed, end))
    failures = []
    for process in clients + [changer]:
        process.start()
    try:
        watcher = kill_often(command, watcher, kills, dice, sent)
    finally:
        end.set()
        told = [results.get(timeout=60) for _ in clients]
        for process in clients + [changer]:
            process.join(60)
    failures += [why for _, _, why in told if why]
    try:
        wait_for("the last state", 30, lambda: has_all(sent))
    except AssertionError as error:
        failures.append(str(error))
    watcher.terminate()
    if watcher.wait(30) != 0:
        failures.append(f"the last watcher ended with {watcher.returncode}")
    asked, moved = sum(t[0] for t in told), sum(t[1] for t in told)
    changes = changes_sent(sent)
    print(f"# seed {seed}: {kills} kills, {changes} changes, {asked} questions, {moved} of them news")
    if changes < ENOUGH or asked < ENOUGH or moved < kills:
        failures.append("that is not much of a test")
    for failure in failures:
        print(f"# {failure}")
    sys.exit(len(failures) > 0)


main()
