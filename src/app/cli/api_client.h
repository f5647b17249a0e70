// Calls the API by the names of its routes: path, query and body come from api/gantry/v1/routes.proto by reflection.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>

#include "app/cli/https_client.h"
#include "app/cli/settings.h"
#include "gantry/v1/routes.pb.h"

namespace gantry::app {

struct CallFlags {
  bool dry_run = false;
};

class ApiClient {
 public:
  explicit ApiClient(Settings settings) : settings_(std::move(settings)), https_(settings_.server) {}

  // `Answer` must be the route's answer type.
  template <class Answer>
  Result<Answer> call(const std::string& rpc, const google::protobuf::Message& request, const CallFlags& flags = {}) {
    Answer answer;
    if (auto called = call_into(rpc, request, flags, answer); !called) return fail(called.error());
    return answer;
  }

  Result<void> call_into(const std::string& rpc, const google::protobuf::Message& request, const CallFlags& flags,
                         google::protobuf::Message& answer);
  Result<void> upload_image(const std::string& image_id, const std::string& path,
                            const std::function<void(std::uint64_t sent, std::uint64_t total)>& progress);
  // Until `change` returns false; that the server ends the stream is an error. `resync`: changes before the event's
  // revision are missing, and the event tells of none.
  Result<void> follow_events(const v1::EventsRequest& request,
                             const std::function<bool(const v1::ChangeEvent& event, bool resync)>& change);
  Result<void> run_console(const std::string& vm, const ConsoleEnds& ends);

 private:
  HttpRequest prepare(const v1::Route& route, const google::protobuf::Message& request, const CallFlags& flags) const;

  Settings settings_;
  HttpsClient https_;
};

// The Error in an answer from 400 on.
Error error_of(const HttpResponse& response);

}  // namespace gantry::app
