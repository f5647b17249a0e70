#include "control/answers.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

#include "control/placement.h"
#include "gantry/v1/routes.pb.h"
#include "model/conceal.h"
#include "model/state.h"
#include "model/validate.h"

namespace gantry::control {
namespace {

using google::protobuf::Message;
using Answer = Result<std::unique_ptr<Message>>;
using Reader = std::function<Answer(const Message&, const View&)>;

constexpr std::uint32_t kDefaultPage = 500;

template <class Request>
Reader reader(Answer (*read)(const Request&, const View&)) {
  return [read](const Message& message, const View& view) -> Answer {
    const auto* request = dynamic_cast<const Request*>(&message);
    if (request == nullptr) return fail(ErrorCode::internal, "a call came with a request of another type");
    return read(*request, view);
  };
}

// The record as users see it.
v1::Vm shown(v1::Vm vm) {
  model::conceal(vm);
  return vm;
}
v1::Pool shown(v1::Pool pool) {
  model::conceal(pool);
  return pool;
}
template <class Record>
const Record& shown(const Record& record) {
  return record;
}

// By name: the page token is the last name of the page before.
template <class Record, class List>
Answer list(const v1::ListRequest& request, const View& view) {
  if (auto valid = model::validate(request); !valid) return fail(std::move(valid.error()));
  const auto filter = model::parse_label_filter(request.labels());
  const std::uint32_t size = request.page_size() != 0 ? request.page_size() : kDefaultPage;
  auto answer = std::make_unique<List>();
  answer->set_revision(view.revision());
  const auto& names = view.all<Record>().id_by_name;
  for (auto at = request.page_token().empty() ? names.begin() : names.upper_bound(request.page_token());
       at != names.end(); ++at) {
    const Record* record = view.find<Record>(at->second);
    if (record == nullptr || !policy::has_labels(record->meta().labels(), *filter)) continue;
    if (answer->items_size() == static_cast<int>(size)) {
      answer->set_next_page_token(answer->items(answer->items_size() - 1).meta().name());
      break;
    }
    *answer->add_items() = shown(*record);
  }
  return answer;
}

template <class Record>
Answer get(const v1::ById& request, const View& view) {
  if (auto valid = model::validate(request); !valid) return fail(std::move(valid.error()));
  const Record* record = view.resolve<Record>(request.id());
  if (record != nullptr) return std::make_unique<Record>(shown(*record));
  return fail(ErrorCode::not_found, "there is no " + std::string(Kind<Record>::noun) + " \"" + request.id() + "\"",
              "no name and no id of one is like that", "list them to see which there are");
}

Answer get_placement(const v1::ById& request, const View& view) {
  auto found = get<v1::Vm>(request, view);
  if (!found) return found;
  const auto& vm = dynamic_cast<const v1::Vm&>(**found);
  auto answer = std::make_unique<v1::VmPlacementAnswer>();
  *answer->mutable_placement() = vm.placement();
  *answer->mutable_now() = policy::place(place_hosts(view, vm), demand_of(view, vm, false));
  return answer;
}

// "milliseconds-id" of the last task of the page before.
std::pair<Milliseconds, std::string> parse_task_token(const std::string& token) {
  const std::size_t colon = token.find(':');
  Milliseconds time_ms = 0;
  std::from_chars(token.data(), token.data() + std::min(colon, token.size()), time_ms);
  return {time_ms, colon == std::string::npos ? std::string() : token.substr(colon + 1)};
}

Answer list_tasks(const v1::ListTasksRequest& request, const View& view) {
  if (auto valid = model::validate(request); !valid) return fail(std::move(valid.error()));
  const std::uint32_t size = request.page_size() != 0 ? request.page_size() : kDefaultPage;
  auto answer = std::make_unique<v1::TaskList>();
  answer->set_revision(view.revision());
  const View::TaskOrder& order = view.tasks_by_time();
  auto at = request.page_token().empty() ? order.end() : order.lower_bound(parse_task_token(request.page_token()));
  while (at != order.begin()) {
    --at;
    const auto* task = view.find<v1::Task>(at->second);
    if (task == nullptr || (request.open() && model::is_ended(task->state()))) continue;
    if (!request.target_id().empty() && task->target_id() != request.target_id() &&
        task->target_name() != request.target_id()) {
      continue;
    }
    if (answer->items_size() == static_cast<int>(size)) {
      const v1::Task& last = answer->items(answer->items_size() - 1);
      answer->set_next_page_token(std::to_string(time_of(last.meta().created_at())) + ":" + last.meta().id());
      break;
    }
    *answer->add_items() = *task;
  }
  return answer;
}

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> kReaders = {
      {"ListVms", reader(&list<v1::Vm, v1::VmList>)},
      {"GetVm", reader(&get<v1::Vm>)},
      {"GetVmPlacement", reader(&get_placement)},
      {"ListVolumes", reader(&list<v1::Volume, v1::VolumeList>)},
      {"GetVolume", reader(&get<v1::Volume>)},
      {"ListPools", reader(&list<v1::Pool, v1::PoolList>)},
      {"GetPool", reader(&get<v1::Pool>)},
      {"ListImages", reader(&list<v1::Image, v1::ImageList>)},
      {"GetImage", reader(&get<v1::Image>)},
      {"ListNetworks", reader(&list<v1::Network, v1::NetworkList>)},
      {"GetNetwork", reader(&get<v1::Network>)},
      {"ListHosts", reader(&list<v1::Host, v1::HostList>)},
      {"GetHost", reader(&get<v1::Host>)},
      {"ListRules", reader(&list<v1::Rule, v1::RuleList>)},
      {"GetRule", reader(&get<v1::Rule>)},
      {"ListSecurityGroups", reader(&list<v1::SecurityGroup, v1::SecurityGroupList>)},
      {"GetSecurityGroup", reader(&get<v1::SecurityGroup>)},
      {"ListTasks", reader(&list_tasks)},
      {"GetTask", reader(&get<v1::Task>)},
  };
  return kReaders;
}

}  // namespace

Answer answer_read(const std::string& rpc, const Message& request, const View& view) {
  const auto found = readers().find(rpc);
  if (found == readers().end()) return fail(ErrorCode::unsupported, "the manager does not answer " + rpc);
  return found->second(request, view);
}

}  // namespace gantry::control
