// Takes what hosts measured, keeps it (history.h), and tells what it was: the newest at once, earlier from the files.
//
// Threads: one executor's, which is never held up; files are used on a thread of the recorder's own. Answers come on
// the executor, and none after the recorder is gone.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "gantry/v1/metrics.pb.h"
#include "metrics/history.h"
#include "port/executor.h"
#include "port/metrics.h"
#include "runtime/worker_pool.h"

namespace gantry::metrics {

// Older ones tell nothing of now.
inline constexpr Milliseconds kNewestForMs = 3 * kSampleStep * 1'000;

class Recorder final : public port::SampleSink {
 public:
  // In `directory`, which is made once there is something to keep. Outlived by the executor.
  Recorder(port::Executor& executor, std::string directory);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // One of no kind is ignored.
  void take(const v1::Sample& sample) override;

  // Nothing: none came for a while.
  [[nodiscard]] const v1::Sample* newest(const std::string& id) const;
  // Those that are new, in the order of ids.
  [[nodiscard]] std::vector<const v1::Sample*> newest() const;

  struct Wanted {
    std::string id;
    bool is_host = false;
    // Names of fields; none: all there are.
    std::vector<std::string> fields;
    Seconds from = 0;
    Seconds to = 0;
    std::size_t points_max = 0;
  };
  struct Told {
    Seconds begin = 0;
    Seconds step = 0;
    struct Field {
      std::string name;
      std::vector<Point> points;
    };
    std::vector<Field> fields;
  };
  // invalid_argument: there is no such field, or no such time.
  void query(const Wanted& wanted, std::function<void(Result<Told>)> done);

 private:
  struct Newest {
    v1::Sample sample;
    Milliseconds came_ms = 0;
    // Not kept yet: of two that come in one step and none in the next, by chance, each is kept in its own.
    std::deque<std::vector<double>> waiting = {};
  };
  class Files;

  void every_step();
  void keep();

  port::Executor& executor_;
  std::map<std::string, Newest> newest_;
  std::shared_ptr<Files> files_;
  // Ends before what it uses does.
  std::shared_ptr<Recorder*> self_;
  runtime::WorkerPool worker_{1};
};

}  // namespace gantry::metrics
