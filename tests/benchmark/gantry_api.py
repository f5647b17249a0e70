"""Gantry's API as a program uses it: one connection kept open for calls, one for the events."""
import hashlib
import http.client
import json
import ssl
import threading
import time
import urllib.parse


def _connect(access):
    """The certificate is gantryd's own: it is known by its fingerprint."""
    address = urllib.parse.urlsplit(access["server"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection(address.hostname, address.port, context=context)
    connection.connect()
    if hashlib.sha256(connection.sock.getpeercert(binary_form=True)).hexdigest() != access["fingerprint"]:
        raise AssertionError("another server answers")
    return connection


class Api:
    """`access`: what gantryd writes into local.json. Must be made in the network namespace gantryd is in. One that does
    not follow the events can only call."""

    def __init__(self, access, follow=True):
        self._access = access
        self._headers = {"Authorization": "Bearer " + access["token"], "Content-Type": "application/json"}
        self._calls = _connect(access)
        self._states = []  # (monotonic time seen, id of a VM or task, state), in order
        self._changed = threading.Condition()
        if not follow:
            return
        self._events = _connect(access)
        self._events.request("GET", "/api/v1/events?kinds=vm,task", headers=self._headers)
        self._stream = self._events.getresponse()
        if self._stream.status != 200:
            raise AssertionError(f"no events: {self._stream.read()}")
        threading.Thread(target=self._follow, daemon=True).start()

    def call(self, method, path, body=None):
        return json.loads(self.fetch(method, path, body))

    def fetch(self, method, path, body=None):
        """The answer's bytes."""
        self._calls.request(method, path, body=None if method == "GET" else json.dumps(body or {}), headers=self._headers)
        answer = self._calls.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {text.decode()}")
        return text

    def change_vm(self, vm_id, verb, state, body=None, seconds=120):
        """POSTs `verb` and answers when it was sent and when `state` was seen, in seconds of the monotonic clock."""
        sent, seen, _ = self._post(f"/api/v1/vms/{vm_id}/{verb}", body)
        return sent, self._wait(vm_id, [state], seen, seconds)[0]

    def complete_task(self, path, body=None, seconds=120):
        """POSTs what is to succeed, and answers when it was sent and when it had succeeded."""
        sent, seen, answer = self._post(path, body)
        at, state = self._wait(answer["task"]["meta"]["id"], ["SUCCEEDED", "FAILED", "CANCELLED"], seen, seconds)
        if state != "SUCCEEDED":
            raise AssertionError(f"{path}: {state}: {self.call('GET', '/api/v1/tasks/' + answer['task']['meta']['id'])}")
        return sent, at

    def _post(self, path, body):
        """When it was sent, how many states were seen before, and its answer."""
        self._keep_connected()
        with self._changed:
            seen = len(self._states)
        return time.monotonic(), seen, self.call("POST", path, body)

    def _wait(self, what, states, seen, seconds):
        """When one of these states was first seen of it after so many of all, and which."""
        with self._changed:
            def reached():
                return next(((at, now) for at, whose, now in self._states[seen:] if whose == what and now in states), None)
            if not self._changed.wait_for(reached, seconds):
                raise AssertionError(f"{what} is not {' or '.join(states)} after {seconds} s")
            return reached()

    def _keep_connected(self):
        """The server ends a connection that is silent for long."""
        try:
            self.call("GET", "/api/v1/version")
        except (OSError, http.client.HTTPException):
            self._calls.close()
            self._calls = _connect(self._access)
            self.call("GET", "/api/v1/version")

    def _follow(self):
        while line := self._stream.readline():
            if not line.startswith(b"data: "):
                continue
            at = time.monotonic()
            event = json.loads(line[6:])
            state = event.get("task", {}).get("state") or event.get("vm", {}).get("status", {}).get("state")
            with self._changed:
                self._states.append((at, event["id"], state))
                self._changed.notify_all()
