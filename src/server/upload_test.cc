// Content of images.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/rng.h"
#include "runtime/files.h"
#include "server/test_server.h"
#include "server/upload_file.h"

namespace gantry::server::testing {
namespace {

constexpr const char* kTarget = "/api/v1/images/debian/content";

std::string put_head(const std::string& more) {
  return std::string("PUT ") + kTarget + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + kLocalToken + "\r\n" +
         more + "\r\n";
}

// Everything but the certificate.
std::vector<std::string> files_in(const TestServer& server) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(server.directory)) {
    const std::string name = entry.path().filename();
    if (name.rfind("server.", 0) != 0) names.push_back(name);
  }
  return names;
}

bool settles_empty(const TestServer& server) {
  for (int i = 0; i < 2000 && !files_in(server).empty(); ++i) server.ask("GET", "/api/v1/version");
  return files_in(server).empty();
}

std::string noise(std::size_t size) {
  Rng rng(7);
  std::string bytes;
  while (bytes.size() < size) bytes += static_cast<char>(rng.below(256));
  return bytes;
}

TEST(Upload, BringsContentToItsPlaceAndAnnouncesIt) {
  TestServer server;
  const std::string content = noise(3'000'000);
  const Reply reply = server.ask("PUT", kTarget, content);
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(files_in(server), std::vector<std::string>{"thing-1"});
  EXPECT_TRUE(runtime::read_file(server.directory / "thing-1").value() == content);
  EXPECT_EQ(server.manager.calls().back().rpc, "UploadImage");
}

TEST(Upload, ADryRunTakesNothingAndSaysWhatWouldBe) {
  TestServer server([](ApiServerOptions& options) { options.upload_bytes_max = 1000; });
  const auto rpcs = [&server] {
    std::string text;
    for (const auto& call : server.manager.calls()) text += call.rpc + (call.options.dry_run ? "? " : " ");
    return text;
  };
  const std::string target = std::string(kTarget) + "?dry_run=true";
  const Reply plan = server.ask("PUT", target);
  EXPECT_EQ(plan.status, 200) << plan.body;
  EXPECT_NE(plan.body.find("do it"), std::string::npos);
  EXPECT_EQ(server.ask("PUT", target, "content").status, 200);
  EXPECT_EQ(rpcs(), "UploadImage? GetImage UploadImage? GetImage ");
  EXPECT_TRUE(files_in(server).empty());
  EXPECT_EQ(server.ask("PUT", target, std::string(1001, 'a')).status, 413);
  server.manager.override_answer([](const auto& call, const port::Manager::Answer& done) {
    if (call.rpc == "UploadImage") done(fail(ErrorCode::conflict, "no", "it has content", "make another", "no"));
    return call.rpc == "UploadImage";
  });
  EXPECT_EQ(server.ask("PUT", target).status, 409);
  EXPECT_TRUE(files_in(server).empty());
}

TEST(Upload, AStaleEtagIsSeenBeforeTheContentComes) {
  TestServer server;
  server.manager.override_answer([](const auto& call, const port::Manager::Answer& done) {
    const bool stale = call.rpc == "UploadImage" && call.options.if_match == 6;
    if (stale) done(fail(ErrorCode::conflict, "it changed", "it is at 7", "read it again", "revision_changed"));
    return stale;
  });
  Client client(server.started.port);
  client.send(put_head("If-Match: \"6\"\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n"));
  const Reply reply = client.receive("PUT", true);
  EXPECT_EQ(reply.status == 100 ? client.receive("PUT").status : reply.status, 412);
  EXPECT_TRUE(files_in(server).empty());
  EXPECT_EQ(server.ask("PUT", kTarget, "content", {"If-Match: \"7\""}).status, 200);
}

TEST(Upload, TakesChunksAndExpectations) {
  TestServer server;
  Client client(server.started.port);
  client.send(put_head("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"));
  EXPECT_EQ(client.receive("PUT", true).status, 100);
  client.send("5\r\nhello\r\n");
  client.send("6\r\n world\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().status, 200);
  EXPECT_EQ(runtime::read_file(server.directory / "thing-1").value(), "hello world");
}

TEST(Upload, InterruptedLeavesNothing) {
  TestServer server;
  {
    Client client(server.started.port);
    client.send(put_head("Content-Length: 1000000\r\n") + noise(600'000));
    for (int i = 0; i < 2000 && files_in(server).empty(); ++i) server.ask("GET", "/api/v1/version");
    EXPECT_EQ(files_in(server), std::vector<std::string>{"thing-1.part"});
    // One at a time.
    EXPECT_EQ(server.ask("PUT", kTarget, "x").status, 409);
  }
  EXPECT_TRUE(settles_empty(server));
  for (const auto& call : server.manager.calls()) EXPECT_EQ(call.rpc, "GetImage");
  Reply again;
  for (int i = 0; i < 2000 && again.status != 200; ++i) again = server.ask("PUT", kTarget, "x");
  EXPECT_EQ(again.status, 200);
}

TEST(Upload, IsRefusedWithAReason) {
  TestServer server([](ApiServerOptions& options) { options.upload_bytes_max = 1000; });
  EXPECT_EQ(server.ask("PUT", kTarget, noise(1001)).status, 413);
  Client chunked(server.started.port);
  chunked.send(put_head("Transfer-Encoding: chunked\r\n") + "7d0\r\n" + noise(2000) + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 413);
  EXPECT_EQ(server.ask("PUT", kTarget).status, 400);
  Client garbage(server.started.port);
  garbage.send(put_head("Transfer-Encoding: chunked\r\n") + "zz\r\n");
  EXPECT_EQ(garbage.receive().status, 400);
  EXPECT_EQ(server.ask("PUT", kTarget, "x", {}, "").status, 401);
  server.manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc != "GetImage") return false;
    auto image = std::make_unique<v1::Image>();
    image->mutable_spec()->set_upload(true);
    image->mutable_status()->set_state(v1::ImageStatus::READY);
    done(std::unique_ptr<google::protobuf::Message>(std::move(image)));
    return true;
  });
  EXPECT_EQ(server.ask("PUT", kTarget, "x").status, 409);
  EXPECT_TRUE(settles_empty(server));
}

// Another file must not be put in its place while it is being imported.
TEST(Upload, IsRefusedBeforeAByteIsTakenWhenContentWasAnnounced) {
  TestServer server;
  server.manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc != "GetImage") return false;
    auto image = std::make_unique<v1::Image>();
    image->mutable_meta()->set_generation(2);
    image->mutable_spec()->set_upload(true);
    image->mutable_status()->set_state(v1::ImageStatus::WAITING);
    image->mutable_status()->set_observed_generation(1);
    done(std::unique_ptr<google::protobuf::Message>(std::move(image)));
    return true;
  });
  const Reply reply = server.ask("PUT", kTarget, "x");
  EXPECT_EQ(reply.status, 409) << reply.body;
  EXPECT_NE(reply.body.find("not_waiting_for_upload"), std::string::npos);
  EXPECT_EQ(server.manager.calls().back().rpc, "GetImage");
  EXPECT_TRUE(settles_empty(server));
}

TEST(Upload, ContentThatTheImageDoesNotTakeIsNotLeftBehind) {
  TestServer server;
  for (const ErrorCode code : {ErrorCode::not_found, ErrorCode::conflict}) {
    server.manager.override_answer([code](const FakeManager::Call& call, const port::Manager::Answer& done) {
      if (call.rpc != "UploadImage") return false;
      done(fail(code, "no"));
      return true;
    });
    EXPECT_EQ(server.ask("PUT", kTarget, "x").status, code == ErrorCode::conflict ? 409 : 404);
    EXPECT_TRUE(settles_empty(server));
  }
  // It may have been taken.
  server.manager.override_answer([](const FakeManager::Call& call, const port::Manager::Answer& done) {
    if (call.rpc != "UploadImage") return false;
    done(fail(ErrorCode::unavailable, "who knows"));
    return true;
  });
  EXPECT_EQ(server.ask("PUT", kTarget, "x").status, 503);
  EXPECT_EQ(files_in(server), std::vector<std::string>{"thing-1"});
}

// Its deletion takes the file that is being written away.
TEST(Upload, OfAnImageThatIsDeletedMeanwhileLeavesNothing) {
  TestServer server;
  Client client(server.started.port);
  client.send(put_head("Content-Length: 600000\r\n") + noise(500'000));
  for (int i = 0; i < 2000 && files_in(server).empty(); ++i) server.ask("GET", "/api/v1/version");
  ASSERT_TRUE(std::filesystem::remove(server.directory / "thing-1.part"));
  client.send(noise(100'000));
  const Reply reply = client.receive("PUT");
  EXPECT_EQ(reply.status, 409) << reply.body;
  EXPECT_NE(reply.body.find("deleted"), std::string::npos);
  EXPECT_TRUE(files_in(server).empty());
}

TEST(Upload, AFullDiskIsSaidSo) {
  TestServer server;
  // More than any disk here has: refused before a byte is sent.
  Client client(server.started.port);
  client.send(put_head("Content-Length: 9000000000000000000\r\n"));
  const Reply reply = client.receive();
  EXPECT_EQ(reply.status, 507) << reply.body;
  EXPECT_NE(reply.body.find("are free"), std::string::npos);
  EXPECT_TRUE(settles_empty(server));
}

TEST(UploadFile, FollowsNoLinksAndLeavesNothing) {
  const std::string directory = ::testing::TempDir() + "gantry-upload-full";
  std::filesystem::create_directories(directory);
  std::filesystem::create_symlink("/dev/full", directory + "/image.part");
  // Links are not followed, whatever they point at.
  EXPECT_FALSE(UploadFile::begin(directory + "/image", 0));
  std::filesystem::remove(directory + "/image.part");
  {
    auto file = UploadFile::begin(directory + "/image", 0);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->append("abc"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace gantry::server::testing
