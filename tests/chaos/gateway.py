# SPDX-License-Identifier: LGPL-2.1-or-later
"""etcd's JSON gateway as the chaos run itself talks to it.

Nothing of libsd is in here: what records the history must not share the faults
of what is judged by it.
"""
import base64
import http.client
import json
import ssl
import threading


def b64(text):
    return base64.b64encode(text.encode()).decode()


def text_of(encoded):
    return base64.b64decode(encoded).decode("utf-8", "replace") if encoded else ""


# Without a token one is whom the gateway's own certificate names: nobody.
NOT_LOGGED_IN = ("invalid auth token", "revision of auth store is old", "user name is empty", "permission denied")


class Refused(Exception):
    """etcd answered, and what it said is an error."""


class Gateway:
    """One member.  Not for several threads at once."""

    def __init__(self, address, files, password, timeout=2.0):
        self.address, self.password, self.timeout = address, password, timeout
        self.tls = ssl.create_default_context(cafile=files + "/ca.crt")
        self.tls.load_cert_chain(files + "/client.crt", files + "/client.key")
        self.connection = None
        self.token = None
        self.lock = threading.Lock()

    def connect(self):
        connection = http.client.HTTPSConnection(self.address, 2379, timeout=self.timeout, context=self.tls)
        connection.connect()
        return connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def once(self, path, body):
        headers = {"Authorization": self.token} if self.token else {}
        try:
            if not self.connection:
                self.connection = self.connect()
            self.connection.request("POST", "/v3" + path, json.dumps(body), headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.status != 200:
            raise Refused(f"{answer.status} {text.decode('utf-8', 'replace')[:200]}")
        return json.loads(text)

    def login(self):
        self.token = None
        self.token = self.once("/auth/authenticate", {"name": "root", "password": self.password})["token"]

    def post(self, path, body):
        """The answer; Refused, OSError or HTTPException."""
        with self.lock:
            try:
                return self.once(path, body)
            except Refused as error:
                if not any(word in str(error) for word in NOT_LOGGED_IN):
                    raise
            self.login()
            return self.once(path, body)

    def stream(self, path, body):
        """Yields the lines of an answer that does not end; OSError when nothing
        comes for the timeout."""
        self.login()
        connection = self.connect()
        try:
            connection.request("POST", "/v3" + path, json.dumps(body), {"Authorization": self.token})
            answer = connection.getresponse()
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()
