// One stream to a manager, at the host. Internal to src/link.
//
// Threads: as Connection: gRPC's threads bring events to the executor, which decides and begins every operation.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "gantry/v1/join.grpc.pb.h"
#include "link/outbox.h"
#include "port/executor.h"

namespace gantry::link {

// Counts what gRPC has under way: while it is not 0, gRPC may still post to the executor.
class UnderWay {
 public:
  void begin() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void end() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) nothing_.notify_all();
  }
  // False when something still is after so long.
  bool wait(Milliseconds timeout_ms);

 private:
  std::mutex mutex_;
  std::condition_variable nothing_;
  int count_ = 0;
};

class HostStream final : public grpc::ClientBidiReactor<v1::FromHost, v1::ToHost> {
 public:
  // Called on the executor.
  struct Events {
    // `peer`: whom it is connected to, as gRPC writes it: "ipv4:192.0.2.1:8444".
    std::function<void(const std::string& peer)> admitted;
    std::function<void(const v1::ToHost&)> message;
    // The last.
    std::function<void(const grpc::Status&)> ended;
  };

  HostStream(port::Executor& executor, std::shared_ptr<grpc::Channel> channel, std::shared_ptr<UnderWay> under_way,
             Events events);
  // Begins the call of a new stream.
  static std::shared_ptr<HostStream> open(port::Executor& executor, std::shared_ptr<grpc::Channel> channel,
                                          std::shared_ptr<UnderWay> under_way, Events events);

  void send(const v1::FromHost& message);
  // `ended` follows.
  void cancel() { context_.TryCancel(); }

  // Of gRPC.
  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void read_done(bool ok);
  void write_next();

  port::Executor& executor_;
  std::unique_ptr<v1::HostLink::Stub> stub_;
  std::shared_ptr<UnderWay> under_way_;
  Events events_;
  grpc::ClientContext context_;
  std::shared_ptr<HostStream> self_;
  FromHostOutbox outbox_;
  v1::ToHost incoming_;
  v1::FromHost outgoing_;
  bool writing_ = false;
  bool over_ = false;
};

}  // namespace gantry::link
