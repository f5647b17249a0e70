// For tests: stands between an agent and QEMU's control socket, and may answer in QEMU's place or do mischief first.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "qemu/event_io.h"

namespace gantry::qemu {

class QmpProxy {
 public:
  // Sees each command, in a thread of its own. What it answers is told in place of QEMU's answer, as `"return"` or
  // `"error"` and its value; or kHangUp; nothing: QEMU gets it.
  using Hook = std::function<std::optional<std::string>(const std::string& command)>;

  static constexpr const char* kHangUp = "";
  static constexpr const char* kRefusal = R"("error":{"class":"GenericError","desc":"not now"})";

  // Takes the place of the socket at `path` until its end. Without a hook it hangs up on all who come.
  QmpProxy(std::string path, Hook hook) : path_(std::move(path)), hook_(std::move(hook)) {
    std::filesystem::rename(path_, path_ + ".real");
    auto listener = listen_unix(path_);
    EXPECT_TRUE(listener);
    listener_ = std::move(*listener);
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    stopped_ = UniqueFd(ends[0]);
    stop_ = UniqueFd(ends[1]);
    thread_ = std::thread([this] { serve(); });
  }
  QmpProxy(const QmpProxy&) = delete;
  QmpProxy& operator=(const QmpProxy&) = delete;
  ~QmpProxy() {
    stop_.reset();
    thread_.join();
    std::filesystem::rename(path_ + ".real", path_);
  }

 private:
  // False when it is to stop.
  bool wait(pollfd* first, pollfd* second) {
    std::array<pollfd, 3> fds{pollfd{stopped_.get(), POLLIN, 0}, *first,
                              second != nullptr ? *second : pollfd{-1, 0, 0}};
    while (::poll(fds.data(), fds.size(), -1) < 0) {
    }
    first->revents = fds[1].revents;
    if (second != nullptr) second->revents = fds[2].revents;
    return fds[0].revents == 0;
  }

  void serve() {
    while (true) {
      pollfd come{listener_.get(), POLLIN, 0};
      if (!wait(&come, nullptr)) return;
      const UniqueFd agent(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!agent.valid() || !hook_) continue;
      const auto qemu = connect_unix(path_ + ".real");
      if (qemu && !pass_on(agent.get(), qemu->get())) return;
    }
  }

  // False when it is to stop.
  bool pass_on(int agent, int qemu) {
    std::string commands;
    std::array<char, 4096> buffer{};
    while (true) {
      pollfd from_agent{agent, POLLIN, 0};
      pollfd from_qemu{qemu, POLLIN, 0};
      if (!wait(&from_agent, &from_qemu)) return false;
      if (from_qemu.revents != 0) {
        const ssize_t count = ::read(qemu, buffer.data(), buffer.size());
        if (count <= 0) return true;
        send(agent, {buffer.data(), static_cast<std::size_t>(count)});
      }
      if (from_agent.revents == 0) continue;
      const ssize_t count = ::read(agent, buffer.data(), buffer.size());
      if (count <= 0) return true;
      commands.append(buffer.data(), static_cast<std::size_t>(count));
      for (std::size_t end = 0; (end = commands.find('\n')) != std::string::npos; commands.erase(0, end + 1)) {
        if (!take(commands.substr(0, end + 1), agent, qemu)) return true;
      }
    }
  }

  // A line as the codec writes it: {"execute":"NAME","id":NUMBER... False: to hang up.
  bool take(const std::string& line, int agent, int qemu) {
    const std::size_t begin = std::string_view(R"({"execute":")").size();
    const std::size_t end = line.find('"', begin);
    const std::size_t id = line.find("\"id\":") + 5;
    const auto answer = hook_(line.substr(begin, end - begin));
    if (answer == kHangUp) return false;
    if (!answer) {
      send(qemu, line);
    } else {
      send(agent, "{" + *answer + ",\"id\":" + line.substr(id, line.find_first_of(",}", id) - id) + "}\n");
    }
    return true;
  }

  static void send(int to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EAGAIN) continue;
      if (count <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  std::string path_;
  Hook hook_;
  UniqueFd listener_;
  UniqueFd stopped_;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace gantry::qemu
