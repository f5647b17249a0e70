// What most sources include, parsed once where GANTRY_PRECOMPILE is on.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
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
