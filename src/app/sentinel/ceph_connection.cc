// The real CephClient, over librados and librbd.
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <system_error>
#include <utility>

#include "app/sentinel/ceph_client.h"
#include "app/sentinel/ceph_library.h"

namespace gantry::sentinel {
namespace {

// Seconds until a call is given up: less than a lease is good for, so that one that got lost can be asked anew.
constexpr const char* kOsdPatience = "3";
// It answers once its fellows have agreed, which may take a second or two.
constexpr const char* kMonitorPatience = "8";
constexpr const char* kConnectPatience = "5";
// Of clients that are shut out. A year: whatever is left of such a guest, sends what it had to write when it gets
// through again, however late. Addresses have a random number in them, so nobody else is ever meant.
constexpr std::uint32_t kShutOutSeconds = 365U * 24 * 3'600;
constexpr std::size_t kObjectBytesMax = 64 * 1'024;
constexpr const char* kExclusiveLock = "rbd_lock";

ErrorCode code_of(int error) {
  switch (error) {
    case ETIMEDOUT: return ErrorCode::timed_out;
    case ENOENT: return ErrorCode::not_found;
    case EPERM:
    case EACCES: return ErrorCode::permission_denied;
    case EEXIST:
    case ERANGE:
    case EOVERFLOW: return ErrorCode::conflict;
    case ENOSPC:
    case EDQUOT: return ErrorCode::out_of_space;
    default: return ErrorCode::unavailable;
  }
}

class CephConnection final : public CephClient {
 public:
  CephConnection(const CephLibrary& library, model::RbdLocation pool) : ceph_(library), pool_(std::move(pool)) {}
  ~CephConnection() override {
    if (objects_ != nullptr) ceph_.ioctx_destroy(objects_);
    if (cluster_ != nullptr) ceph_.shutdown(cluster_);
  }
  CephConnection(const CephConnection&) = delete;
  CephConnection& operator=(const CephConnection&) = delete;

  Result<void> open();
  Result<std::optional<CephObject>> read(const std::string& object) override;
  Result<std::uint64_t> create(const std::string& object, const std::string& bytes) override;
  Result<std::uint64_t> replace(const std::string& object, const std::string& bytes, std::uint64_t version) override;
  Result<void> remove(const std::string& object) override;
  Result<std::vector<CephImageClient>> clients_of(const std::string& image) override;
  Result<void> shut_out(const std::vector<CephImageClient>& clients) override;

 private:
  // `result`: of a call, negative.
  [[nodiscard]] tl::unexpected<Error> failure(const std::string& what, int result) const;
  Result<std::uint64_t> write(const std::string& object, const std::string& bytes,
                              const std::optional<std::uint64_t>& version);
  Result<void> add_watchers(rbd_image_t image, std::vector<CephImageClient>& clients);
  Result<void> add_lock_owner(rbd_image_t image, std::vector<CephImageClient>& clients);

  const CephLibrary& ceph_;
  model::RbdLocation pool_;
  rados_t cluster_ = nullptr;
  rados_ioctx_t objects_ = nullptr;
};

tl::unexpected<Error> CephConnection::failure(const std::string& what, int result) const {
  const std::string place = pool_.pool + (pool_.name_space.empty() ? "" : "/" + pool_.name_space);
  if (result == -ESHUTDOWN) {
    return fail(ErrorCode::unavailable, "cannot " + what + " in pool " + place + " of Ceph",
                "this host's client was shut out", "it connects anew", kShutOutReason);
  }
  return fail(code_of(-result), "cannot " + what + " in pool " + place + " of Ceph",
              result == -ETIMEDOUT ? "it did not answer in time" : std::generic_category().message(-result));
}

Result<void> CephConnection::open() {
  if (const int made = ceph_.create(&cluster_, pool_.user.c_str()); made < 0) return failure("make a client", made);
  if (const int read = ceph_.conf_read_file(cluster_, pool_.configuration.c_str()); read < 0) {
    return fail(code_of(-read), "cannot reach pool " + pool_.pool + " of Ceph",
                "cannot read " + pool_.configuration + ": " + std::generic_category().message(-read));
  }
  const std::array<std::pair<const char*, const char*>, 6> options{{{"client_mount_timeout", kConnectPatience},
                                                                    {"rados_mon_op_timeout", kMonitorPatience},
                                                                    {"rados_osd_op_timeout", kOsdPatience},
                                                                    {"ms_async_op_threads", "1"},
                                                                    {"log_file", ""},
                                                                    {"admin_socket", ""}}};
  for (const auto& [name, value] : options) {
    if (const int set = ceph_.conf_set(cluster_, name, value); set < 0) {
      return failure(std::string("set ") + name, set);
    }
  }
  if (const int connected = ceph_.connect(cluster_); connected < 0) return failure("reach the monitors", connected);
  if (const int opened = ceph_.ioctx_create(cluster_, pool_.pool.c_str(), &objects_); opened < 0) {
    return failure("open the pool", opened);
  }
  ceph_.ioctx_set_namespace(objects_, pool_.name_space.c_str());
  return {};
}

Result<std::optional<CephObject>> CephConnection::read(const std::string& object) {
  CephObject found{.bytes = std::string(kObjectBytesMax, '\0')};
  const int count = ceph_.read(objects_, object.c_str(), found.bytes.data(), found.bytes.size(), 0);
  if (count == -ENOENT) return std::nullopt;
  if (count < 0) return failure("read " + object, count);
  found.bytes.resize(static_cast<std::size_t>(count));
  found.version = ceph_.get_last_version(objects_);
  return found;
}

Result<std::uint64_t> CephConnection::write(const std::string& object, const std::string& bytes,
                                            const std::optional<std::uint64_t>& version) {
  const std::unique_ptr<void, decltype(ceph_.release_write_op)> operation(ceph_.create_write_op(),
                                                                          ceph_.release_write_op);
  if (version) {
    ceph_.write_op_assert_version(operation.get(), *version);
  } else {
    ceph_.write_op_create(operation.get(), LIBRADOS_CREATE_EXCLUSIVE, nullptr);
  }
  ceph_.write_op_write_full(operation.get(), bytes.data(), bytes.size());
  const int written = ceph_.write_op_operate(operation.get(), objects_, object.c_str(), nullptr, 0);
  if (version && written == -ENOENT) return failure("write " + object, -ERANGE);
  if (written < 0) return failure("write " + object, written);
  return ceph_.get_last_version(objects_);
}

Result<std::uint64_t> CephConnection::create(const std::string& object, const std::string& bytes) {
  return write(object, bytes, std::nullopt);
}

Result<std::uint64_t> CephConnection::replace(const std::string& object, const std::string& bytes,
                                              std::uint64_t version) {
  return write(object, bytes, version);
}

Result<void> CephConnection::remove(const std::string& object) {
  const int removed = ceph_.remove(objects_, object.c_str());
  if (removed < 0 && removed != -ENOENT) return failure("remove " + object, removed);
  return {};
}

// ---- who has an image open

Result<std::vector<CephImageClient>> CephConnection::clients_of(const std::string& name) {
  rbd_image_t opened = nullptr;
  const int error = ceph_.open_image(objects_, name.c_str(), &opened, nullptr);
  if (error == -ENOENT) return std::vector<CephImageClient>{};
  if (error < 0) return failure("open image " + name, error);
  const std::unique_ptr<void, decltype(ceph_.close_image)> image(opened, ceph_.close_image);
  std::vector<CephImageClient> clients;
  if (auto added = add_lock_owner(image.get(), clients); !added) return fail(added.error());
  if (auto added = add_watchers(image.get(), clients); !added) return fail(added.error());
  return clients;
}

Result<void> CephConnection::add_lock_owner(rbd_image_t image, std::vector<CephImageClient>& clients) {
  int exclusive = 0;
  std::array<char, 256> tag{};
  std::array<char, 4'096> owners{};
  std::array<char, 4'096> cookies{};
  std::array<char, 4'096> addresses{};
  std::size_t tag_size = tag.size();
  std::size_t owners_size = owners.size();
  std::size_t cookies_size = cookies.size();
  std::size_t addresses_size = addresses.size();
  const auto count = ceph_.list_lockers(image, &exclusive, tag.data(), &tag_size, owners.data(), &owners_size,
                                        cookies.data(), &cookies_size, addresses.data(), &addresses_size);
  if (count == -ENOENT || count == 0) return {};
  if (count < 0) return failure("read who has an image's lock", static_cast<int>(count));
  std::array<char, 256> id{};
  if (const int got = ceph_.image_id(image, id.data(), id.size()); got < 0) return failure("read an image's id", got);
  const char* owner = owners.data();
  const char* cookie = cookies.data();
  const char* address = addresses.data();
  for (auto left = count; left > 0; --left) {
    clients.push_back({.address = address,
                       .lock_owner = owner,
                       .lock_cookie = cookie,
                       .lock_object = std::string("rbd_header.") + id.data()});
    owner += std::strlen(owner) + 1;
    cookie += std::strlen(cookie) + 1;
    address += std::strlen(address) + 1;
  }
  return {};
}

Result<void> CephConnection::add_watchers(rbd_image_t image, std::vector<CephImageClient>& clients) {
  std::vector<rbd_image_watcher_t> watchers(64);
  std::size_t count = watchers.size();
  int listed = ceph_.list_watchers(image, watchers.data(), &count);
  if (listed == -ERANGE) {
    watchers.resize(count);
    listed = ceph_.list_watchers(image, watchers.data(), &count);
  }
  if (listed < 0) return failure("read who has an image open", listed);
  for (std::size_t i = 0; i < count; ++i) clients.push_back({.address = watchers[i].addr});
  ceph_.free_watchers(watchers.data(), count);
  return {};
}

Result<void> CephConnection::shut_out(const std::vector<CephImageClient>& clients) {
  std::vector<std::string> addresses;
  for (const CephImageClient& client : clients) addresses.push_back(client.address);
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  for (std::string& address : addresses) {
    const int added = ceph_.blocklist_add(cluster_, address.data(), kShutOutSeconds);
    if (added < 0) return failure("shut out " + address, added);
  }
  if (addresses.empty()) return {};
  // Whoever reads or writes with this map or a later one has the storage heed it first.
  if (const int known = ceph_.wait_for_latest_osdmap(cluster_); known < 0) return failure("learn its map", known);
  for (const CephImageClient& client : clients) {
    if (client.lock_object.empty()) continue;
    const int broken = ceph_.break_lock(objects_, client.lock_object.c_str(), kExclusiveLock, client.lock_owner.c_str(),
                                        client.lock_cookie.c_str());
    if (broken < 0 && broken != -ENOENT) return failure("free an image's lock", broken);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<CephClient>> connect_to_ceph(const model::RbdLocation& pool) {
  const auto library = ceph_library();
  if (!library) return fail(library.error());
  auto connection = std::make_unique<CephConnection>(**library, pool);
  if (auto opened = connection->open(); !opened) return fail(opened.error());
  return connection;
}

}  // namespace gantry::sentinel
