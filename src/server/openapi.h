// The OpenAPI 3.1 document of the route table, by reflection on the schema.
#pragma once

#include <string>

#include "server/routes.h"

namespace gantry::server {

// JSON.
std::string make_openapi(const RouteTable& routes, const std::string& version);

}  // namespace gantry::server
