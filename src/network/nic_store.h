// What was attached on this host, one file for each NIC: what has to be taken away when its VM goes, even by a daemon
// that did not attach it. The files need not outlive a power loss: neither do taps and rules.
//
// Not safe for several threads.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "network/plan.h"

namespace gantry::network {

class NicStore {
 public:
  // In `directory`, which is made when needed.
  explicit NicStore(std::string directory) : directory_(std::move(directory)) {}

  // Reads the files; damaged ones are removed. Later calls do nothing.
  Result<void> load();
  // The taps whose records were damaged, once.
  std::vector<std::string> take_damaged() { return std::exchange(damaged_, {}); }
  Result<void> put(const NicPlan& nic);
  void erase(const NicPlan& nic);
  // By VM and index, in order.
  [[nodiscard]] const std::map<std::string, NicPlan>& all() const { return nics_; }
  [[nodiscard]] std::vector<NicPlan> of_vm(const std::string& vm_id) const;
  [[nodiscard]] std::vector<NicPlan> of_network(const std::string& network_id) const;
  [[nodiscard]] const NicPlan* find(const std::string& vm_id, std::uint32_t index) const;

 private:
  [[nodiscard]] std::string path_of(const std::string& key) const { return directory_ + "/" + key; }

  std::string directory_;
  bool loaded_ = false;
  std::vector<std::string> damaged_;
  std::map<std::string, NicPlan> nics_;
};

std::string encode_nic(const NicPlan& nic);
// Every text in it is checked again: it may have been changed on disk.
Result<NicPlan> decode_nic(std::string_view text);

// A new file renamed over `path`, not synced. Its name until then begins with a dot.
Result<void> replace_file(const std::string& path, std::string_view content);

}  // namespace gantry::network
