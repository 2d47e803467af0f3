"""A client under load: asks for names all the time until a file appears.

SPDX-License-Identifier: LGPL-2.1-or-later

    ask.py FILE NAME...

Ends with 1 if any name was not resolved any time, and says which and how.
"""
import ctypes
import os
import socket
import sys

# What /etc/nsswitch.conf would say, for this process alone.
ctypes.CDLL(None).__nss_configure_lookup(b"hosts", b"etcdsd")
asked = missed = 0
while not os.path.exists(sys.argv[1]):
    for name in sys.argv[2:]:
        asked += 1
        try:
            socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            missed += 1
            print(f"{name}: {error.strerror} (question {asked})", flush=True)
print(f"asked {asked}, missed {missed}", flush=True)
sys.exit(missed > 0)
