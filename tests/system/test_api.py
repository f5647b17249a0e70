"""What the API promises a client: one change for one key, no lost update, nothing done by a rehearsal or left by a
cancelled task."""
import concurrent.futures
import unittest
import uuid

from api import Api, ApiChecks
from lab import BUILD, CommandFailed, Lab, run, wait_until

LISTS = ("vms", "volumes", "pools", "images", "networks", "security-groups", "rules", "tasks")


class ApiTest(ApiChecks, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(["--link-listen", "127.0.0.1", "--link-port", "0"])
        cls.addClassCleanup(cls.lab.close)
        cls.lab.start()
        cls.lab.import_test_guest()

    def setUp(self):
        self.api = Api(self.lab)
        self.addCleanup(self.api.close)

    def records(self, kind):
        answer = self.api.get(f"/api/v1/{kind}")
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["items"]

    def ended(self, task_id):
        def look():
            task = self.api.get(f"/api/v1/tasks/{task_id}").json()
            return task if task["state"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None
        return wait_until(f"task {task_id} ends", look)

    def stopped_vm(self, name):
        return {"name": name, "spec": {"image": "tiny", "cpus": 1, "memoryMib": 64, "power": "STOPPED",
                                       "nics": [{"network": "none"}]}}

    def volume(self, name, size=1 << 20):
        return {"name": name, "spec": {"capacityBytes": str(size)}}

    def join_another(self, name):
        """A host that has joined and never connects."""
        token = self.lab.json("host", "token")["token"]
        run(*self.lab.enter, BUILD / "src/app/gantryd", "--state-dir", self.lab.directory / name, "--host-name", name,
            "join", token)

    def test_one_key_makes_one_vm(self):
        key = [("Idempotency-Key", uuid.uuid4().hex)]
        answers = [self.api.post("/api/v1/vms", self.stopped_vm("once"), key) for _ in range(3)]
        self.assertEqual([a.status for a in answers], [202] * 3, [a.body for a in answers])
        self.assertEqual(len({a.json()["task"]["meta"]["id"] for a in answers}), 1)
        self.assertEqual([v["meta"]["name"] for v in self.records("vms")].count("once"), 1)
        self.refused(self.api.post("/api/v1/vms", self.stopped_vm("other"), key), 409, "idempotency_key_reused")
        # Another route is another request too, and a daemon killed meanwhile remembers.
        self.refused(self.api.post("/api/v1/vms/once/start", {}, key), 409, "idempotency_key_reused")
        self.ended(answers[0].json()["task"]["meta"]["id"])
        self.lab.kill_daemon()
        self.lab.start()
        again = Api(self.lab).post("/api/v1/vms", self.stopped_vm("once"), key)
        self.assertEqual(again.json()["task"]["meta"]["id"], answers[0].json()["task"]["meta"]["id"])
        self.lab.gantry("delete", "once", "--yes")

    def test_two_launches_of_one_name_have_one_winner(self):
        apis = [Api(self.lab) for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(len(apis)) as threads:
            for round_number in range(5):
                name = f"race{round_number}"
                calls = [threads.submit(a.post, "/api/v1/vms", self.stopped_vm(name)) for a in apis]
                answers = [call.result() for call in calls]
                self.assertEqual(sorted(a.status for a in answers), [202, 409, 409, 409], [a.body for a in answers])
                (task,) = [a.json()["task"] for a in answers if a.status == 202]
                self.assertEqual(self.ended(task["meta"]["id"])["state"], "SUCCEEDED")
                vms = [v for v in self.records("vms") if v["meta"]["name"] == name]
                self.assertEqual([v["meta"]["id"] for v in vms], [task["targetId"]])
                self.lab.gantry("delete", name, "--yes")

    def test_a_stale_etag_changes_nothing(self):
        self.lab.gantry("launch", "tiny", "--name", "tagged", "--memory", "64M", "--no-ssh-key", "--no-start")
        path = "/api/v1/vms/tagged"
        old = self.api.get(path).headers["ETag"]
        self.assertEqual(self.api.send("GET", path, [("If-None-Match", old)]).status, 304)
        accepted = self.api.send("PATCH", path, [("If-Match", old)], {"cpus": 2})
        self.assertEqual(accepted.status, 202, accepted.body)
        self.assertEqual(accepted.headers["Location"], "/api/v1/tasks/" + accepted.json()["task"]["meta"]["id"])
        self.ended(accepted.json()["task"]["meta"]["id"])
        stale = self.api.send("PATCH", path, [("If-Match", old)], {"cpus": 3})
        self.refused(stale, 412, "revision_changed")
        self.refused(self.api.send("DELETE", path, [("If-Match", old)]), 412)
        self.refused(self.api.send("PATCH", path, [("If-Match", "nonsense")], {"cpus": 3}), 400)
        self.assertEqual(self.api.get(path).json()["spec"]["cpus"], 2)
        self.lab.gantry("delete", "tagged", "--yes")

    def test_dry_run_changes_nothing_anywhere(self):
        lab = self.lab
        small = ("tiny", "--memory", "64M", "--no-ssh-key")
        lab.gantry("launch", *small, "--name", "calm", "--no-start")
        lab.gantry("launch", *small, "--name", "lively", "--add-disk", "1M")
        lab.gantry("launch", *small, "--name", "held")
        lab.gantry("pause", "held")
        lab.gantry("volume", "create", "still", "--size", "1M")
        lab.gantry("network", "create", "quiet", "--kind", "nat")
        lab.gantry("security-group", "create", "closed")
        lab.gantry("group", "create", "night-shift", "--role", "viewer")
        lab.gantry("user", "create", "vera", "--role", "viewer", input_text="a password of hers\n")
        lab.gantry("rule", "create", "strict", "--kind", "apart", "--vm-label", "tier=nothing")
        lab.gantry("pool", "create", "empty", "--path", str(lab.directory / "empty"))
        waiting = self.begin_upload("waiting")
        self.assertEqual(self.api.post("/api/v1/tokens", {"name": "old"}).status, 200)
        host = lab.json("host", "list")["items"][0]["meta"]["name"]
        self.join_another("leaver")
        # By operation: the id in its path, and its body.
        cases = {
            "CreateVm": (None, self.stopped_vm("ghost")), "UpdateVm": ("calm", {"cpus": 2}),
            "DeleteVm": ("calm", b""), "StartVm": ("calm", {}), "StopVm": ("lively", {"force": True}),
            "RestartVm": ("lively", {"force": True}), "ResetVm": ("lively", {}), "PauseVm": ("lively", {}),
            "ResumeVm": ("held", {}), "MoveVm": ("lively", {}), "CreateVolume": (None, self.volume("ghost")),
            "ResizeVolume": ("still", {"capacityBytes": str(2 << 20)}), "DeleteVolume": ("still", b""),
            "MoveVolume": ("lively-disk0", {"pool": "empty"}),
            "CreatePool": (None, {"name": "ghost", "spec": {"path": str(lab.directory / "ghost")}}),
            "DeletePool": ("empty", b""), "CreateImage": (None, {"name": "ghost", "spec": {"upload": True}}),
            "UploadImage": ("waiting", b"content"), "DeleteImage": ("waiting", b""),
            "CreateNetwork": (None, {"name": "ghost", "spec": {}}), "DeleteNetwork": ("quiet", b""),
            "CreateSecurityGroup": (None, {"name": "ghost", "spec": {"rules": [{"direction": "EGRESS"}]}}),
            "UpdateSecurityGroup": ("closed", {"rules": [{"protocol": "ICMP"}]}), "DeleteSecurityGroup": ("closed", b""),
            "CreateRule": (None, {"name": "ghost", "spec": {"kind": "APART", "vmLabels": {"tier": "web"}}}),
            "UpdateRule": ("strict", {"preferred": True}), "DeleteRule": ("strict", b""),
            "UpdateHost": (host, {"cordoned": True}), "DeleteHost": ("leaver", b""), "CreateHostToken": (None, {}), "CancelTask": (waiting["meta"]["id"], {}),
            "CreateUser": (None, {"name": "ghost", "password": "a password of it", "role": "VIEWER"}),
            "UpdateUser": ("vera", {"role": "OPERATOR", "groups": ["night-shift"], "disabled": True}), "DeleteUser": ("vera", b""),
            "CreateGroup": (None, {"name": "ghost", "role": "VIEWER"}),
            "UpdateGroup": ("night-shift", {"role": "OPERATOR"}), "DeleteGroup": ("night-shift", b""),
            "CreateToken": (None, {"name": "ghost"}), "DeleteToken": ("old", b""), "Logout": (None, b""),
            "ChangePassword": (None, {"user": "admin", "newPassword": "quite another one"}),
        }
        lab.gantry("password", "--user", "admin", input_text="from root 1\n")
        login = Api(lab, token="").post("/api/v1/sessions", {"user": "admin", "password": "from root 1"})
        session = Api(lab, token=login.json()["token"])
        before = self.state_of_everything()
        offered = set()
        for path, operations in self.api.get("/api/v1/openapi.json").json()["paths"].items():
            for method, operation in operations.items():
                if not any(p["name"] == "dry_run" for p in operation["parameters"]):
                    # All that changes anything takes it, but a login.
                    self.assertIn(method == "get" or operation["operationId"], (True, "Login"))
                    continue
                name = operation["operationId"]
                offered.add(name)
                thing, body = cases[name]
                target = path.replace("{id}", thing) if thing else path
                with self.subTest(name):
                    # Only who has a session can end it.
                    api = session if name == "Logout" else self.api
                    answer = api.send(method.upper(), f"{target}?dry_run=true", [], body)
                    if name == "MoveVm":
                        # Its dry run as such is test_move.py's, which has two hosts.
                        self.assertEqual((answer.status, answer.json()["code"]), (409, "no_host_fits"))
                        continue
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertTrue(answer.json()["plan"]["steps"])
                    self.assertIsNone(answer.json().get("task"))
        self.assertEqual(offered, set(cases))
        self.assertEqual(self.state_of_everything(), before)
        self.assertFalse((lab.directory / "ghost").exists())
        self.cancel(waiting)
        for name in ("calm", "lively", "held"):
            lab.gantry("delete", name, "--yes")
        lab.gantry("volume", "delete", "still")
        lab.gantry("network", "delete", "quiet")
        lab.gantry("security-group", "delete", "closed")
        lab.gantry("rule", "delete", "strict")
        lab.gantry("user", "delete", "vera")
        lab.gantry("group", "delete", "night-shift")
        lab.gantry("pool", "delete", "empty")
        lab.gantry("host", "leave", "leaver")
        self.assertEqual(self.api.send("DELETE", "/api/v1/tokens/old").status, 204)

    def test_a_recipe_nobody_knows_holds_no_name(self):
        for flags in ((), ("--dry-run",)):
            with self.assertRaisesRegex(CommandFailed, "debian-12"):
                self.lab.gantry("image", "build", "debian-13", *flags)
        self.assertNotIn("debian-13", [i["meta"]["name"] for i in self.records("images")])
        self.assertEqual(self.lab.json("host", "list")["items"][0]["status"]["recipes"], ["debian-12"])

    def test_what_a_patch_names_is_changed(self):
        self.lab.gantry("launch", "tiny", "--name", "plain", "--memory", "64M", "--no-ssh-key", "--no-start")

        def labels(*set_options):
            self.lab.gantry("set", "plain", *set_options)
            return self.api.get("/api/v1/vms/plain").json()["meta"]["labels"]
        self.assertEqual(labels("-l", "a=b", "-l", "c=d"), {"a": "b", "c": "d"})
        self.assertEqual(labels("--cpus", "2"), {"a": "b", "c": "d"})
        self.assertEqual(labels("--no-labels"), {})
        labels("-l", "a=b")
        emptied = self.api.send("PATCH", "/api/v1/vms/plain", [], {"labels": {}})
        self.assertEqual(emptied.status, 202, emptied.body)
        self.ended(emptied.json()["task"]["meta"]["id"])
        self.assertEqual(self.api.get("/api/v1/vms/plain").json()["meta"]["labels"], {})
        self.refused(self.api.send("PATCH", "/api/v1/vms/plain", [], {}), 400, "invalid_field")
        with self.assertRaisesRegex(CommandFailed, "nothing to change"):
            self.lab.gantry("set", "plain")
        self.lab.gantry("delete", "plain", "--yes")

    def state_of_everything(self):
        state = {kind: sorted((r["meta"]["id"], r["meta"]["generation"]) for r in self.records(kind)) for kind in LISTS}
        state["power"] = [v["spec"]["power"] for v in self.records("vms")]
        state["cordoned"] = [h["spec"]["cordoned"] for h in self.records("hosts") if h.get("spec")]
        state["tokens"] = [t["meta"]["name"] for t in self.records("tokens")]
        state["users"] = [(u["meta"]["name"], u["role"], u["groups"], u["disabled"]) for u in self.records("users")]
        state["groups"] = [(g["meta"]["name"], g["role"]) for g in self.records("groups")]
        state["waiting"] = [i["status"]["state"] for i in self.records("images")]
        return state

    def files_about(self, word):
        return [str(p) for p in self.lab.state.rglob("*") if word in p.name]

    def begin_upload(self, name):
        answer = self.api.post("/api/v1/images", {"name": name, "spec": {"upload": True}})
        self.assertEqual(answer.status, 202, answer.body)
        return answer.json()["task"]

    def cancel(self, task):
        answer = self.api.post(f"/api/v1/tasks/{task['meta']['id']}/cancel", {})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.ended(task["meta"]["id"])["state"], "CANCELLED")
        self.refused(self.api.get(f"/api/v1/images/{task['targetId']}"), 404)
        again = self.api.post(f"/api/v1/tasks/{task['meta']['id']}/cancel", {})
        self.assertEqual((again.status, again.json()["state"]), (200, "CANCELLED"))

    def test_a_cancelled_upload_leaves_nothing(self):
        task = self.begin_upload("waits")
        self.cancel(task)
        self.assertEqual(self.files_about(task["targetId"]), [])

        task = self.begin_upload("half")
        sender = Api(self.lab)
        tls = sender.connect()
        whole = sender.request_bytes("PUT", "/api/v1/images/half/content", [], bytes(8 << 20))
        tls.sendall(whole[:4 << 20])
        wait_until("half of it is there", lambda: self.files_about(task["targetId"]))
        self.cancel(task)
        with tls:
            try:
                tls.sendall(whole[4 << 20:])
                self.assertNotIn(b" 200 ", tls.recv(4096)[:20])
            except OSError:
                pass  # cut off: as good
        wait_until("nothing of it is left", lambda: not self.files_about(task["targetId"]), 60)

    def test_a_cancelled_image_build_leaves_nothing(self):
        # Its mirror is a closed port of the lab: it waits or fails there, and never gets far.
        answer = self.api.post("/api/v1/images", {"name": "built", "spec": {
            "recipe": "debian-12", "recipeOptions": {"mirror": "http://127.0.0.1:9"}}})
        self.assertEqual(answer.status, 202, answer.body)
        task = answer.json()["task"]
        wait_until("the recipe runs", lambda: self.lab.processes("make-debian-image"))
        self.cancel(task)
        wait_until("the recipe ends", lambda: not self.lab.processes("make-debian-image"), 60)
        wait_until("nothing of it is left", lambda: not self.files_about(task["targetId"]), 60)


if __name__ == "__main__":
    unittest.main()
