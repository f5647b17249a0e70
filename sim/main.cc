#include <algorithm>
#include <atomic>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "sim/rehearsal.h"

namespace {

constexpr const char* kHelp =
    R"(gantry-sim: the real manager and the agents of one to five modelled machines, from one seed

  gantry-sim --seed N              rehearse one seed; the same seed always gives the same digest
  gantry-sim --seeds A..B          rehearse many; stops at the first violation and prints its timeline
      --jobs J                     so many at once (default: 2)
      --expect-violation TEXT      go on until a seed is caught by a violation with TEXT in it; fail when none is
                                   (for builds with a defect)
      --verbose                    print the timeline of --seed too

Examples:
  gantry-sim --seeds 1..1000
  gantry-sim --seed 42 --verbose
Exit status: 0 fine, 1 a violation (or none with TEXT, with --expect-violation), 2 wrong usage.
)";
// One seed in so many is run twice: both runs must give the same digest.
constexpr std::uint64_t kTwiceEvery = 16;

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t last = 0;
  std::uint64_t jobs = 2;
  bool verbose = false;
  bool help = false;
  // Empty: none is expected.
  std::string expected;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool parse_seeds(std::string_view text, Arguments& arguments) {
  const auto dots = text.find("..");
  if (dots == std::string_view::npos) return false;
  const auto first = number(text.substr(0, dots));
  const auto last = number(text.substr(dots + 2));
  if (!first || !last || *last < *first) return false;
  arguments.first = *first;
  arguments.last = *last;
  return true;
}

std::optional<Arguments> parse(const std::vector<std::string_view>& words) {
  Arguments arguments;
  bool seeds_given = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view value = i + 1 < words.size() ? words[i + 1] : std::string_view();
    if (words[i] == "--help") {
      arguments.help = true;
      return arguments;
    }
    if (words[i] == "--verbose") {
      arguments.verbose = true;
    } else if (words[i] == "--expect-violation" && !value.empty()) {
      arguments.expected = value;
      ++i;
    } else if (words[i] == "--seed" && number(value)) {
      arguments.first = arguments.last = *number(value);
      seeds_given = true;
      ++i;
    } else if (words[i] == "--seeds" && parse_seeds(value, arguments)) {
      seeds_given = true;
      ++i;
    } else if (words[i] == "--jobs" && number(value).value_or(0) > 0) {
      arguments.jobs = *number(value);
      ++i;
    } else {
      return std::nullopt;
    }
  }
  if (!seeds_given) return std::nullopt;
  return arguments;
}

gantry::sim::Report rehearse(std::uint64_t seed) { return gantry::sim::Rehearsal(seed).run(); }

// A build with a defect may be caught by what follows from it, too: that proves nothing of the check it is for.
bool is_caught(const Arguments& arguments, const gantry::sim::Report& report) {
  return std::ranges::any_of(report.violations, [&arguments](const std::string& violation) {
    return violation.find(arguments.expected) != std::string::npos;
  });
}

void print_timeline(const gantry::sim::Report& report) {
  for (const std::string& line : report.timeline) std::printf("%s\n", line.c_str());
}

void print_summary(const gantry::sim::Report& report) {
  std::printf("seed %" PRIu64 ": digest %016" PRIx64 ", %" PRIu64 " events, %zu tasks, %zu violations\n", report.seed,
              report.digest, report.events, report.tasks, report.violations.size());
  for (const std::string& violation : report.violations) std::printf("  %s\n", violation.c_str());
}

struct Outcome {
  std::mutex mutex;
  // Of the lowest seed that was caught.
  std::optional<gantry::sim::Report> caught;
  std::uint64_t done = 0;
  std::uint64_t events = 0;
  std::size_t tasks = 0;
};

void work(const Arguments& arguments, std::atomic<std::uint64_t>& next, Outcome& outcome) {
  for (;;) {
    const std::uint64_t seed = next.fetch_add(1);
    if (seed > arguments.last) return;
    {
      const std::lock_guard lock(outcome.mutex);
      if (outcome.caught) return;
    }
    gantry::sim::Report report = rehearse(seed);
    if (seed % kTwiceEvery == 0 && report.violations.empty() && rehearse(seed).digest != report.digest) {
      report.violations.emplace_back("a second run of the same seed gave another digest");
    }
    const std::lock_guard lock(outcome.mutex);
    ++outcome.done;
    outcome.events += report.events;
    outcome.tasks += report.tasks;
    const bool first = !outcome.caught || report.seed < outcome.caught->seed;
    if (is_caught(arguments, report) && first) outcome.caught = std::move(report);
  }
}

int run_many(const Arguments& arguments) {
  std::atomic<std::uint64_t> next = arguments.first;
  Outcome outcome;
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < arguments.jobs; ++i) {
    threads.emplace_back([&arguments, &next, &outcome] { work(arguments, next, outcome); });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("%" PRIu64 " seeds, %" PRIu64 " events, %zu tasks\n", outcome.done, outcome.events, outcome.tasks);
  if (!outcome.caught) {
    std::printf("no violation%s%s\n", arguments.expected.empty() ? "" : " with: ", arguments.expected.c_str());
    return arguments.expected.empty() ? 0 : 1;
  }
  if (arguments.expected.empty()) print_timeline(*outcome.caught);
  print_summary(*outcome.caught);
  return arguments.expected.empty() ? 1 : 0;
}

}  // namespace

int main(int count, char** words) {
  const auto arguments = parse(std::vector<std::string_view>(words + 1, words + count));
  if (!arguments) {
    std::fputs(kHelp, stderr);
    return 2;
  }
  if (arguments->help) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  if (arguments->first != arguments->last) return run_many(*arguments);
  const auto report = rehearse(arguments->first);
  if (arguments->verbose || (!report.violations.empty() && arguments->expected.empty())) print_timeline(report);
  print_summary(report);
  return is_caught(*arguments, report) == arguments->expected.empty() ? 1 : 0;
}
