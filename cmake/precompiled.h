// What most sources include, and what many do that takes seconds to parse, parsed once where GANTRY_PRECOMPILE is on.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "gantry/v1/link.pb.h"
#include "gantry/v1/routes.pb.h"
