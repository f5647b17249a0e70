#include "app/sentinel/lease_object.h"

#include <map>
#include <utility>

namespace gantry::sentinel {
namespace {

Result<std::optional<host::LeaseRecord>> record_in(const std::optional<CephObject>& object) {
  if (!object) return std::nullopt;
  auto record = host::parse_lease_block(object->bytes);
  if (record) return std::move(*record);
  // A later version's is somebody's.
  if (record.error().code == ErrorCode::unsupported) return fail(record.error());
  return host::unreadable_record(object->bytes);
}

std::string key_of(const model::RbdLocation& image) {
  model::RbdLocation pool = image;
  pool.image.clear();
  return model::to_text(pool);
}

// The clients of some images that are in one pool, and the connection to it.
struct Opened {
  std::unique_ptr<CephClient> client;
  std::vector<CephImageClient> clients;
};

Result<void> list_clients(const CephConnect& connect, const std::string& text, std::map<std::string, Opened>& pools) {
  auto image = model::rbd_location(text);
  // On a file system: the lease's times guard it.
  if (!image || image->image.empty()) return {};
  Opened& opened = pools[key_of(*image)];
  if (!opened.client) {
    model::RbdLocation pool = *image;
    pool.image.clear();
    auto client = connect(pool);
    if (!client) return fail(client.error());
    opened.client = std::move(*client);
  }
  auto clients = opened.client->clients_of(image->image);
  if (!clients) return fail(clients.error());
  opened.clients.insert(opened.clients.end(), clients->begin(), clients->end());
  return {};
}

}  // namespace

Result<std::optional<host::LeaseRecord>> LeaseObject::read() {
  version_.reset();
  const auto object = pool_->call([this](CephClient& client) { return client.read(object_); });
  if (!object) return fail(object.error());
  if (*object) version_ = (*object)->version;
  return record_in(*object);
}

Result<void> LeaseObject::write(const host::LeaseWrite& write) {
  const auto over = std::exchange(version_, std::nullopt);
  if (!write.create && !over) {
    return fail(ErrorCode::conflict, "cannot write " + object_ + " in Ceph", "what is there now was not read yet",
                "it is read again");
  }
  const std::string block = host::to_block(write.record);
  const auto written = pool_->call([&](CephClient& client) {
    return write.create ? client.create(object_, block) : client.replace(object_, block, *over);
  });
  if (!written) return fail(written.error());
  version_ = *written;
  return {};
}

Result<void> LeaseObject::remove() {
  version_.reset();
  return pool_->call([this](CephClient& client) { return client.remove(object_); });
}

// First they are listed, then the record is looked at: what was listed is then of no host that came to it since.
Result<void> LeaseObject::fence(const std::optional<host::LeaseRecord>& record, const port::LeaseWish& wish) {
  if (wish.lacks_images) {
    return fail(ErrorCode::unavailable, "cannot shut out who had it before",
                "where some of its disks are is not known here yet");
  }
  std::map<std::string, Opened> pools;
  for (const std::string& image : wish.images) {
    if (auto listed = list_clients(pool_->connect(), image, pools); !listed) return listed;
  }
  auto own = pool_->connect()(pool_->location());
  if (!own) return fail(own.error());
  const auto object = (*own)->read(object_);
  if (!object) return fail(object.error());
  const auto found = record_in(*object);
  if (!found) return fail(found.error());
  if (*found != record) return fail(ErrorCode::conflict, object_ + " was written meanwhile", {}, "it is watched anew");
  for (auto& [place, opened] : pools) {
    if (auto done = opened.client->shut_out(opened.clients); !done) return done;
  }
  return {};
}

}  // namespace gantry::sentinel
