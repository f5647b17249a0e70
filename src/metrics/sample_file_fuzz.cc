// Files of samples and of summaries with any bytes: they are read as far as they make sense, and can be added to.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/fnv.h"
#include "metrics/summary_file.h"

namespace metrics = gantry::metrics;

namespace {

constexpr metrics::Seconds kHour = 1'800'000'000 / metrics::kHour * metrics::kHour;
constexpr std::size_t kColumns = 3;

// In memory where there is such a directory; it ends with the program.
class Place {
 public:
  Place() {
    std::string name = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path();
    name += "/gantry-samples-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~Place() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write(const std::string& path, const std::uint8_t* data, std::size_t size) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
}

void read_all(metrics::SampleFile& samples) {
  const auto read = samples.each_moment([&](const auto& moment) {
    if (moment.values.size() != moment.things * samples.columns()) std::abort();
  });
  if (!read) std::abort();
}

// What is added to whatever is there is read again.
void add_one(const std::string& path) {
  const std::vector<double> values(kColumns, 1);
  const std::vector<metrics::Sample> one{{.id = "one", .values = values}};
  {
    auto samples = metrics::SampleFile::open(path, kColumns);
    if (!samples || !samples->add(kHour, one)) std::abort();
  }
  const auto samples = metrics::SampleFile::open(path, kColumns);
  if (!samples) std::abort();
  bool found = false;
  const auto read = samples->each_of(gantry::fnv1a("one"), [&](metrics::Seconds at, auto of_it) {
    found = found || (at == kHour && of_it.size() == samples->columns());
  });
  if (!read || !found) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Place place;
  const std::string path = place.file("file");
  write(path, data, size);
  // Whatever it says, of any thing.
  (void)metrics::read_summaries(path, kHour, gantry::fnv1a("one"), [](auto, auto) {});
  auto samples = metrics::SampleFile::open(path, kColumns);
  if (!samples) return 0;
  read_all(*samples);
  const std::string summaries = place.file("summaries");
  if (!metrics::write_summaries(*samples, kHour, summaries)) std::abort();
  for (const metrics::Key key : samples->keys()) {
    if (!metrics::read_summaries(summaries, kHour, key, [](auto, auto) {})) std::abort();
  }
  add_one(path);
  return 0;
}
