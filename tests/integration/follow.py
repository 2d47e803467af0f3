"""A client that runs for long: reads a name per line, answers with its addresses.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import ctypes
import socket
import sys

# What /etc/nsswitch.conf would say, for this process alone.
ctypes.CDLL(None).__nss_configure_lookup(b"hosts", b"etcdsd")
for line in sys.stdin:
    try:
        found = socket.getaddrinfo(line.strip(), None, type=socket.SOCK_STREAM)
        print(*sorted({entry[4][0] for entry in found}), flush=True)
    except socket.gaierror as error:
        print(error.strerror, flush=True)
