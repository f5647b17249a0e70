#include "link/local_link.h"

#include <utility>

namespace gantry::link {

class LocalLink::Ends final : public port::ManagerLink,
                              public port::HostLink,
                              public std::enable_shared_from_this<Ends> {
 public:
  explicit Ends(port::Executor& executor) : executor_(executor) {}

  void send(const std::string& host_id, const v1::ToHost& message) override {
    if (host_id != host_id_) return;
    executor_.post([self = shared_from_this(), message] {
      if (self->to_host_) self->to_host_(message);
    });
  }
  void on_message(std::function<void(const v1::FromHost&)> handler) override { to_manager_ = std::move(handler); }
  void on_connection(std::function<void(const std::string&, bool)> handler) override {
    manager_connection_ = std::move(handler);
  }
  // Whoever is in the same process is of the cluster.
  void on_admission(std::function<port::Standing(const std::string&)> /*handler*/) override {}
  void drop(const std::string& /*host_id*/) override {}

  void send(const v1::FromHost& message) override {
    executor_.post([self = shared_from_this(), message] {
      if (self->to_manager_) self->to_manager_(message);
    });
  }
  void on_message(std::function<void(const v1::ToHost&)> handler) override { to_host_ = std::move(handler); }
  void on_connection(std::function<void(bool)> handler) override { host_connection_ = std::move(handler); }

  void connect(const std::string& host_id) {
    host_id_ = host_id;
    executor_.post([self = shared_from_this()] {
      if (self->manager_connection_) self->manager_connection_(self->host_id_, true);
      if (self->host_connection_) self->host_connection_(true);
    });
  }

 private:
  port::Executor& executor_;
  std::string host_id_;
  std::function<void(const v1::FromHost&)> to_manager_;
  std::function<void(const v1::ToHost&)> to_host_;
  std::function<void(const std::string&, bool)> manager_connection_;
  std::function<void(bool)> host_connection_;
};

LocalLink::LocalLink(port::Executor& executor) : ends_(std::make_shared<Ends>(executor)) {}
LocalLink::~LocalLink() = default;
port::ManagerLink& LocalLink::manager_end() { return *ends_; }
port::HostLink& LocalLink::host_end() { return *ends_; }
void LocalLink::connect(const std::string& host_id) { ends_->connect(host_id); }

}  // namespace gantry::link
