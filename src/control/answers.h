// The READ routes, answered from the view.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "control/view.h"

namespace gantry::control {

// unsupported for an rpc that is not one of them.
Result<std::unique_ptr<google::protobuf::Message>> answer_read(const std::string& rpc,
                                                               const google::protobuf::Message& request,
                                                               const View& view);

}  // namespace gantry::control
