#include "app/sentinel/wire.h"

#include <nlohmann/json.hpp>

#include "base/id.h"
#include "model/rbd_location.h"

namespace gantry::sentinel {
namespace {

using Json = nlohmann::json;

std::string to_text(const Json& message) { return message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// Whatever is in a line, a message of ours or an error.
template <class Message, class Read>
Result<Message> parse(std::string_view line, Read read) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "a line to the sentinel is no message");
  try {
    return read(json);
  } catch (const Json::exception& why) {
    return fail(ErrorCode::invalid_argument, "a message to the sentinel makes no sense", why.what());
  }
}

Json to_json(const port::LeaseWish& wish) {
  return {{"vm", wish.vm_id},
          {"directory", wish.directory},
          {"host", wish.host_id},
          {"epoch", wish.epoch},
          {"private", wish.is_private},
          {"hold", wish.hold},
          {"incoming", wish.incoming},
          {"given", wish.was_given},
          {"heir", wish.heir},
          {"heir_epoch", wish.heir_epoch},
          {"serves", wish.serves},
          {"images", wish.images},
          {"lacks_images", wish.lacks_images}};
}

port::LeaseWish wish_of(const Json& json) {
  port::LeaseWish wish;
  wish.vm_id = json.at("vm").get<std::string>();
  wish.directory = json.at("directory").get<std::string>();
  wish.host_id = json.at("host").get<std::string>();
  wish.epoch = json.at("epoch").get<std::uint64_t>();
  wish.is_private = json.at("private").get<bool>();
  wish.hold = json.at("hold").get<bool>();
  // Processes from before guests could move say nothing of these.
  wish.incoming = json.value("incoming", false);
  wish.was_given = json.value("given", false);
  wish.heir = json.value("heir", std::string());
  wish.heir_epoch = json.value("heir_epoch", std::uint64_t{0});
  wish.serves = json.value("serves", false);
  wish.images = json.value("images", std::vector<std::string>());
  wish.lacks_images = json.value("lacks_images", false);
  return wish;
}

// Its words become parts of paths.
Result<void> check(const port::LeaseWish& wish) {
  const auto ceph = model::rbd_location(wish.directory);
  const bool has_place = wish.directory.starts_with('/') || (ceph && ceph->image.empty() && !wish.is_private);
  const bool good = is_id(wish.vm_id, "vm") && has_place && !wish.host_id.empty() &&
                    wish.host_id.size() <= host::kLeaseHostIdBytesMax && wish.directory.find('\0') == std::string::npos;
  if (!good) return fail(ErrorCode::invalid_argument, "a wish for a lease names no VM, pool or host");
  // It is written into the record, and who is given the lease has a later epoch.
  const bool gives = !wish.hold && wish.heir != wish.host_id && wish.heir_epoch > wish.epoch &&
                     wish.heir.size() <= host::kLeaseHostIdBytesMax;
  if (wish.heir.empty() || gives) return {};
  return fail(ErrorCode::invalid_argument, "a wish for a lease names an heir that cannot have it");
}

Json to_json(const Ward& ward) {
  Json json = {
      {"wish", to_json(ward.wish)},          {"epoch", ward.memory.epoch},     {"held", ward.memory.held},
      {"kept", ward.memory.given_to_itself}, {"counter", ward.memory.counter}, {"renewed_ms", ward.memory.renewed_ms},
      {"resume", ward.guard.resume},         {"frozen", ward.guard.frozen},    {"guarded", ward.guarded}};
  if (ward.guard.freeze_at_ms) json["freeze_at_ms"] = *ward.guard.freeze_at_ms;
  return json;
}

Ward ward_of(const Json& json) {
  Ward ward;
  ward.wish = wish_of(json.at("wish"));
  ward.memory.epoch = json.value("epoch", ward.wish.epoch);
  ward.memory.held = json.at("held").get<bool>();
  ward.memory.given_to_itself = json.at("kept").get<bool>();
  ward.memory.counter = json.at("counter").get<std::uint64_t>();
  ward.memory.renewed_ms = json.at("renewed_ms").get<Milliseconds>();
  ward.guard.resume = json.at("resume").get<bool>();
  ward.guard.frozen = json.at("frozen").get<bool>();
  ward.guarded = json.at("guarded").get<bool>();
  if (json.contains("freeze_at_ms")) ward.guard.freeze_at_ms = json.at("freeze_at_ms").get<Milliseconds>();
  return ward;
}

Json to_json(const Error& error) {
  return {{"summary", error.summary}, {"cause", error.cause}, {"next_step", error.next_step}};
}

Error error_of(const Json& json) {
  return {ErrorCode::unavailable, json.at("summary").get<std::string>(), json.at("cause").get<std::string>(),
          json.at("next_step").get<std::string>()};
}

}  // namespace

std::string to_line(const Request& request) {
  return to_text({{request.kind == Request::Kind::want ? "want" : "remove", to_json(request.wish)}});
}

std::string to_line(const Answer& answer) {
  Json json = Json::object();
  if (answer.lease) {
    const v1::LeaseStatus& status = answer.lease->status;
    json["lease"] = {{"vm", answer.lease->vm_id},
                     {"state", static_cast<int>(status.state())},
                     {"epoch", status.epoch()},
                     {"reason", status.reason()},
                     {"guard", answer.lease->guard},
                     {"moves", true},
                     {"serves", true}};
  }
  if (!answer.removed_vm_id.empty()) json["removed"] = answer.removed_vm_id;
  if (answer.error) json["error"] = to_json(*answer.error);
  return to_text(json);
}

std::string to_line(const Handover& handover) {
  Json wards = Json::array();
  for (const Ward& ward : handover.wards) wards.push_back(to_json(ward));
  return to_text({{"wards", std::move(wards)}, {"end", handover.end}});
}

Result<Request> parse_request(std::string_view line) {
  auto request = parse<Request>(line, [](const Json& json) {
    const bool wants = json.contains("want");
    return Request{wants ? Request::Kind::want : Request::Kind::remove, wish_of(json.at(wants ? "want" : "remove"))};
  });
  if (request) {
    if (auto good = check(request->wish); !good) return fail(good.error());
  }
  return request;
}

Result<Answer> parse_answer(std::string_view line) {
  return parse<Answer>(line, [](const Json& json) {
    Answer answer;
    if (json.contains("lease")) {
      const Json& lease = json.at("lease");
      port::LeaseObservation& seen = answer.lease.emplace();
      seen.vm_id = lease.at("vm").get<std::string>();
      const int state = lease.at("state").get<int>();
      if (v1::LeaseStatus::State_IsValid(state)) seen.status.set_state(static_cast<v1::LeaseStatus::State>(state));
      seen.status.set_epoch(lease.at("epoch").get<std::uint64_t>());
      seen.status.set_reason(lease.at("reason").get<std::string>());
      seen.guard = lease.at("guard").get<std::string>();
      seen.moves_nothing = !lease.value("moves", false);
      seen.serves_nothing = !lease.value("serves", false);
    }
    if (json.contains("removed")) answer.removed_vm_id = json.at("removed").get<std::string>();
    if (json.contains("error")) answer.error = error_of(json.at("error"));
    return answer;
  });
}

Result<Handover> parse_handover(std::string_view line) {
  return parse<Handover>(line, [](const Json& json) {
    Handover handover;
    handover.end = json.at("end").get<bool>();
    for (const Json& ward : json.at("wards")) handover.wards.push_back(ward_of(ward));
    return handover;
  });
}

}  // namespace gantry::sentinel
