#include "link/connection.h"

#include "link/status.h"

namespace gantry::link {
namespace {

// Of memory, which is what it costs here: many small things take more than the bytes they came in.
constexpr std::int64_t kBytesPerCost = 8;
// More records than any host has.
constexpr int kRecordsMax = 20'000;

Error too_much() {
  return Error{ErrorCode::invalid_argument, "the manager has ended the connection",
               "a message tells of more than 20000 records at once", "see that this host runs the manager's version"};
}

}  // namespace

Connection* Connection::open(const std::shared_ptr<LinkHub>& hub, grpc::CallbackServerContext& context,
                             HostIdentity identity) {
  const auto connection = std::make_shared<Connection>(hub, context, std::move(identity));
  connection->self_ = connection;
  hub->post([hub, connection] { hub->arrived(connection); });
  return connection.get();
}

void Connection::begin() {
  // Tells the host that it was admitted.
  context_.AddInitialMetadata(std::string(kAdmittedKey), "1");
  StartSendInitialMetadata();
  read_next();
}

void Connection::send(const v1::ToHost& message) {
  outbox_.add(message);
  write_next();
}

void Connection::end(const grpc::Status& status) {
  if (finished_) return;
  finished_ = true;
  // A host that does not read would keep the status from being sent.
  if (writing_) context_.TryCancel();
  Finish(status);
}

void Connection::read_next() {
  if (!finished_) StartRead(&incoming_);
}

void Connection::read_done(bool ok) {
  if (!ok) return end(grpc::Status::OK);
  if (finished_) return;
  if (incoming_.observations_size() + incoming_.samples_size() > kRecordsMax) return end(to_status(too_much()));
  const auto bytes = static_cast<std::int64_t>(incoming_.SpaceUsedLong());
  hub_->message_came(*this, incoming_);
  // Clear() would keep the memory for as long as the connection lives.
  incoming_ = v1::FromHost();
  if (finished_) return;
  const Milliseconds wait_ms = hub_->charge(identity_.host_id, kMessageCost + bytes / kBytesPerCost);
  if (wait_ms == 0) return read_next();
  hub_->executor().post_after(wait_ms, [self = self_] { self->read_next(); });
}

void Connection::write_next() {
  if (finished_ || writing_) return;
  auto next = outbox_.take();
  if (!next) return;
  outgoing_ = std::move(*next);
  writing_ = true;
  StartWrite(&outgoing_);
}

void Connection::write_done(bool ok) {
  writing_ = false;
  if (!ok) return end(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the connection is lost"));
  write_next();
}

void Connection::OnReadDone(bool ok) {
  hub_->post([self = self_, ok] { self->read_done(ok); });
}

void Connection::OnWriteDone(bool ok) {
  hub_->post([self = self_, ok] { self->write_done(ok); });
}

void Connection::OnDone() {
  hub_->post([hub = hub_, self = std::move(self_)] { hub->left(self); });
}

}  // namespace gantry::link
