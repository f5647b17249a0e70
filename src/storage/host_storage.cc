#include "storage/host_storage.h"

#include <algorithm>
#include <deque>
#include <exception>
#include <map>
#include <set>
#include <utility>

#include "model/rbd_location.h"
#include "storage/images.h"
#include "storage/job.h"
#include "storage/pool_identity.h"
#include "storage/pools.h"
#include "storage/rbd_images.h"
#include "storage/rbd_pool.h"
#include "storage/rbd_volumes.h"
#include "storage/seeds.h"
#include "storage/tpms.h"
#include "storage/volumes.h"

namespace gantry::storage {
namespace {

// Library calls may throw (memory, file system): that ends here.
template <class Work>
auto guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& error) {
    return fail(ErrorCode::internal, "the storage driver failed", error.what(), "report this as a defect of Gantry");
  }
}

bool is_in_ceph(const port::PoolRequest& pool) { return model::rbd_location(pool.path).has_value(); }

}  // namespace

// Does one thing at a time for each object, on workers, and answers on the executor while the driver lives.
class HostStorage::Queue : public std::enable_shared_from_this<Queue> {
 public:
  Queue(port::Executor& executor, Workers own, Workers shared) : executor_(executor), own_(own), shared_(shared) {}

  // Executor's thread.
  void note_pool(const port::PoolRequest& pool) {
    if (!pool.shared_id.empty()) shared_paths_.insert(pool.path + "/");
  }
  // Those that work in that pool. A disk in a pool of this host is read with the image it is an overlay of, wherever
  // that lies. Executor's thread.
  [[nodiscard]] const Workers& workers_of(const port::PoolRequest& pool, const std::string& image_path = {}) const {
    const bool image_is_shared = std::any_of(shared_paths_.begin(), shared_paths_.end(),
                                             [&](const std::string& path) { return image_path.starts_with(path); });
    return pool.shared_id.empty() && !image_is_shared ? own_ : shared_;
  }
  [[nodiscard]] const Workers& own_workers() const { return own_; }

  // `Value work(const Job&)` on one of those workers, then `done`. Executor's thread.
  template <class Value>
  void run(const std::string& object, runtime::WorkerPool& workers, port::ProgressCallback progress,
           std::function<Result<Value>(const Job&)> work, std::function<void(Result<Value>)> done) {
    auto cancel = std::make_shared<std::atomic<bool>>(false);
    // On the executor's thread, once.
    auto answer = [self = shared_from_this(), object, done = std::move(done)](Result<Value> result) {
      self->executor_.post([self, object, done, result = std::move(result)] {
        if (self->closed_) return;
        self->next(object);
        done(result);
      });
    };
    Entry entry{cancel, std::make_shared<std::atomic<bool>>(false), {}, {}};
    entry.give_up = [object, answer] { answer(cancelled_work<Value>(object)); };
    entry.start = [self = shared_from_this(), object, &workers, cancel, taken = entry.taken, answer,
                   job = make_job(cancel, std::move(progress)), work = std::move(work)] {
      workers.submit([self, object, cancel, taken, job, work, answer] {
        if (taken->exchange(true)) return;
        self->active_->begin_work(object);
        auto result =
            guarded([&]() -> Result<Value> { return cancel->load() ? cancelled_work<Value>(object) : work(job); });
        self->active_->end_work(object);
        answer(std::move(result));
      });
    };
    auto& waiting = objects_[object];
    waiting.push_back(std::move(entry));
    if (waiting.size() == 1) begin(waiting.front());
  }

  // Ends soon what was begun or asked for that object before; what no worker took up yet waits for none.
  void cancel(const std::string& object) {
    const auto found = objects_.find(object);
    if (found == objects_.end()) return;
    for (const Entry& entry : found->second) entry.cancel->store(true);
    const Entry& first = found->second.front();
    if (!first.taken->exchange(true)) first.give_up();
  }

  void close() {
    closed_ = true;
    for (auto& [object, entries] : objects_) {
      for (const Entry& entry : entries) entry.cancel->store(true);
    }
    objects_.clear();
  }

  // For workers.
  [[nodiscard]] std::shared_ptr<ActiveObjects> active() const { return active_; }

 private:
  struct Entry {
    runtime::CancelFlag cancel;
    // By a worker, or by who gives it up before one came to it.
    std::shared_ptr<std::atomic<bool>> taken;
    std::function<void()> start;
    std::function<void()> give_up;
  };

  template <class Value>
  static Result<Value> cancelled_work(const std::string& object) {
    return fail(ErrorCode::cancelled, "the work on " + object + " was cancelled");
  }

  // The work is copied: running it may end it, and with it its place in the queue.
  static void begin(const Entry& entry) {
    if (!entry.cancel->load()) {
      std::function<void()>(entry.start)();
    } else if (!entry.taken->exchange(true)) {
      entry.give_up();
    }
  }

  // Passes progress on when what people see of it changes.
  Job make_job(const runtime::CancelFlag& cancel, port::ProgressCallback progress) {
    if (!progress) return Job{cancel, {}};
    auto last = std::make_shared<std::pair<std::uint32_t, std::string>>(101U, "");
    return Job{cancel, [self = shared_from_this(), progress = std::move(progress), last](std::uint32_t percent,
                                                                                         const std::string& phase) {
                 if (last->first == percent && last->second == phase) return;
                 *last = {percent, phase};
                 v1::Progress told;
                 told.set_percent(percent);
                 told.set_measurable(true);
                 told.set_phase(phase);
                 self->executor_.post([self, progress, told] {
                   if (!self->closed_) progress(told);
                 });
               }};
  }

  void next(const std::string& object) {
    const auto found = objects_.find(object);
    if (found == objects_.end()) return;
    found->second.pop_front();
    if (found->second.empty()) {
      objects_.erase(found);
      return;
    }
    begin(found->second.front());
  }

  port::Executor& executor_;
  Workers own_;
  Workers shared_;
  // Of all shared pools there were; with a slash at the end.
  std::set<std::string> shared_paths_;
  std::shared_ptr<ActiveObjects> active_ = std::make_shared<ActiveObjects>();
  // Of each object the work under way, then what waits for it. Executor's thread only, like `closed_`.
  std::map<std::string, std::deque<Entry>> objects_;
  bool closed_ = false;
};

HostStorage::HostStorage(port::Executor& executor, Workers own, Workers shared, StorageOptions options)
    : queue_(std::make_shared<Queue>(executor, own, shared)), options_(std::move(options)) {}

HostStorage::~HostStorage() { queue_->close(); }

void HostStorage::inspect_pool(const port::PoolRequest& request, std::function<void(Result<v1::PoolStatus>)> done) {
  queue_->note_pool(request);
  const auto inspect = is_in_ceph(request) ? rbd::inspect_pool : storage::inspect_pool;
  queue_->run<v1::PoolStatus>(
      request.path, queue_->workers_of(request).quick, {},
      [request, inspect, active = queue_->active()](const Job&) { return inspect(request, *active); }, std::move(done));
}

void HostStorage::release_pool(const port::PoolRequest& request, port::Done done) {
  const auto release = is_in_ceph(request) ? rbd::release_pool : storage::remove_identity;
  queue_->run<void>(
      request.path, queue_->workers_of(request).quick, {}, [request, release](const Job&) { return release(request); },
      std::move(done));
}

void HostStorage::create_volume(const port::VolumeRequest& request, port::ProgressCallback progress,
                                port::VolumeDone done) {
  const bool copies = request.format == v1::VolumeSpec::RAW && !request.image_path.empty();
  const Workers& workers = queue_->workers_of(request.pool, request.image_path);
  const auto create = is_in_ceph(request.pool) ? rbd::create_volume : storage::create_volume;
  queue_->run<port::VolumeFacts>(
      request.volume_id, copies ? workers.slow : workers.quick, std::move(progress),
      [request, create](const Job& job) { return create(request, job); }, std::move(done));
}

void HostStorage::inspect_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  const auto inspect = is_in_ceph(request.pool) ? rbd::inspect_volume : storage::inspect_volume;
  queue_->run<port::VolumeFacts>(
      request.volume_id, queue_->workers_of(request.pool, request.image_path).quick, {},
      [request, inspect](const Job&) { return inspect(request); }, std::move(done));
}

void HostStorage::resize_volume(const port::VolumeRequest& request, port::VolumeDone done) {
  const auto resize = is_in_ceph(request.pool) ? rbd::resize_volume : storage::resize_volume;
  queue_->run<port::VolumeFacts>(
      request.volume_id, queue_->workers_of(request.pool, request.image_path).quick, {},
      [request, resize](const Job&) { return resize(request); }, std::move(done));
}

void HostStorage::delete_volume(const port::VolumeRequest& request, port::Done done) {
  queue_->cancel(request.volume_id);
  const Workers& workers = queue_->workers_of(request.pool);
  // Ceph removes an image piece by piece.
  const bool in_ceph = is_in_ceph(request.pool);
  queue_->run<void>(
      request.volume_id, in_ceph ? workers.slow : workers.quick, {},
      [request, in_ceph](const Job& job) {
        return in_ceph ? rbd::delete_volume(request, job) : storage::delete_volume(request);
      },
      std::move(done));
}

void HostStorage::import_image(const port::ImageRequest& request, port::ProgressCallback progress,
                               port::ImageDone done) {
  const auto import = is_in_ceph(request.pool) ? rbd::import_image : storage::import_image;
  queue_->run<port::ImageFacts>(
      request.image_id, queue_->workers_of(request.pool).slow, std::move(progress),
      [request, import, options = options_](const Job& job) { return import(request, options, job); }, std::move(done));
}

void HostStorage::inspect_image(const port::ImageRequest& request, port::ImageDone done) {
  const auto inspect = is_in_ceph(request.pool) ? rbd::inspect_image : storage::inspect_image;
  queue_->run<port::ImageFacts>(
      request.image_id, queue_->workers_of(request.pool).quick, {},
      [request, inspect](const Job&) { return inspect(request); }, std::move(done));
}

void HostStorage::delete_image(const port::ImageRequest& request, port::Done done) {
  queue_->cancel(request.image_id);
  const auto remove = is_in_ceph(request.pool) ? rbd::delete_image : storage::delete_image;
  queue_->run<void>(
      request.image_id, queue_->workers_of(request.pool).quick, {},
      [request, remove](const Job&) { return remove(request); }, std::move(done));
}

void HostStorage::make_seed(const std::string& vm_id, std::uint32_t uid,
                            const std::map<std::string, std::string>& files,
                            std::function<void(Result<std::string>)> done) {
  queue_->run<std::string>(
      vm_id, queue_->own_workers().quick, {},
      [directory = options_.seed_directory, vm_id, uid, files](const Job&) {
        return storage::make_seed(directory, vm_id, uid, files);
      },
      std::move(done));
}

void HostStorage::delete_seed(const std::string& vm_id, port::Done done) {
  queue_->run<void>(
      vm_id, queue_->own_workers().quick, {},
      [directory = options_.seed_directory, vm_id](const Job&) { return storage::delete_seed(directory, vm_id); },
      std::move(done));
}

void HostStorage::delete_tpm(const port::PoolRequest& pool, const std::string& vm_id, port::Done done) {
  queue_->run<void>(
      vm_id, queue_->workers_of(pool).quick, {}, [pool, vm_id](const Job&) { return storage::delete_tpm(pool, vm_id); },
      std::move(done));
}

}  // namespace gantry::storage
