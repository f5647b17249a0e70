// What is kept of who did what, and that it cannot be changed without a trace.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "server/audit_file.h"
#include "server/test_server.h"

namespace gantry::server::testing {
namespace {

using nlohmann::json;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<AuditLine> lines_of(const std::string& directory) {
  std::vector<AuditLine> all;
  const auto files = AuditFiles::open(directory);
  EXPECT_TRUE(files);
  for (std::size_t place = 0; files && place < files->size(); ++place) {
    const auto lines = files->lines(place, 1U << 20U);
    EXPECT_TRUE(lines);
    if (lines) all.insert(all.end(), lines->begin(), lines->end());
  }
  return all;
}

void write_to(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

class Kept {
 public:
  explicit Kept(const std::function<void(ApiServerOptions&)>& adjust = {})
      : directory(make_directory()), server([&](ApiServerOptions& options) {
          options.audit_directory = directory;
          if (adjust) adjust(options);
        }) {}
  ~Kept() { std::filesystem::remove_all(directory); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;

  json list(const std::string& query = "") {
    const Reply reply = server.ask("GET", "/api/v1/audit" + query);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return json::parse(reply.body);
  }
  json check() { return json::parse(server.ask("GET", "/api/v1/audit/check").body); }

  static std::string make_directory() {
    std::string pattern = ::testing::TempDir() + "gantry-audit-XXXXXX";
    return ::mkdtemp(pattern.data());
  }

  std::string directory;
  TestServer server;
};

TEST(AuditFile, GoesOnWhereItWasAndSetsFullFilesAside) {
  const std::string directory = Kept::make_directory();
  const AuditFileOptions options{.directory = directory, .file_bytes_max = 1000, .files_max = 3};
  std::string last;
  for (int start = 0; start < 5; ++start) {
    AuditFile file(options);
    const auto opened = file.open();
    ASSERT_TRUE(opened);
    EXPECT_EQ(*opened, last);
    for (int i = 0; i < 10; ++i) {
      last = "entry " + std::to_string(start * 10 + i);
      ASSERT_TRUE(file.append(last));
    }
  }
  const auto paths = AuditFile::paths(directory);
  EXPECT_EQ(paths.size(), 3U);
  for (const std::string& path : paths) EXPECT_LE(std::filesystem::file_size(path), 1000U);
  std::string previous;
  for (const AuditLine& line : lines_of(directory)) {
    if (!previous.empty()) {
      EXPECT_EQ(line.previous_hash, previous);
    }
    EXPECT_EQ(line.hash, AuditFile::hash_of(line.previous_hash, line.text));
    previous = line.hash;
  }
  EXPECT_EQ(lines_of(directory).back().text, "entry 49");
  std::filesystem::remove_all(directory);
}

TEST(AuditFile, ATornLineIsCutOff) {
  const std::string directory = Kept::make_directory();
  AuditFile first({.directory = directory});
  ASSERT_TRUE(first.open());
  ASSERT_TRUE(first.append("whole"));
  std::ofstream(directory + "/audit.log", std::ios::app) << "half a li";
  AuditFile second({.directory = directory});
  EXPECT_EQ(second.open().value_or("?"), "whole");
  ASSERT_TRUE(second.append("next"));
  const auto lines = lines_of(directory);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].previous_hash, lines[0].hash);
  EXPECT_EQ(lines[1].text, "next");
  std::filesystem::remove_all(directory);
}

TEST(AuditFile, WhatWasSetAsideWhileItIsReadIsReadOnce) {
  const std::string directory = Kept::make_directory();
  AuditFile file({.directory = directory, .file_bytes_max = 400, .files_max = 3});
  ASSERT_TRUE(file.open());
  ASSERT_TRUE(file.append("before"));
  const auto files = AuditFiles::open(directory);
  ASSERT_TRUE(files);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(file.append("after"));
  ASSERT_EQ(files->size(), 1U);
  const auto lines = files->lines(0, 1U << 20U);
  ASSERT_TRUE(lines);
  EXPECT_EQ(lines->front().text, "before");
  EXPECT_EQ(files->lines(0, 10).error().code, ErrorCode::corrupt);
  std::filesystem::remove_all(directory);
}

TEST(Audit, ADirectoryThatCannotBeWrittenKeepsNobodyOutAndIsSaidLater) {
  std::string path = Kept::make_directory();
  const std::string directory = path + "/audit";
  write_to(directory, "in the way");
  {
    TestServer server([&](ApiServerOptions& options) { options.audit_directory = directory; });
    EXPECT_EQ(server.ask("POST", "/api/v1/vms/a/start").status, 202);
    EXPECT_EQ(server.ask("POST", "/api/v1/vms/b/start").status, 202);
    std::filesystem::remove(directory);
    EXPECT_EQ(server.ask("POST", "/api/v1/vms/c/start").status, 202);
    EXPECT_EQ(server.ask("POST", "/api/v1/vms/d/start").status, 202);
    const json items = json::parse(server.ask("GET", "/api/v1/audit").body).at("items");
    ASSERT_EQ(items.size(), 2U);
    EXPECT_EQ(items[1].at("target"), "c");
    EXPECT_EQ(items[1].at("leftOut"), "2");
    EXPECT_EQ(items[0].at("leftOut"), "0");
    const json check = json::parse(server.ask("GET", "/api/v1/audit/check").body);
    EXPECT_TRUE(check.at("whole"));
    EXPECT_EQ(check.at("entries"), "2");
  }
  std::filesystem::remove_all(path);
}

TEST(Audit, ChangesLoginsConsolesAndRefusalsAreKeptWithWhoAndHow) {
  Kept kept;
  const std::string session = kept.server.login(kept.server.started.first_password);
  const json made =
      json::parse(kept.server.ask("POST", "/api/v1/tokens", R"({"name":"ci","roleMax":"VIEWER"})", {}, session).body);
  kept.server.ask("POST", "/api/v1/vms/web/start", {}, {}, session);
  kept.server.ask("POST", "/api/v1/vms/web/stop", {}, {}, made.at("token"));
  kept.server.ask("GET", "/api/v1/vms", {}, {}, session);
  kept.server.ask("POST", "/api/v1/vms/web/stop?dry_run=true", {}, {}, session);
  const json items = kept.list().at("items");
  ASSERT_EQ(items.size(), 4U) << items;
  EXPECT_EQ(items[3].at("action"), "Login");
  EXPECT_EQ(items[3].at("target"), "admin");
  EXPECT_EQ(items[3].at("user"), "admin");
  EXPECT_EQ(items[3].at("status"), 200);
  EXPECT_EQ(items[2].at("action"), "CreateToken");
  EXPECT_EQ(items[1].at("action"), "StartVm");
  EXPECT_EQ(items[1].at("user"), "admin");
  EXPECT_EQ(items[1].at("target"), "web");
  EXPECT_EQ(items[1].at("status"), 202);
  EXPECT_EQ(items[1].at("taskId"), "task-000000000001");
  EXPECT_EQ(items[1].at("address"), "127.0.0.1");
  EXPECT_EQ(items[1].at("credentialId").get<std::string>().rfind("session-", 0), 0U);
  EXPECT_EQ(items[0].at("status"), 403);
  EXPECT_EQ(items[0].at("code"), "role_needed");
  EXPECT_EQ(items[0].at("credentialName"), "ci");
  EXPECT_EQ(kept.list("?refused=true").at("items").size(), 1U);
  EXPECT_EQ(kept.list("?action=Login").at("items").size(), 1U);
  EXPECT_EQ(kept.list("?user=nobody").at("items").size(), 0U);
  EXPECT_TRUE(kept.check().at("whole"));
}

TEST(Audit, NothingSecretIsInIt) {
  Kept kept;
  const std::string password = kept.server.started.first_password;
  const std::string session = kept.server.login(password);
  EXPECT_EQ(kept.server.login("a wrong password"), "");
  // The password in the place of the name, which it may look like.
  const std::string like_a_name = "swordfish-4-all";
  kept.server.ask("POST", "/api/v1/sessions", json({{"user", like_a_name}, {"password", "x"}}).dump(), {}, "");
  const json wish = {{"currentPassword", password}, {"newPassword", "another password"}};
  kept.server.ask("POST", "/api/v1/users/current/password", wish.dump(), {}, session);
  const json made = json::parse(kept.server.ask("POST", "/api/v1/tokens", R"({"name":"ci"})", {}, session).body);
  kept.server.ask("DELETE", "/api/v1/tokens/" + made.at("token").get<std::string>());
  const std::string file = content_of(kept.directory + "/audit.log");
  for (const std::string& secret : {password, session, made.at("token").get<std::string>(), std::string(kLocalToken),
                                    like_a_name, std::string("another password"), std::string("a wrong password")}) {
    EXPECT_EQ(file.find(secret), std::string::npos) << secret;
  }
  EXPECT_NE(file.find("wrong_login"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(kept.directory + "/audit.log").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(Audit, PagesGoFromTheNewestToTheOldest) {
  Kept kept;
  for (int i = 0; i < 7; ++i) kept.server.ask("POST", "/api/v1/vms/vm" + std::to_string(i) + "/start");
  std::vector<std::string> seen;
  std::string token;
  do {
    const json page = kept.list("?page_size=3" + (token.empty() ? "" : "&page_token=" + token));
    for (const json& item : page.at("items")) seen.push_back(item.at("target"));
    token = page.at("nextPageToken");
  } while (!token.empty());
  EXPECT_EQ(seen, (std::vector<std::string>{"vm6", "vm5", "vm4", "vm3", "vm2", "vm1", "vm0"}));
  EXPECT_EQ(kept.server.ask("GET", "/api/v1/audit?page_token=x").status, 400);
  EXPECT_EQ(kept.server.ask("GET", "/api/v1/audit?page_size=1001").status, 400);
}

TEST(Audit, WhatWasChangedOrTakenOutIsFound) {
  Kept kept;
  for (int i = 0; i < 5; ++i) kept.server.ask("POST", "/api/v1/vms/vm" + std::to_string(i) + "/start");
  const std::string path = kept.directory + "/audit.log";
  const std::string whole = content_of(path);
  EXPECT_EQ(kept.check().at("entries"), "5");
  std::string changed = whole;
  changed.replace(changed.find("vm2"), 3, "vmX");
  write_to(path, changed);
  EXPECT_FALSE(kept.check().at("whole"));
  EXPECT_EQ(kept.check().at("lastNumber"), "2");
  std::string shorter = whole;
  const std::size_t second = shorter.find('\n') + 1;
  shorter.erase(second, shorter.find('\n', second) + 1 - second);
  write_to(path, shorter);
  EXPECT_FALSE(kept.check().at("whole"));
  write_to(path, whole);
  EXPECT_TRUE(kept.check().at("whole"));
}

TEST(Audit, NobodyPushesOutByRefusalsWhatTheyDidBefore) {
  const auto ms = std::make_shared<std::atomic<Milliseconds>>(1'700'000'000'000);
  Kept kept([ms](ApiServerOptions& options) { options.now = [ms] { return Now{*ms, *ms}; }; });
  const json made = json::parse(kept.server.ask("POST", "/api/v1/tokens", R"({"name":"ci","roleMax":"VIEWER"})").body);
  const std::string token = made.at("token");
  for (int i = 0; i < 70; ++i) kept.server.ask("POST", "/api/v1/vms/web/stop", {}, {}, token);
  EXPECT_EQ(kept.list("?refused=true").at("items").size(), 60U);
  *ms += 60'000;
  kept.server.ask("POST", "/api/v1/vms/web/stop", {}, {}, token);
  const json items = kept.list("?refused=true").at("items");
  ASSERT_EQ(items.size(), 61U);
  EXPECT_EQ(items[0].at("leftOut"), "10");
}

TEST(Audit, WithoutADirectoryThereIsNoneToRead) {
  TestServer server;
  EXPECT_EQ(server.ask("POST", "/api/v1/vms/web/start").status, 202);
  EXPECT_EQ(json::parse(server.ask("GET", "/api/v1/audit").body).at("code"), "no_audit");
}

}  // namespace
}  // namespace gantry::server::testing
