// TLS to etcd: both sides prove who they are.
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

// Two authorities, "our" and "other"; a server's and a client's certificate of ours, a client's of the other.
class Certificates {
 public:
  Certificates() {
    std::ofstream(path("server.ext")) << "subjectAltName=IP:" << loopback_host() << "\n";
    for (const std::string name : {"our", "other"}) {
      run({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
           path(name + ".key"), "-out", path(name + ".crt"), "-days", "2", "-subj", "/CN=" + name});
    }
    sign("server", "our", {"-extfile", path("server.ext")});
    sign("client", "our", {});
    sign("stranger", "other", {});
  }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_.file(name); }

 private:
  void sign(const std::string& name, const std::string& authority, const std::vector<std::string>& more) {
    run({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path(name + ".key"),
         "-out", path(name + ".csr"), "-subj", "/CN=" + name});
    std::vector<std::string> words{"x509",
                                   "-req",
                                   "-in",
                                   path(name + ".csr"),
                                   "-CA",
                                   path(authority + ".crt"),
                                   "-CAkey",
                                   path(authority + ".key"),
                                   "-CAcreateserial",
                                   "-days",
                                   "2",
                                   "-out",
                                   path(name + ".crt")};
    words.insert(words.end(), more.begin(), more.end());
    run(words);
  }

  static void run(std::vector<std::string> words) {
    words.insert(words.begin(), "openssl");
    words.push_back("-batch");
    if (words[1] == "x509") words.pop_back();
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t process = ::fork();
    if (process == 0) {
      ::close(STDERR_FILENO);
      ::execvp("openssl", arguments.data());
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(process, &status, 0);
    if (status != 0) throw std::runtime_error("openssl " + words[1] + " failed; it is in Debian's package openssl");
  }

  TemporaryDirectory directory_;
};

class EtcdTls : public ::testing::Test {
 protected:
  EtcdStoreOptions options(const std::string& authority, const std::string& client) const {
    EtcdStoreOptions options = patient_options(cluster_.endpoints());
    if (!authority.empty()) options.ca_path = files_.path(authority + ".crt");
    if (!client.empty()) {
      options.certificate_path = files_.path(client + ".crt");
      options.key_path = files_.path(client + ".key");
    }
    return options;
  }
  // Why it does not open; empty: it does.
  std::string trouble(const std::string& authority, const std::string& client) const {
    EtcdStoreOptions hasty = options(authority, client);
    hasty.request_timeout_ms = 2'000;
    hasty.open_timeout_ms = 1;
    const auto store = open_etcd_store(hasty);
    return store ? std::string() : store.error().to_text();
  }

  Certificates files_;
  EtcdCluster cluster_{
      {.nodes = 1,
       .arguments = {"--cert-file=" + files_.path("server.crt"), "--key-file=" + files_.path("server.key"),
                     "--client-cert-auth", "--trusted-ca-file=" + files_.path("our.crt")},
       .scheme = "https"}};
};

TEST_F(EtcdTls, OpensForThoseWhoProveWhoTheyAreAndToThoseWhoDo) {
  const auto store = must_open(options("our", "client"));
  EXPECT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, port::CommitOutcome::committed);
  EXPECT_NE(trouble("our", ""), "") << "without a certificate";
  EXPECT_NE(trouble("our", "stranger"), "") << "with one of another authority";
  EXPECT_NE(trouble("", ""), "") << "in plain text";
  const std::string posing = trouble("other", "client");
  EXPECT_NE(posing.find("certificate verify failed"), std::string::npos) << posing;
  EXPECT_EQ(trouble("our", "client"), "");
}

TEST_F(EtcdTls, FilesThatCannotServeAreTold) {
  EtcdStoreOptions missing = options("our", "client");
  missing.ca_path = files_.path("none.crt");
  EXPECT_EQ(open_etcd_store(missing).error().code, ErrorCode::not_found);
  EtcdStoreOptions wrong = options("our", "client");
  wrong.key_path = files_.path("server.ext");
  EXPECT_EQ(open_etcd_store(wrong).error().code, ErrorCode::invalid_argument);
  EtcdStoreOptions half = options("our", "client");
  half.key_path.clear();
  EXPECT_EQ(open_etcd_store(half).error().code, ErrorCode::invalid_argument);
  EtcdStoreOptions blind = options("", "client");
  EXPECT_EQ(open_etcd_store(blind).error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace gantry::store
