// No text of a user's adds a line, a key or a MIME part of its own to the seed.
#include <algorithm>
#include <cstdlib>

#include "model/cloud_init.h"

namespace {

std::size_t count_lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

void require(bool holds) {
  if (!holds) std::abort();
}

void check_scalar(const std::string& quoted) {
  require(quoted.size() >= 2 && quoted.front() == '"' && quoted.back() == '"');
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    require(quoted[i] >= 0x20 && quoted[i] < 0x7f && quoted[i] != '"');
    if (quoted[i] == '\\') require(++i + 1 < quoted.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(data, data + size);
  check_scalar(gantry::model::yaml_quoted(text));

  gantry::v1::Vm vm;
  vm.mutable_meta()->set_id(text);
  vm.mutable_meta()->set_name("name");
  vm.mutable_spec()->add_nics()->set_mac(text);
  auto* asked = vm.mutable_spec()->mutable_cloud_init();
  asked->set_host_name(text);
  asked->set_user("u" + text);
  asked->add_ssh_authorized_keys(text);
  const auto files = gantry::model::cloud_init_files(vm, {});
  require(files.size() == 3);
  require(count_lines(files.at("meta-data")) == 2);
  require(count_lines(files.at("network-config")) == (text.empty() ? 6U : 7U));
  require(count_lines(files.at("user-data")) == 9);

  if (text.empty()) return 0;
  asked->set_user_data(text);
  const std::string combined = gantry::model::cloud_init_files(vm, {}).at("user-data");
  const std::string marker = "boundary=\"";
  const auto begin = combined.find(marker) + marker.size();
  const std::string boundary = combined.substr(begin, combined.find('"', begin) - begin);
  require(count(combined, "--" + boundary) == 3);
  return 0;
}
