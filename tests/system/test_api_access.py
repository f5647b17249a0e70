"""Who may use the API, and how it proves who it is."""
import re
import unittest

from api import Api, ApiChecks, NotPinned
from lab import CommandFailed, Lab, run, wait_until


class AccessTest(ApiChecks, unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        self.lab.start()
        self.api = Api(self.lab)
        self.addCleanup(self.api.close)

    def test_no_credentials_wrong_ones_and_the_anonymous_routes(self):
        nobody = Api(self.lab, token="")
        answer = nobody.get("/api/v1/vms")
        self.refused(answer, 401, "no_credentials")
        self.assertIn("Bearer", answer.headers["WWW-Authenticate"])
        self.refused(Api(self.lab, token="x" * 64).get("/api/v1/vms"), 401)
        self.assertEqual(nobody.get("/api/v1/version").status, 200)
        plain = self.api.plain()
        with plain:
            plain.sendall(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"tls_needed", plain.makefile("rb").read())

    def login(self, password, user="admin"):
        return Api(self.lab, token="").post("/api/v1/sessions", {"user": user, "password": password})

    def session(self, password):
        answer = self.login(password)
        self.assertEqual(answer.status, 200, answer.body)
        return Api(self.lab, token=answer.json()["token"])

    def test_passwords_sessions_and_tokens(self):
        log = (self.lab.directory / "gantryd.log").read_text()
        (first,) = re.findall(r"with the password (\S+)", log)
        self.refused(self.login(first + "x"), 401, "wrong_login")
        self.refused(self.login(first, "nobody"), 401, "wrong_login")
        one, two = self.session(first), self.session(first)

        made = one.post("/api/v1/tokens", {"name": "ci", "lifetimeDays": 1})
        self.assertEqual(made.status, 200, made.body)
        token = Api(self.lab, token=made.json()["token"])
        self.assertEqual(token.get("/api/v1/vms").status, 200)
        listed = one.get("/api/v1/tokens").json()["items"]
        self.assertEqual([t["meta"]["name"] for t in listed], ["ci"])
        self.assertFalse(any(t["tokenHash"] for t in listed), listed)
        self.refused(one.post("/api/v1/tokens", {"name": "ci"}), 409)
        self.assertEqual(one.send("DELETE", "/api/v1/tokens/ci").status, 204)
        self.refused(token.get("/api/v1/vms"), 401)

        change = "/api/v1/users/current/password"
        self.refused(one.post(change, {"currentPassword": "wrong", "newPassword": "long enough 1"}), 403)
        self.refused(one.post(change, {"currentPassword": first, "newPassword": "short"}), 400, "weak_password")
        self.assertEqual(one.post(change, {"currentPassword": first, "newPassword": "long enough 1"}).status, 204)
        self.assertEqual(one.get("/api/v1/vms").status, 200)
        self.refused(two.get("/api/v1/vms"), 401)
        self.refused(self.login(first), 401)
        three = self.session("long enough 1")
        self.assertEqual(three.send("DELETE", "/api/v1/sessions/current").status, 204)
        self.refused(three.get("/api/v1/vms"), 401)
        # Nothing of it is in the log.
        self.assertNotIn("long enough 1", (self.lab.directory / "gantryd.log").read_text())

    def test_a_browser_has_its_session_in_a_cookie_for_the_own_page_alone(self):
        (first,) = re.findall(r"with the password (\S+)", (self.lab.directory / "gantryd.log").read_text())
        nobody = Api(self.lab, token="")
        wish = {"user": "admin", "password": first, "cookie": True}
        self.refused(nobody.send("POST", "/api/v1/sessions", [("Origin", "https://evil.example")], wish), 403, "foreign_origin")
        own = [("Sec-Fetch-Site", "same-origin"), ("Origin", "https://gantry")]
        opened = nobody.send("POST", "/api/v1/sessions", own, wish)
        self.assertEqual(opened.status, 200, opened.body)
        self.assertEqual(opened.json()["token"], "")
        cookie = [("Cookie", opened.headers["Set-Cookie"].split(";")[0])]

        current = nobody.send("GET", "/api/v1/sessions/current", own + cookie).json()
        self.assertEqual((current["user"], current["kind"]), ("admin", "SESSION"))
        network = {"name": "lan", "spec": {"kind": "USER"}}
        foreign = [("Sec-Fetch-Site", "same-site"), ("Origin", "https://gantry:8444")]
        self.refused(nobody.send("POST", "/api/v1/networks", foreign + cookie, network), 403, "foreign_origin")
        self.refused(nobody.send("POST", "/api/v1/networks", cookie, network), 403, "foreign_origin")
        self.refused(nobody.send("GET", "/api/v1/events", cookie), 403, "foreign_origin")
        self.assertEqual(nobody.send("POST", "/api/v1/networks", own + cookie, network).status, 202)
        closed = nobody.send("DELETE", "/api/v1/sessions/current", own + cookie)
        self.assertEqual(closed.status, 204)
        self.assertIn("Max-Age=0", closed.headers["Set-Cookie"])
        self.refused(nobody.send("GET", "/api/v1/vms", own + cookie), 401)

    def test_the_audit_outlives_a_crash_and_shows_what_was_changed_in_it(self):
        lab = self.lab
        lab.gantry("user", "create", "vera", "--role", "viewer", input_text="first password\n")
        vera = Api(lab, token=self.login("first password", "vera").json()["token"])
        self.refused(vera.post("/api/v1/vms/web/start", {}), 403, "role_needed")
        self.refused(self.login("wrong", "vera"), 401, "wrong_login")
        lab.kill_daemon()
        lab.start()
        entries = lab.json("audit", "list")["items"]
        kept = [(e["user"], e["action"], e["status"]) for e in entries]
        for wanted in (("local-root", "CreateUser", 200), ("vera", "StartVm", 403), ("", "Login", 401), ("vera", "Login", 200)):
            self.assertIn(wanted, kept)
        self.assertEqual(len(lab.json("audit", "list", "--user", "vera", "--refused")["items"]), 1)
        lab.gantry("audit", "check")
        path = lab.state / "audit/audit.log"
        text = path.read_text()
        self.assertNotIn("first password", text)
        path.write_text(text.replace('"user":"vera"', '"user":"adam"'))
        with self.assertRaises(CommandFailed):
            lab.gantry("audit", "check")

    def test_roles_hold_from_the_next_call_on(self):
        lab = self.lab
        lab.gantry("group", "create", "night-shift", "--role", "operator")
        lab.gantry("user", "create", "vera", "--role", "viewer", input_text="first password\n")
        opened = self.login("first password", "vera")
        self.assertEqual(opened.status, 200, opened.body)
        vera = Api(lab, token=opened.json()["token"])
        self.assertEqual(vera.get("/api/v1/vms").status, 200)
        self.refused(vera.post("/api/v1/networks", {"name": "lan", "spec": {"kind": "USER"}}), 403, "role_needed")
        self.refused(vera.post("/api/v1/volumes", {"name": "data", "spec": {"capacityBytes": "1048576"}}), 403, "role_needed")
        self.refused(vera.get("/api/v1/users"), 403, "role_needed")

        lab.gantry("user", "set", "vera", "--group", "night-shift")
        self.assertEqual(vera.get("/api/v1/sessions/current").json()["role"], "OPERATOR")
        made = vera.post("/api/v1/volumes", {"name": "data", "spec": {"capacityBytes": "1048576"}})
        self.assertEqual(made.status, 202, made.body)
        self.refused(vera.post("/api/v1/networks", {"name": "lan", "spec": {"kind": "USER"}}), 403, "role_needed")
        self.assertIn("night-shift", lab.gantry("user", "list"))

        token = Api(lab, token=vera.post("/api/v1/tokens", {"name": "ci"}).json()["token"])
        self.assertEqual(token.get("/api/v1/volumes/data").status, 200)
        # It holds over a restart, too.
        lab.stop_daemon()
        lab.start()
        token, vera = Api(lab, token=token.token), Api(lab, token=vera.token)
        self.assertEqual(token.get("/api/v1/volumes/data").status, 200)
        lab.gantry("user", "delete", "vera")
        self.refused(token.get("/api/v1/volumes/data"), 401)
        self.refused(vera.get("/api/v1/volumes/data"), 401)
        lab.gantry("user", "create", "vera", "--role", "administrator", input_text="first password\n")
        self.refused(token.get("/api/v1/volumes/data"), 401)

    def test_root_sets_a_lost_password_and_plans_change_nothing(self):
        lab = self.lab
        (first,) = re.findall(r"with the password (\S+)", (lab.directory / "gantryd.log").read_text())
        signed_in = self.session(first)
        lab.gantry("password", "--user", "admin", "--dry-run", input_text="from root 1\n")
        self.assertEqual(signed_in.get("/api/v1/vms").status, 200)
        lab.gantry("password", "--user", "admin", input_text="from root 1\n")
        self.refused(signed_in.get("/api/v1/vms"), 401)
        self.refused(self.login(first), 401)
        self.session("from root 1")
        with self.assertRaises(CommandFailed):
            lab.gantry("password", "--user", "nobody", input_text="from root 1\n")
        self.assertIn("make API token ci", lab.gantry("token", "create", "ci", "--dry-run"))
        self.assertEqual(lab.json("token", "list").get("items"), [])
        lab.gantry("token", "create", "ci")
        self.assertIn("revoke API token ci", lab.gantry("token", "delete", "ci", "--dry-run"))
        self.assertEqual(len(lab.json("token", "list")["items"]), 1)

    def test_another_certificate_is_taken_without_a_restart(self):
        lab = self.lab
        self.assertEqual(self.api.get("/api/v1/vms").status, 200)
        new = lab.directory / "new"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=replaced", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{new}.key", "-out", f"{new}.crt")
        run("mv", f"{new}.key", lab.state / "tls/server.key")
        run("mv", f"{new}.crt", lab.state / "tls/server.crt")

        def changed():
            try:
                self.api.connect().close()
                return False
            except NotPinned:
                return True
        wait_until("new connections show the new certificate", changed, 30)
        self.assertEqual(self.api.get("/api/v1/vms").status, 200)  # an open connection goes on
        wait_until("the command line of this machine trusts it", self.command_line_works, 30)

    def command_line_works(self):
        try:
            return self.lab.gantry("host", "list")
        except CommandFailed:
            return None


if __name__ == "__main__":
    unittest.main()
