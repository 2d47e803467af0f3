#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stands in for a server of which only the first words matter.

    listener.py ssh|postgres|redis ADDRESS PORT

Answers as such a server begins to, and prints a line for each client: who it
said to be.  Ends when it is killed.
"""
import socket
import struct
import sys


def ssh(client):
    client.sendall(b"SSH-2.0-listener\r\n")
    print(client.recv(255).split(b"\r\n")[0].decode(), flush=True)


def postgres(client):
    # PostgreSQL, "Message Formats": TLS may be asked for first, and is refused;
    # then the start-up message, which is answered with an error's text.
    message = client.recv(1024)
    while message[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):
        client.sendall(b"N")
        message = client.recv(1024)
    fields = message[8:].split(b"\0")
    print("user", fields[fields.index(b"user") + 1].decode(), flush=True)
    text = b"SFATAL\0C28000\0MI am a listener\0\0"
    client.sendall(b"E" + struct.pack(">i", len(text) + 4) + text)


def redis(client):
    while words := client.recv(1024):
        print(words.decode().replace("\r\n", " "), flush=True)
        client.sendall(b"+PONG\r\n" if b"PING" in words.upper() else b"-ERR only PING\r\n")


kind, address, port = sys.argv[1:]
server = socket.create_server((address, int(port)))
while True:
    client, _ = server.accept()
    with client:
        try:
            globals()[kind](client)
        except (OSError, ValueError, IndexError) as error:
            print(error, flush=True)
