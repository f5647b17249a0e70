// The target's side of a move: a QEMU that was started without a guest of its own (-incoming defer) is made to wait for
// one (see move_out.h). No I/O of its own but looking for a free port.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "port/move.h"
#include "qemu/move_session.h"

namespace gantry::qemu {

// Of the ports where QEMU waits, as libvirt's: what a firewall has to let through between hosts.
inline constexpr std::uint16_t kMovePortFirst = 49152;
inline constexpr std::uint16_t kMovePortLast = 49407;

class MoveIn : public std::enable_shared_from_this<MoveIn> {
 public:
  struct Request {
    std::string key_directory;
    std::string secret;
    std::string listen_address;
    port::MoveTerms terms;
  };
  using Listening = std::function<void(Result<v1::MoveAddress>)>;
  // `listening`, once.
  MoveIn(Request request, MoveSession session, Listening listening)
      : request_(std::move(request)), session_(std::move(session)), listening_(std::move(listening)) {}
  void begin();

 private:
  void step(std::string_view command, const std::string& arguments, std::function<void(const std::string&)> then);
  void step_at_port(std::uint16_t after, std::string_view command,
                    const std::function<std::string(std::uint16_t port)>& arguments,
                    const std::function<void(std::uint16_t port)>& then);
  void serve_disks();
  void export_disk(std::size_t count);
  void prepare_memory();
  void listen();
  void fail_with(const Error& why);

  Request request_;
  MoveSession session_;
  Listening listening_;
  v1::MoveAddress address_;
};

}  // namespace gantry::qemu
