// TPMs of guests: real processes of swtpm beside real ones of QEMU.
#include "qemu/tpm.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include "qemu/test_fixture.h"

namespace gantry::qemu {
namespace {

using State = port::GuestObservation::State;
using testing::HasSubstr;

class TpmTest : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    ASSERT_EQ(::mkdir((state_ + "/pool").c_str(), 0711), 0);
  }
  [[nodiscard]] port::GuestDefinition sealed(const std::string& boot_id) const {
    port::GuestDefinition definition = guest(boot_id);
    definition.tpm_directory = kept_in();
    return definition;
  }
  [[nodiscard]] std::string kept_in() const { return state_ + "/pool/tpm/" + vm_; }
  // Children of this process that ended and that nobody asked for.
  static bool has_zombies() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
  }
  // Of the processes that have that directory among their arguments.
  [[nodiscard]] std::vector<pid_t> processes() const {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const auto arguments = runtime::read_file(entry.path().string() + "/cmdline");
      if (arguments && arguments->find("dir=" + kept_in()) != std::string::npos) found.push_back(std::stoi(name));
    }
    return found;
  }
};

TEST_F(TpmTest, LivesAsLongAsItsGuestAndKeepsItsState) {
  ASSERT_TRUE(agent_->start(sealed("task-1")));
  ASSERT_TRUE(boots_reach(1));
  ASSERT_EQ(processes().size(), 1U);
  struct stat facts {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(processes().front())).c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, uid_);
  const std::string state = kept_in() + "/tpm2-00.permall";
  EXPECT_TRUE(becomes([&] { return std::filesystem::exists(state); }));
  ASSERT_EQ(::stat(kept_in().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0700U);
  EXPECT_EQ(facts.st_uid, uid_);

  restart_agent();
  EXPECT_EQ(processes().size(), 1U) << "as its guest";
  ASSERT_TRUE(agent_->kill(vm_));
  EXPECT_TRUE(becomes([&] { return processes().empty(); }));
  EXPECT_TRUE(std::filesystem::exists(state));
  const auto again = agent_->start(sealed("task-2"));
  ASSERT_TRUE(again) << again.error().to_text();
  EXPECT_EQ(processes().size(), 1U);
}

TEST_F(TpmTest, EndsWithAQemuThatWasKilled) {
  ASSERT_TRUE(agent_->start(sealed("task-1")));
  ASSERT_EQ(::kill(pid(), SIGKILL), 0);
  EXPECT_TRUE(agent_->reaches(vm_, State::ended));
  EXPECT_TRUE(becomes([&] { return processes().empty(); }));
  EXPECT_TRUE(becomes([&] { return !has_zombies(); }));
}

TEST_F(TpmTest, IsNotMadeBesideAPoolThatIsNotThere) {
  std::filesystem::remove(state_ + "/pool");
  const auto started = agent_->start(sealed("task-1"));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().to_text(), HasSubstr("for the TPM"));
  EXPECT_FALSE(std::filesystem::exists(state_ + "/pool"));
}

TEST_F(TpmTest, APathThatSwtpmWouldReadOtherwiseIsRefused) {
  auto definition = sealed("task-1");
  definition.tpm_directory = state_ + "/a,mode=0777/" + vm_;
  const auto started = agent_->start(definition);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().to_text(), HasSubstr("comma"));
}

TEST(Tpm, WithoutItsProgramItSaysWhatToInstall) {
  std::string directory = "/tmp/gantry-tpm-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  auto socket = make_tpm_socket();
  ASSERT_TRUE(socket);
  const auto started = start_tpm({.vm_id = "vm-4f7k2m9qzt3x",
                                  .program = "/no/such/swtpm",
                                  .directory = directory + "/tpm/vm-4f7k2m9qzt3x",
                                  .log = directory + "/log"},
                                 std::move(socket->for_tpm), Cgroups::detect_in(""));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().next_step, "install swtpm");
  EXPECT_THAT(started.error().summary, HasSubstr("the TPM of virtual machine vm-4f7k2m9qzt3x"));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace gantry::qemu
