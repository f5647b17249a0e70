#include "server/audit_log.h"

#include <google/protobuf/util/time_util.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "server/json.h"

namespace gantry::server {
namespace {

constexpr Milliseconds kBudgetMs = 60'000;
constexpr std::uint64_t kRefusalsMax = 60;
// Users are not without number, but names tried at logins do not count: those share one.
constexpr std::size_t kBudgetsMax = 10'000;
constexpr std::uint32_t kDefaultPage = 100;
constexpr std::uint32_t kPageMax = 1'000;

bool has_failed(const v1::AuditEntry& entry) { return entry.status() >= 400; }
// Of others it is not known that nothing came of them.
bool is_refusal(const v1::AuditEntry& entry) { return has_failed(entry) && entry.status() < 500; }

std::optional<v1::AuditEntry> parse_entry(const AuditLine& line) {
  v1::AuditEntry entry;
  if (!read_json(line.text, entry)) return std::nullopt;
  entry.set_hash(line.hash);
  return entry;
}

bool matches(const v1::ListAuditRequest& request, const v1::AuditEntry& entry) {
  if (!request.user().empty() && request.user() != entry.user()) return false;
  if (!request.action().empty() && request.action() != entry.action()) return false;
  if (!request.target().empty() && request.target() != entry.target()) return false;
  return !request.refused() || has_failed(entry);
}

Result<v1::AuditList> find_entries(const AuditFileOptions& options, const v1::ListAuditRequest& request,
                                   std::uint64_t before) {
  const std::uint32_t size = request.page_size() != 0 ? request.page_size() : kDefaultPage;
  v1::AuditList list;
  const auto files = AuditFiles::open(options.directory);
  if (!files) return fail(files.error());
  for (std::size_t place = files->size(); place-- > 0;) {
    const auto lines = files->lines(place, 2 * options.file_bytes_max);
    if (!lines) return fail(lines.error());
    for (auto line = lines->rbegin(); line != lines->rend(); ++line) {
      const auto entry = parse_entry(*line);
      if (!entry || (before != 0 && entry->number() >= before) || !matches(request, *entry)) continue;
      if (list.items_size() == static_cast<int>(size)) {
        list.set_next_page_token(std::to_string(list.items(list.items_size() - 1).number()));
        return list;
      }
      *list.add_items() = *entry;
    }
  }
  return list;
}

// Also of what a newer version wrote. 0: it has none.
std::uint64_t number_of(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return 0;
  const auto number = json.find("number");
  if (number == json.end() || !number->is_string()) return 0;
  return std::strtoull(number->get_ref<const std::string&>().c_str(), nullptr, 10);
}

Result<v1::AuditCheck> check_chain(const AuditFileOptions& options) {
  v1::AuditCheck check;
  check.set_whole(true);
  std::string previous;
  const auto files = AuditFiles::open(options.directory);
  if (!files) return fail(files.error());
  for (std::size_t place = 0; place < files->size(); ++place) {
    const auto lines = files->lines(place, 2 * options.file_bytes_max);
    if (!lines) return fail(lines.error());
    for (const AuditLine& line : *lines) {
      const std::uint64_t number = number_of(line.text);
      const bool is_first = check.entries() == 0;
      const bool follows = is_first || (line.previous_hash == previous && number == check.last_number() + 1);
      const bool itself = AuditFile::hash_of(line.previous_hash, line.text) == line.hash;
      if (number == 0 || !follows || !itself) {
        check.set_whole(false);
        check.set_cause(is_first ? "the first entry that is kept was changed"
                                 : "what follows entry " + std::to_string(check.last_number()) +
                                       " was changed, taken out or put in later");
        return check;
      }
      if (is_first) check.set_first_number(number);
      check.set_entries(check.entries() + 1);
      check.set_last_number(number);
      check.set_last_hash(line.hash);
      previous = line.hash;
    }
  }
  return check;
}

Error not_kept() {
  return Error{ErrorCode::unsupported, "there is no audit to read", "this server keeps none",
               "start gantryd with a state directory", "no_audit"};
}

}  // namespace

AuditLog::AuditLog(AuditFileOptions options, PosterPtr poster, std::function<Now()> now)
    : options_(options), poster_(std::move(poster)), now_(std::move(now)), file_(std::move(options)) {}

Result<void> AuditLog::open() {
  if (options_.directory.empty() || opened_) return {};
  auto last = file_.open();
  if (!last) return fail(last.error());
  opened_ = true;
  if (last->empty()) return {};
  const auto entry = parse_entry({.hash = {}, .previous_hash = {}, .text = *last});
  // One that cannot be read was written by somebody else: the numbers go on from the time, so that none comes twice.
  last_number_ = entry ? entry->number() : static_cast<std::uint64_t>(now_().unix_ms);
  return {};
}

bool AuditLog::within_budget(v1::AuditEntry& entry) {
  if (!is_refusal(entry)) return true;
  const Milliseconds now_ms = now_().monotonic_ms;
  // What was claimed by who is not signed in is not who it was.
  const bool is_known = !entry.credential_id().empty() || entry.kind() == v1::CurrentSession::LOCAL_TOKEN;
  const std::string key = is_known ? entry.user() : "";
  if (budgets_.size() > kBudgetsMax) budgets_.clear();
  Budget& budget = budgets_[key];
  if (budget.kept == 0 || now_ms - budget.since_monotonic_ms >= kBudgetMs) {
    entry.set_left_out(std::exchange(budget.left_out, 0));
    budget.since_monotonic_ms = now_ms;
    budget.kept = 0;
  }
  if (budget.kept >= kRefusalsMax) {
    ++budget.left_out;
    return false;
  }
  ++budget.kept;
  return true;
}

std::string AuditLog::write(const v1::AuditEntry& entry) {
  if (options_.directory.empty()) return "-";
  std::string text = write_json(entry);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  const auto appended = file_.append(text);
  if (appended) return *appended;
  spdlog::error("{}", appended.error().to_text());
  return "-";
}

void AuditLog::record(v1::AuditEntry entry) {
  if (!within_budget(entry)) return;
  // Before the first, too: what could not be opened at the start may be now.
  const auto opened = open();
  entry.set_number(last_number_ + 1);
  entry.set_left_out(entry.left_out() + lost_);
  *entry.mutable_at() = google::protobuf::util::TimeUtil::MillisecondsToTimestamp(now_().unix_ms);
  entry.clear_hash();
  if (!opened) spdlog::error("{}", opened.error().to_text());
  const std::string hash = opened ? write(entry) : "-";
  const bool is_lost = hash == "-" && !options_.directory.empty();
  lost_ = is_lost ? lost_ + 1 : 0;
  // Those in the files have no holes: what is missing there was taken out.
  if (!is_lost) last_number_ = entry.number();
  spdlog::info("audit {} {}: {} {} {} from {} {} {}", entry.number(), hash, entry.user().empty() ? "-" : entry.user(),
               entry.action(), entry.target().empty() ? "-" : entry.target(), entry.address(), entry.status(),
               entry.code());
}

void AuditLog::list(const v1::ListAuditRequest& request, const Done<v1::AuditList>& done) {
  if (options_.directory.empty()) return done(fail(not_kept()));
  std::uint64_t before = 0;
  const std::string& token = request.page_token();
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), before);
  if (!token.empty() && (error != std::errc() || end != token.data() + token.size())) {
    return done(fail(ErrorCode::invalid_argument, "the page cannot be found", "pageToken is none of Gantry's",
                     "give nextPageToken of the page before"));
  }
  if (request.page_size() > kPageMax) {
    return done(
        fail(ErrorCode::invalid_argument, "the page cannot be made", "pageSize is at most 1000", "ask for less"));
  }
  worker_.submit([options = options_, request, before, poster = poster_, done] {
    poster->post([found = find_entries(options, request, before), done] { done(found); });
  });
}

void AuditLog::check(const Done<v1::AuditCheck>& done) {
  if (options_.directory.empty()) return done(fail(not_kept()));
  worker_.submit([options = options_, poster = poster_, done] {
    poster->post([found = check_chain(options), done] { done(found); });
  });
}

}  // namespace gantry::server
