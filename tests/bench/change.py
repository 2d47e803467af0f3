"""Changes instances that fill.py made, at a steady rate, until it is ended.

SPDX-License-Identifier: LGPL-2.1-or-later

    change.py ENDPOINT COUNT PER_SERVICE PER_SECOND CONNECTIONS FILE

Each connection is a process that sends transactions of 100 puts: each put is the
change of another instance's port, so the watcher sees 100 events for each.
FILE counts what etcd has taken, a byte for each 100 changes.  Who falls behind
does not hurry afterwards.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../integration/watcher"))
import fill  # pylint: disable=wrong-import-position

AT_ONCE = 100


def change(endpoint, count, per_service, per_second, path):
    etcd = fill.connect(endpoint)
    done = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    due = time.monotonic()
    round_ = 0
    while os.getppid() == parent:
        round_ = round_ % 60000 + 1
        fill.put_all(etcd, random.sample(range(count), AT_ONCE), per_service, round_)
        os.write(done, b".")
        due = max(due + AT_ONCE / per_second, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


endpoint_, count_, per_service_, per_second_, connections, path_ = sys.argv[1:]
parent = os.getpid()
for number in range(int(connections)):
    if os.fork() == 0:
        change(endpoint_, int(count_), int(per_service_), int(per_second_) / int(connections), path_)
        os._exit(0)
while True:
    time.sleep(3600)
