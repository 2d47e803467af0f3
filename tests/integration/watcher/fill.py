#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Puts many instances into etcd: fill.py ENDPOINT COUNT PER_SERVICE [ROUND [PER_TRANSACTION]].

Instance i of service s is /service/s<s>/i<i>; another ROUND gives other ports.
Up to 128 keys, etcd's limit, go into one transaction.
"""
import base64
import http.client
import json
import sys
from urllib.parse import urlsplit


def b64(text):
    return base64.b64encode(text.encode()).decode()


def connect(endpoint):
    return http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=30)


def put_all(etcd, numbers, per_service, round_):
    """Instances by their numbers, in one transaction."""
    puts = []
    for i in numbers:
        key = f"/service/s{i // per_service}/i{i % per_service}"
        value = f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}:{1000 + round_}"
        puts.append({"request_put": {"key": b64(key), "value": b64(value)}})
    etcd.request("POST", "/v3/kv/txn", json.dumps({"success": puts}))
    answer = etcd.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"etcd: {answer.status} {body[:200]!r}")


def main():
    endpoint, count, per_service = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    round_ = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    chunk = int(sys.argv[5]) if len(sys.argv) > 5 else 128
    etcd = connect(endpoint)
    for first in range(0, count, chunk):
        put_all(etcd, range(first, min(first + chunk, count)), per_service, round_)


if __name__ == "__main__":
    main()
