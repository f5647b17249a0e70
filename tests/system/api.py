"""Plain HTTPS to a lab's gantryd: every byte of a request can be chosen, and the certificate is pinned."""
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import socket
import ssl

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def network_of(lab):
    """This thread makes its sockets in the lab's network namespace; they stay there."""
    def enter(path):
        with open(path) as file:
            if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    own = f"/proc/self/task/{_gettid()}/ns/net"
    with open(own) as before:
        enter(f"/run/netns/{lab.name}")
        try:
            yield
        finally:
            if _libc.setns(before.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


def _gettid():
    return int(os.readlink("/proc/thread-self").rsplit("/", 1)[1])


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    def json(self):
        return json.loads(self.body)


class NotPinned(Exception):
    pass


class Api:
    """One keep-alive connection at a time. Not for use by several threads."""

    def __init__(self, lab, token=None, local=None):
        self.lab = lab
        self.local = local or json.loads((lab.run_directory / "local.json").read_text())
        self.token = self.local["token"] if token is None else token
        self.tls = None

    def __del__(self):
        self.close()

    def plain(self):
        host, port = self.local["server"].removeprefix("https://").rsplit(":", 1)
        with network_of(self.lab):
            return socket.create_connection((host, int(port)), timeout=60)

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # pinned instead
        tls = context.wrap_socket(self.plain())
        shown = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
        if shown != self.local["fingerprint"]:
            tls.close()
            raise NotPinned(f"the server shows {shown}, local.json says {self.local['fingerprint']}")
        return tls

    def close(self):
        if self.tls:
            self.tls.close()
        self.tls = None

    def request_bytes(self, method, target, headers, body):
        lines = [f"{method} {target} HTTP/1.1", "Host: gantry"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + body

    def send(self, method, target, headers=(), body=b""):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        return self.send_bytes(self.request_bytes(method, target, headers, body), method)

    def send_bytes(self, data, method="GET"):
        reused = self.tls is not None
        try:
            return self._exchange(data, method)
        except (OSError, http.client.HTTPException):
            self.close()
            if not reused:
                raise
        return self._exchange(data, method)  # it had closed the idle connection

    def _exchange(self, data, method):
        self.tls = self.tls or self.connect()
        try:
            self.tls.sendall(data)
        except OSError:
            pass  # refused before it was all sent: the answer is there
        response = http.client.HTTPResponse(self.tls, method=method)
        response.begin()
        if response.headers.get_content_type() == "text/event-stream":
            self.close()
            return Answer(response, b"")
        answer = Answer(response, response.read())
        if response.will_close:
            self.close()
        return answer

    def get(self, target, headers=()):
        return self.send("GET", target, headers)

    def post(self, target, body, headers=()):
        return self.send("POST", target, headers, body)


class ApiChecks:
    """For test cases."""

    def refused(self, answer, status, code=None):
        """Answered with that status, and with a reason that program and person understand."""
        self.assertEqual(answer.status, status, answer.body)
        problem = answer.json()
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["code"] and problem["summary"], problem)
        if code:
            self.assertEqual(problem["code"], code)


class Events:
    """Server-sent events from after a revision, as a client that loses nothing reads them: what came with no id yet is
    not taken as read."""

    def __init__(self, api, from_revision, kinds=""):
        self.last = from_revision
        self.seen = []
        self._pending = []
        self._tls = api.connect()
        query = f"?kinds={kinds}" if kinds else ""
        self._tls.sendall(api.request_bytes("GET", "/api/v1/events" + query,
                                            [("Last-Event-ID", str(from_revision))] if from_revision else [], b""))
        response = http.client.HTTPResponse(self._tls, method="GET")
        response.begin()
        if response.status != 200:
            raise AssertionError(f"events answered {response.status}")
        self._lines = response

    def read_until(self, condition):
        """Reads until condition(events so far); False when the connection ended before."""
        name, data, number = "", "", None
        while not condition(self.seen):
            try:
                line = self._lines.readline()
            except OSError:
                return False
            if not line:
                return False
            field, _, value = line.decode().rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data += value
            elif field == "id":
                number = int(value)
            elif line in (b"\n", b"\r\n"):
                if data:
                    self._pending.append((name, json.loads(data)))
                if number is not None:
                    self.last = number
                    self.seen += self._pending
                    self._pending = []
                name, data, number = "", "", None
        return True

    def close(self):
        self._lines.close()
        self._tls.close()
