#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "app/cli/api_client.h"
#include "app/cli/https_client.h"
#include "app/cli/output.h"
#include "app/cli/session.h"
#include "app/cli/settings.h"
#include "gantry/v1/vm.pb.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

TEST(ServerAddress, IsReadInEveryForm) {
  EXPECT_EQ(parse_server_address("https://a.example:9443/")->port, "9443");
  EXPECT_EQ(parse_server_address("a.example")->port, "8443");
  EXPECT_EQ(parse_server_address("[::1]:1")->host, "::1");
  EXPECT_EQ(parse_server_address("[::1]:1")->port, "1");
  for (const char* bad : {"", "https://", "a:", "a:port", "a b", "a:123456", "a/b"}) {
    EXPECT_FALSE(parse_server_address(bad)) << bad;
  }
}

TEST(Bytes, AreReadAndWritten) {
  EXPECT_EQ(parse_bytes("10G").value(), 10ULL << 30U);
  EXPECT_EQ(parse_bytes("1.5GiB").value(), 3ULL << 29U);
  EXPECT_EQ(parse_bytes("512").value(), 512U);
  EXPECT_EQ(parse_limit("").value(), 0U);
  EXPECT_EQ(parse_limit("50M").value(), 50ULL << 20U);
  EXPECT_FALSE(parse_limit("fast"));
  for (const char* bad : {"", "G", "-1G", "0", "1Q", "1GG", "nan", "inf", "1e30"})
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(3ULL << 29U), "1.5 GiB");
  EXPECT_EQ(human_bytes(2ULL << 30U), "2 GiB");
}

TEST(Table, PadsAllButTheLastColumn) {
  Table table({"A", "B"});
  table.add({"long", "x"});
  EXPECT_EQ(table.text(), "A     B\nlong  x\n");
}

TEST(Yaml, QuotesWhatWouldBeReadAsSomethingElse) {
  v1::Vm vm;
  vm.mutable_meta()->set_name("yes");
  (*vm.mutable_meta()->mutable_labels())["a b"] = "1.5";
  vm.mutable_spec()->mutable_cloud_init()->set_user_data("two\nlines: [");
  vm.mutable_spec()->add_nics()->set_mac("52:54:00:00:00:01");
  const std::string yaml = to_yaml(vm);
  EXPECT_NE(yaml.find("name: \"yes\""), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("\"a b\": \"1.5\""), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("userData: \"two\\nlines: [\""), std::string::npos) << yaml;
  EXPECT_NE(yaml.find("    - network: \"\"\n      mac: \"52:54:00:00:00:01\""), std::string::npos) << yaml;
}

TEST(Yaml, HasNamesBehindIds) {
  EXPECT_EQ(with_names("image: img-1\nlist:\n  - id: img-1\n  other: img-12\n", {{"img-1", "tiny"}}),
            "image: img-1  # tiny\nlist:\n  - id: img-1  # tiny\n  other: img-12\n");
}

TEST(Reason, IsShort) {
  v1::Problem problem;
  EXPECT_EQ(reason_of(problem), "-");
  problem.set_summary("the hypervisor process ended");
  problem.set_cause(std::string(1000, 'x'));
  EXPECT_EQ(reason_of(problem), "the hypervisor process ended");
  problem.set_cause("line\nline");
  EXPECT_EQ(reason_of(problem), "the hypervisor process ended");
  problem.set_cause("no space left");
  EXPECT_EQ(reason_of(problem), "no space left");
}

TEST(Printable, KeepsTerminalsFromBeingSteered) { EXPECT_EQ(printable("a\x1b[31mb\nc"), "a [31mb c"); }

TEST(ErrorOfAnswer, FallsBackToTheStatus) {
  HttpResponse response;
  response.status = 409;
  response.body = R"({"status":409,"code":"revision_changed","summary":"s","cause":"c","nextStep":"n"})";
  const Error error = error_of(response);
  EXPECT_EQ(error.code, ErrorCode::conflict);
  EXPECT_EQ(error.reason, "revision_changed");
  EXPECT_EQ(error.next_step, "n");
  response.body = "<html>";
  EXPECT_NE(error_of(response).summary.find("409"), std::string::npos);
  EXPECT_EQ(exit_code_of(error), 4);
}

// As docs/reference/cli.md says.
TEST(ExitCodes, FollowTheStatusOfAnAnswer) {
  const auto code_of = [](unsigned status) {
    HttpResponse response;
    response.status = status;
    response.body = R"({"status":1,"code":"c","summary":"s"})";
    return exit_code_of(error_of(response));
  };
  for (const unsigned status : {400U, 405U, 413U, 415U, 422U, 429U, 431U}) EXPECT_EQ(code_of(status), 2) << status;
  EXPECT_EQ(code_of(404), 3);
  for (const unsigned status : {409U, 412U}) EXPECT_EQ(code_of(status), 4) << status;
  for (const unsigned status : {401U, 403U}) EXPECT_EQ(code_of(status), 5) << status;
  EXPECT_EQ(code_of(503), 6);
  for (const unsigned status : {500U, 504U, 507U}) EXPECT_EQ(code_of(status), 1) << status;
}

TEST(ExitCodes, OfATaskThatDidNotSucceedAreAlwaysOne) {
  v1::Task task;
  task.set_action("vm.start");
  task.set_target_name("web");
  for (const v1::Task::State state : {v1::Task::FAILED, v1::Task::CANCELLED}) {
    task.set_state(state);
    for (const char* code : {"not_found", "conflict", "unavailable", "pool_full", ""}) {
      task.mutable_problem()->set_code(code);
      EXPECT_EQ(exit_code_of(error_of_task(task)), 1) << code;
    }
  }
  task.set_state(v1::Task::FAILED);
  task.mutable_problem()->set_code("start_failed");
  EXPECT_EQ(error_of_task(task).reason, "start_failed");
  EXPECT_EQ(error_of_task(task).summary, "vm.start web failed");
}

class Login : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "gantry-login-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    ::setenv("XDG_CONFIG_HOME", directory_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("XDG_CONFIG_HOME");
    std::filesystem::remove_all(directory_);
  }
  std::string directory_;
};

TEST_F(Login, IsKeptForTheUserAloneAndForgotten) {
  ASSERT_TRUE(keep_login(Settings{{"::1", "9443", "ab"}, "secret"}));
  const auto mode = std::filesystem::status(directory_ + "/gantry/login.json").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  const auto found = find_settings({});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->server.host, "::1");
  EXPECT_EQ(found->token, "secret");
  EXPECT_EQ(find_settings({.server = "https://[::1]:9443", .token = "", .fingerprint = "", .run_directory = ""})->token,
            "secret");
  EXPECT_EQ(find_settings({.server = "https://other", .token = "", .fingerprint = "", .run_directory = ""})->token, "");
  ASSERT_TRUE(forget_login());
  EXPECT_EQ(find_settings({.server = "", .token = "", .fingerprint = "", .run_directory = directory_}).error().code,
            ErrorCode::unavailable);
}

// "Nobody signed in" would send the user to the wrong place.
TEST_F(Login, ADamagedFileIsToldAsThat) {
  const std::string login = directory_ + "/gantry/login.json";
  const std::string local = directory_ + "/local.json";
  const SettingsOptions options{.server = "", .token = "", .fingerprint = "", .run_directory = directory_};
  ASSERT_TRUE(runtime::make_directories(directory_ + "/gantry", 0700));
  for (const char* text : {"{", "[]", R"({"server":"a b"})", R"({"token":"t"})"}) {
    ASSERT_TRUE(runtime::write_file_durably(login, text));
    const auto found = find_settings(options);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, ErrorCode::corrupt) << text;
    EXPECT_NE(found.error().summary.find(login), std::string::npos) << found.error().summary;
  }
  ASSERT_TRUE(forget_login());
  ASSERT_TRUE(runtime::write_file_durably(local, "{"));
  EXPECT_EQ(find_settings(options).error().code, ErrorCode::corrupt);
  EXPECT_EQ(find_root_settings(options).error().code, ErrorCode::corrupt);
}

// Whoever is signed in, root of the machine can act as root.
TEST_F(Login, RootOfTheMachineGoesPastIt) {
  ASSERT_TRUE(keep_login(Settings{{"::1", "9443", "ab"}, "secret"}));
  const SettingsOptions options{.server = "", .token = "", .fingerprint = "", .run_directory = directory_};
  const auto absent = find_root_settings(options);
  ASSERT_FALSE(absent);
  EXPECT_EQ(exit_code_of(absent.error()), 6);
  ASSERT_TRUE(runtime::write_file_durably(directory_ + "/local.json",
                                          R"({"server":"https://127.0.0.1:8443","fingerprint":"cd","token":"root"})"));
  EXPECT_EQ(find_settings(options)->token, "secret");
  EXPECT_EQ(find_root_settings(options)->token, "root");
}

}  // namespace
}  // namespace gantry::app
