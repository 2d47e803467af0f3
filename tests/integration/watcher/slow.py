"""A slow way to etcd: slow.py PORT TARGET-PORT BYTES-PER-SECOND, on loopback.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import socket
import sys
import threading
import time

port, target, rate = (int(text) for text in sys.argv[1:])


def carry(source, sink, at_once, pause):
    try:
        while data := source.recv(at_once):
            sink.sendall(data)
            time.sleep(pause)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


server = socket.create_server(("127.0.0.1", port))
while True:
    client, _ = server.accept()
    etcd = socket.create_connection(("127.0.0.1", target))
    threading.Thread(target=carry, args=(client, etcd, 1 << 16, 0), daemon=True).start()
    threading.Thread(target=carry, args=(etcd, client, rate // 20, 1 / 20), daemon=True).start()
