#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "runtime/process.h"
#include "storage/paths.h"
#include "storage/progress_text.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;

class RecipeTest : public StorageTest {
 protected:
  // Makes the driver know a recipe "test" that is this shell script.
  port::ImageRequest recipe(const std::string& script) {
    const std::string program = directory.path("recipe");
    write_text(program, "#!/bin/sh\nset -e\n" + script);
    ::chmod(program.c_str(), 0755);
    options.recipes["test"] = program;
    open_storage();
    port::ImageRequest request;
    request.image_id = kImageId;
    request.pool.path = pool;
    request.pool.is_new = pool_is_new;
    request.spec.set_recipe("test");
    return request;
  }
};

TEST_F(RecipeTest, ItsProgressAndItsFileAreTaken) {
  auto request = recipe(
      "echo progress 10 unpacking\necho progress 50 building\nqemu-img create -q -f qcow2 \"$2\" 5M\n"
      "echo \"$@\" > " +
      directory.path("arguments") + "\n");
  (*request.spec.mutable_recipe_options())["suite"] = "trixie";
  const auto facts = import(request);
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_EQ(facts->virtual_size_bytes, 5 * kMiB);
  std::string phases;
  for (const auto& told : progress) phases += told.phase() + ";";
  EXPECT_EQ(phases, "unpacking;building;storing the image;");
  EXPECT_EQ(read_text(directory.path("arguments")),
            "--output " + facts->path + ".new --cache " + directory.path("cache/test") + " --suite trixie\n");
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
}

TEST_F(RecipeTest, AFailureKeepsItsWordsAndNoFiles) {
  const auto request = recipe("mkdir \"$2.work\"\necho half > \"$2\"\necho 'no mirror answers' >&2\nexit 3\n");
  const auto failed = import(request);
  ASSERT_FALSE(failed.has_value());
  EXPECT_NE(failed.error().to_text().find("no mirror answers"), std::string::npos) << failed.error().to_text();
  EXPECT_TRUE(files_of_pool().empty());
}

TEST_F(RecipeTest, OnlyKnownOptionsReachIt) {
  auto request = recipe("exit 0\n");
  (*request.spec.mutable_recipe_options())["output"] = "/etc/passwd";
  EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument);
}

TEST_F(RecipeTest, DeletingTheImageEndsIt) {
  const auto request =
      recipe("mkdir \"$2.work\"\necho $$ > " + directory.path("pid") + ".new; mv " + directory.path("pid") + ".new " +
             directory.path("pid") + "\necho progress 5 waiting\nsleep 600\n");
  std::optional<Result<port::ImageFacts>> imported;
  bool begun = false;
  storage->import_image(
      request, [&](const v1::Progress&) { begun = true; },
      [&](Result<port::ImageFacts> result) { imported = std::move(result); });
  ASSERT_TRUE(executor.pump_until([&] { return begun; }));
  // What is under way is no leftover.
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2.new.work"});
  ASSERT_TRUE(remove(request).has_value());
  ASSERT_TRUE(imported.has_value());
  EXPECT_EQ(imported->error().code, ErrorCode::cancelled);
  EXPECT_TRUE(files_of_pool().empty());
  EXPECT_NE(::kill(std::stoi(read_text(directory.path("pid"))), 0), 0);
}

TEST_F(RecipeTest, TheDriversEndEndsItToo) {
  const auto request = recipe("echo progress 5 waiting\nsleep 600\n");
  bool begun = false;
  bool answered = false;
  storage->import_image(
      request, [&](const v1::Progress&) { begun = true; }, [&](const Result<port::ImageFacts>&) { answered = true; });
  ASSERT_TRUE(executor.pump_until([&] { return begun; }));
  storage.reset();
  EXPECT_FALSE(answered);
}

// A web server of this test's own on the loopback address, with its own certificate.
class UrlTest : public StorageTest {
 protected:
  UrlTest() {
    fs::create_directories(directory.path("www"));
    run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
         directory.path("key.pem"), "-out", directory.path("ca.pem"), "-days", "2", "-subj", "/CN=test", "-addext",
         "subjectAltName=IP:127.0.0.1"});
    options.ca_file = directory.path("ca.pem");
    ::chmod(options.ca_file.c_str(), 0644);
    open_storage();
    // Says "ACCEPT 127.0.0.1:PORT" once it listens.
    server.argv = {"sh", "-c",
                   "cd '" + directory.path("www") + "' && exec openssl s_server -accept 127.0.0.1:0 -WWW -cert '" +
                       directory.path("ca.pem") + "' -key '" + directory.path("key.pem") + "'"};
    server.timeout_ms = 600'000;
    server.cancel = std::make_shared<std::atomic<bool>>(false);
    server.on_output = [this](std::string_view piece) { lines.feed(piece); };
    serving = std::thread([this] { (void)runtime::run_process(server); });
    EXPECT_TRUE(executor.pump_until([this] { return !port.empty(); }));
  }
  ~UrlTest() override {
    server.cancel->store(true);
    serving.join();
  }

  port::ImageRequest url(const std::string& name, const std::string& sha256) {
    port::ImageRequest request;
    request.image_id = kImageId;
    request.pool.path = pool;
    request.pool.is_new = pool_is_new;
    request.spec.set_url("https://127.0.0.1:" + port + "/" + name);
    request.spec.set_sha256(sha256);
    return request;
  }

  std::string port;
  LineReader lines{[this](std::string_view line) {
    const std::size_t colon = line.rfind(':');
    if (!line.starts_with("ACCEPT ") || colon == std::string_view::npos) return;
    executor.post([this, found = std::string(line.substr(colon + 1))] { port = found; });
  }};
  runtime::ProcessRequest server;
  std::thread serving;
};

TEST_F(UrlTest, AnImageIsFetchedAndChecked) {
  run({"qemu-img", "create", "-q", "-f", "qcow2", directory.path("www/disk"), "7M"});
  const std::string sum = run({"sha256sum", directory.path("www/disk")}).substr(0, 64);
  const auto facts = import(url("disk", sum));
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_EQ(facts->virtual_size_bytes, 7 * kMiB);
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
  ASSERT_TRUE(remove(url("disk", sum)).has_value());
  EXPECT_EQ(word_of(import(url("disk", std::string(64, 'a')))), "checksum_mismatch");
  EXPECT_TRUE(files_of_pool().empty());
}

TEST_F(UrlTest, OnlyHttpsWithAChecksumIsFetched) {
  auto request = url("disk", "");
  EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument);
  request = url("disk", std::string(64, 'a'));
  for (const std::string address : {"http://127.0.0.1/x", "file:///etc/passwd", "https://127.0.0.1/a b"}) {
    request.spec.set_url(address);
    EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument) << address;
  }
}

TEST_F(UrlTest, AServerThatIsNotTrustedIsNotUsed) {
  options.ca_file.clear();
  open_storage();
  const auto refused = import(url("disk", std::string(64, 'a')));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(word_of(refused), "fetch_failed");
  EXPECT_EQ(code_of(refused), ErrorCode::unavailable);
  EXPECT_TRUE(files_of_pool().empty());
}

}  // namespace
}  // namespace gantry::storage
