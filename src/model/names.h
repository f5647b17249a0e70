// Names of records, as DNS labels are: 1 to 63 of a-z, 0-9 and "-", beginning with a letter, ending without "-".
#pragma once

#include <string>
#include <string_view>

namespace gantry::model {

inline constexpr std::size_t kNameLengthMax = 63;

bool is_name(std::string_view text);

// The nearest name to any text ("My Host.example" -> "my-host-example"); "unnamed" when nothing of it can serve.
std::string to_name(std::string_view text);

// `base` shortened so that `base` + `suffix` is still a name, with the suffix.
std::string name_with_suffix(std::string_view base, std::string_view suffix);

}  // namespace gantry::model
