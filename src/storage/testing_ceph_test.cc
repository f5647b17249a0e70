// The body of testing_ceph.h, in the test program.
#include "storage/testing_ceph.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;

// images/NAME holds the id; ids/ID is a directory with size, content, parent and a file for each snapshot.
constexpr char kProgram[] = R"PYTHON(#!/usr/bin/python3 -S
import json, os, sys
program = os.path.basename(sys.argv[0])
home = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0]))), "ceph")
words, skip = [], False
options = {}
WITH_VALUE = ("--conf", "--id", "--pool", "--namespace", "--format", "--size", "--image-feature", "--connect-timeout",
              "--lock-cookie", "--lock-duration")
arguments = sys.argv[1:]
while arguments:
    word = arguments.pop(0)
    if word in WITH_VALUE:
        options[word] = arguments.pop(0)
    elif not word.startswith("--"):
        words.append(word)
with open(home + "/calls", "a") as log:
    log.write(" ".join([program, *words]) + "\n")

def path(*parts):
    return os.path.join(home, *parts)

def read(*parts):
    with open(path(*parts)) as file:
        return file.read()

def write(text, *parts):
    with open(path(*parts), "w") as file:
        file.write(text)

def end(text, status=1):
    sys.stderr.write("2026-11-23T02:10:28.800+0000 7fb1ca3cd6c0 -1 a line of the log\n" + text + "\n")
    sys.exit(status)

def planned(when):
    plan = path("fail-" + when)
    if not os.path.exists(plan):
        return
    verb, text = read("fail-" + when).split("\n", 1)
    if " ".join([program, *words]).startswith(verb):
        os.remove(plan)
        end(text)

planned("before")

def name_of(text):
    return text.rsplit("/", 1)[1].split("@")[0]

def number_of(text):
    name = name_of(text)
    if not os.path.exists(path("images", name)):
        end("rbd: error opening image " + name + ": (2) No such file or directory", 2)
    return read("images", name)

def size_of(number):
    return int(read("ids", number, "size"))

def make(text, size, parent=""):
    name = name_of(text)
    if os.path.exists(path("images", name)):
        end("rbd: create error: (17) File exists", 17)
    number = "id" + str(len(os.listdir(path("ids"))))
    os.makedirs(path("ids", number, "snapshots"))
    write(str(size), "ids", number, "size")
    write(parent, "ids", number, "parent")
    write("", "ids", number, "content")
    write(number, "images", name)
    return number

def rbd():
    verb, *rest = words
    if verb == "ls":
        print(json.dumps(sorted(os.listdir(path("images")))))
    elif verb == "info":
        number = number_of(rest[0])
        print(json.dumps({"name": name_of(rest[0]), "id": number, "size": size_of(number)}))
    elif verb == "du":
        number = number_of(rest[0])
        print(json.dumps({"images": [{"used_size": 4096, "provisioned_size": size_of(number)}]}))
    elif verb == "create":
        make(rest[0], int(options["--size"].rstrip("B")))
    elif verb == "import":
        number = make(rest[1], os.path.getsize(rest[0]))
        with open(rest[0], "rb") as source, open(path("ids", number, "content"), "wb") as target:
            target.write(source.read())
    elif verb == "clone":
        number = number_of(rest[0])
        snapshot = rest[0].split("@")[1]
        if read("ids", number, "snapshots", snapshot) != "true":
            end("rbd: clone error: (22) Invalid argument", 22)
        make(rest[1], size_of(number), number)
    elif verb == "resize":
        write(options["--size"].rstrip("B"), "ids", number_of(rest[0]), "size")
    elif verb == "rename":
        number_of(rest[0])
        if os.path.exists(path("images", name_of(rest[1]))):
            end("rbd: rename error: (17) File exists", 17)
        os.rename(path("images", name_of(rest[0])), path("images", name_of(rest[1])))
    elif verb == "rm":
        number = number_of(rest[0])
        if os.listdir(path("ids", number, "snapshots")):
            end("rbd: image has snapshots", 39)
        if os.path.exists(path("open-" + name_of(rest[0]))):
            end("rbd: error: image still has watchers", 16)
        for other in os.listdir(path("images")):
            if read("images", other) == number:
                os.remove(path("images", other))
    else:
        snap(*rest)

def snap(verb, what):
    number = number_of(what)
    where = path("ids", number, "snapshots", what.split("@")[1] if "@" in what else "")
    if verb == "ls":
        print(json.dumps([{"name": one, "protected": read("ids", number, "snapshots", one)} for one in os.listdir(where)]))
    elif verb == "create":
        write("false", where)
    elif verb == "protect":
        write("true", where)
    elif verb == "unprotect":
        if any(read("ids", read("images", one), "parent") == number for one in os.listdir(path("images"))):
            end("rbd: unprotecting snap failed: (16) Device or resource busy", 16)
        write("false", where)
    else:
        if read(where) == "true":
            end("rbd: snapshot is protected: (16) Device or resource busy", 16)
        os.remove(where)

def rados():
    verb, *rest = words
    if verb == "lock":
        if os.path.exists(path("locked")):
            end("ERROR: failed locking: (16) Device or resource busy")
        if not os.path.exists(path("objects", rest[1])):
            write("", "objects", rest[1])
        return
    if verb == "put":
        write(sys.stdin.read(), "objects", rest[0])
        return
    if not os.path.exists(path("objects", rest[0])):
        end("error getting vms/" + rest[0] + ": (2) No such file or directory")
    if verb == "get":
        sys.stdout.write(read("objects", rest[0]))
    else:
        os.remove(path("objects", rest[0]))

if program == "rbd":
    rbd()
elif program == "rados":
    rados()
else:
    print(json.dumps({"pools": [{"name": "other", "stats": {"stored": 1, "max_avail": 2}},
                                {"name": "vms", "stats": {"stored": 1000, "max_avail": 3000}}]}))
planned("after")
)PYTHON";

}  // namespace

FakeCeph::FakeCeph(std::string directory) : directory_(std::move(directory)), path_before_(std::getenv("PATH")) {
  for (const char* part : {"/bin", "/ceph/images", "/ceph/ids", "/ceph/objects"}) {
    fs::create_directories(directory_ + part);
  }
  for (const char* program : {"rbd", "rados", "ceph"}) {
    const std::string path = directory_ + "/bin/" + program;
    write_text(path, kProgram);
    ::chmod(path.c_str(), 0755);
  }
  ::setenv("PATH", (directory_ + "/bin:" + path_before_).c_str(), 1);
}

FakeCeph::~FakeCeph() { ::setenv("PATH", path_before_.c_str(), 1); }

void FakeCeph::fail_next(const std::string& verb, const std::string& words, bool after) const {
  write_text(directory_ + "/ceph/fail-" + (after ? "after" : "before"), verb + "\n" + words);
}

std::vector<std::string> FakeCeph::images() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory_ + "/ceph/images")) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void FakeCeph::put_image(const std::string& name, std::uint64_t size_bytes) const {
  run({"rbd", "create", "--size", std::to_string(size_bytes) + "B", "vms/" + name});
}

void FakeCeph::put_name(const std::string& name, const std::string& of) const {
  fs::copy_file(directory_ + "/ceph/images/" + of, directory_ + "/ceph/images/" + name);
}

void FakeCeph::put_object(const std::string& name, const std::string& content) const {
  write_text(directory_ + "/ceph/objects/" + name, content);
}

std::string FakeCeph::object(const std::string& name) const {
  const std::string path = directory_ + "/ceph/objects/" + name;
  return fs::exists(path) ? read_text(path) : "none";
}

void FakeCeph::set_open(const std::string& name, bool is_open) const {
  const std::string path = directory_ + "/ceph/open-" + name;
  if (is_open) {
    write_text(path, "");
  } else {
    fs::remove(path);
  }
}

std::string FakeCeph::content(const std::string& name) const {
  return read_text(directory_ + "/ceph/ids/" + read_text(directory_ + "/ceph/images/" + name) + "/content");
}

std::string FakeCeph::calls() const { return read_text(directory_ + "/ceph/calls"); }

}  // namespace gantry::storage
