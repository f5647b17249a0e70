// Programs that stand for Ceph's own in tests: they keep what they are told in a directory. Never part of the library.
#pragma once

#include <string>
#include <vector>

#include "storage/testing.h"

namespace gantry::storage {

// The programs `rbd`, `rados` and `ceph` of this process are these as long as it lives.
class FakeCeph {
 public:
  explicit FakeCeph(std::string directory);
  ~FakeCeph();
  FakeCeph(const FakeCeph&) = delete;
  FakeCeph& operator=(const FakeCeph&) = delete;

  // Those words of the next program that begins with `verb` ("rbd rename") are its end, with that status. `after`: it
  // does its work first.
  void fail_next(const std::string& verb, const std::string& words, bool after = false) const;
  [[nodiscard]] std::vector<std::string> images() const;
  // As another client has it.
  void put_image(const std::string& name, std::uint64_t size_bytes) const;
  // The same image by another name, as a renaming that was cut short leaves it.
  void put_name(const std::string& name, const std::string& of) const;
  void put_object(const std::string& name, const std::string& content) const;
  [[nodiscard]] std::string object(const std::string& name) const;
  // Whether a guest has it open.
  void set_open(const std::string& name, bool is_open) const;
  [[nodiscard]] std::string content(const std::string& name) const;
  // Every command line so far, without what reaches the cluster.
  [[nodiscard]] std::string calls() const;

 private:
  std::string directory_;
  std::string path_before_;
};

}  // namespace gantry::storage
