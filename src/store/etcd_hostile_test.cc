// Answers that no sound etcd gives: the store must neither crash nor believe what cannot be.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <functional>
#include <limits>

#include "store/etcd_rpc.grpc.pb.h"
#include "store/etcd_test_store.h"

namespace gantry::store {
namespace {

using namespace etcdserverpb;
using port::CommitOutcome;

// An etcd that answers as it is told.
class FakeEtcd final : public KV::Service, public etcdserverpb::Watch::Service, public Lease::Service {
 public:
  using Stream = grpc::ServerReaderWriter<WatchResponse, WatchRequest>;

  FakeEtcd() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<KV::Service*>(this));
    builder.RegisterService(static_cast<etcdserverpb::Watch::Service*>(this));
    builder.RegisterService(static_cast<Lease::Service*>(this));
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("cannot serve on loopback");
  }
  ~FakeEtcd() override { server_->Shutdown(std::chrono::system_clock::now()); }
  FakeEtcd(const FakeEtcd&) = delete;
  FakeEtcd& operator=(const FakeEtcd&) = delete;

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // What it does; set before it is asked.
  std::function<grpc::Status(const RangeRequest&, RangeResponse&)> on_range = [](const auto&, RangeResponse& answer) {
    answer.mutable_header()->set_revision(10);
    return grpc::Status::OK;
  };
  std::function<grpc::Status(const TxnRequest&, TxnResponse&)> on_txn = [](const auto&, auto&) {
    return grpc::Status::OK;
  };
  // The number of the watch, from 1.
  std::function<void(int, const WatchCreateRequest&, Stream&)> on_watch = [](int, const auto&, auto&) {};
  LeaseGrantResponse granted;
  LeaseKeepAliveResponse kept;

 private:
  grpc::Status Range(grpc::ServerContext*, const RangeRequest* request, RangeResponse* answer) override {
    return on_range(*request, *answer);
  }
  grpc::Status Txn(grpc::ServerContext*, const TxnRequest* request, TxnResponse* answer) override {
    return on_txn(*request, *answer);
  }
  grpc::Status Watch(grpc::ServerContext*, Stream* stream) override {
    WatchRequest request;
    if (stream->Read(&request)) on_watch(++watches_, request.create_request(), *stream);
    return grpc::Status::OK;
  }
  grpc::Status LeaseGrant(grpc::ServerContext*, const LeaseGrantRequest*, LeaseGrantResponse* answer) override {
    *answer = granted;
    return grpc::Status::OK;
  }
  grpc::Status LeaseKeepAlive(grpc::ServerContext*, const LeaseKeepAliveRequest*,
                              LeaseKeepAliveResponse* answer) override {
    *answer = kept;
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::atomic<int> watches_{0};
  std::unique_ptr<grpc::Server> server_;
};

EtcdStoreOptions options_for(const FakeEtcd& etcd) {
  EtcdStoreOptions options = etcd_options({etcd.address()});
  options.request_timeout_ms = 2'000;
  return options;
}

KeyValue* fill(KeyValue* kv, const std::string& key, std::int64_t revision) {
  kv->set_key(key);
  kv->set_create_revision(1);
  kv->set_mod_revision(revision);
  return kv;
}

// An answer with puts: of key, at revision.
WatchResponse changes(const std::vector<std::pair<std::string, std::int64_t>>& puts, bool fragment = false) {
  WatchResponse answer;
  answer.set_fragment(fragment);
  for (const auto& [key, revision] : puts) {
    fill(answer.add_events()->mutable_kv(), key, revision);
    answer.mutable_header()->set_revision(revision);
  }
  return answer;
}

WatchResponse created() {
  WatchResponse answer;
  answer.mutable_header()->set_revision(10);
  answer.set_created(true);
  return answer;
}

std::string told(const WatchLog& log) {
  std::string all;
  for (const port::ChangeBatch& batch : log.batches()) {
    all += std::to_string(batch.revision) + ":";
    for (const port::Change& change : batch.changes) all += change.entry.key;
    all += " ";
  }
  return all;
}

TEST(EtcdHostile, WhatMayHaveBeenWrittenIsUnknownAndWhatWasNotIsNot) {
  struct Case {
    grpc::Status status;
    CommitOutcome outcome;
    std::string detail = {};
  };
  using grpc::StatusCode;
  const std::vector<Case> cases{
      {grpc::Status::OK, CommitOutcome::unknown, "no revision"},
      {{StatusCode::UNAVAILABLE, "etcdserver: request timed out"}, CommitOutcome::unknown},
      {{StatusCode::UNAVAILABLE, "etcdserver: leader changed"}, CommitOutcome::unknown},
      {{StatusCode::UNAVAILABLE, "something else"}, CommitOutcome::unknown},
      {{StatusCode::UNKNOWN, "panic"}, CommitOutcome::unknown},
      {{StatusCode::INTERNAL, ""}, CommitOutcome::unknown},
      {{StatusCode::CANCELLED, ""}, CommitOutcome::unknown},
      {{StatusCode::DATA_LOSS, "etcdserver: corrupt cluster"}, CommitOutcome::unknown},
      {{static_cast<StatusCode>(99), "no such code"}, CommitOutcome::unknown},
      {{StatusCode::UNAVAILABLE, "etcdserver: no leader"}, CommitOutcome::unavailable, "no leader"},
      {{StatusCode::RESOURCE_EXHAUSTED, "etcdserver: too many requests"}, CommitOutcome::unavailable},
      {{StatusCode::UNKNOWN, "raft proposal dropped"}, CommitOutcome::unavailable},
      {{StatusCode::PERMISSION_DENIED, "etcdserver: permission denied"},
       CommitOutcome::unavailable,
       "permission denied"},
      {{StatusCode::NOT_FOUND, "etcdserver: requested lease not found"}, CommitOutcome::unavailable, "no such lease"},
      {{StatusCode::INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"},
       CommitOutcome::unavailable,
       "invalid"},
  };
  for (const Case& each : cases) {
    FakeEtcd etcd;
    std::atomic<int> asked{0};
    etcd.on_txn = [&](const auto&, auto&) {
      ++asked;
      return each.status;
    };
    const auto store = must_open(options_for(etcd));
    const port::CommitResult result = commit(*store, {{}, {put("/a", "")}});
    EXPECT_EQ(result.outcome, each.outcome) << each.status.error_message();
    EXPECT_NE(result.detail.find(each.detail), std::string::npos) << result.detail;
    // Never sent twice once it may have been written.
    if (each.outcome == CommitOutcome::unknown) {
      EXPECT_EQ(asked, 1) << each.status.error_message();
    }
    // What writes nothing cannot have been written.
    if (!each.status.ok()) {
      EXPECT_EQ(commit(*store, {{{"/a", 0}}, {}}).outcome, CommitOutcome::unavailable);
    }
  }
}

TEST(EtcdHostile, AFullEtcdIsAskedWhetherItWrote) {
  for (const bool wrote : {false, true}) {
    FakeEtcd etcd;
    etcd.on_txn = [](const auto&, auto&) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded");
    };
    etcd.on_range = [wrote](const RangeRequest& request, RangeResponse& answer) {
      answer.mutable_header()->set_revision(10);
      if (request.key() == "/a") fill(answer.add_kvs(), "/a", wrote ? 10 : 7);
      return grpc::Status::OK;
    };
    const auto store = must_open(options_for(etcd));
    const port::CommitResult result = commit(*store, {{{"/b", 3}, {"/a", 7}}, {put("/a", "")}});
    EXPECT_EQ(result.outcome, wrote ? CommitOutcome::unknown : CommitOutcome::unavailable);
    EXPECT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, CommitOutcome::unknown) << "nothing tells";
  }
}

TEST(EtcdHostile, RangesThatMakeNoSenseAreNotBelieved) {
  const std::vector<std::function<void(const RangeRequest&, RangeResponse&)>> answers{
      [](const auto&, auto& answer) { answer.clear_header(); },
      [](const auto&, auto& answer) { answer.mutable_header()->set_revision(-1); },
      [](const auto&, auto& answer) { answer.set_more(true); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "", 5); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "/a/1", -5); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "/a/1", 11); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "/a/1", 5)->set_create_revision(6); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "/a/1", 5)->set_lease(-1); },
      [](const auto&, auto& answer) { fill(answer.add_kvs(), "/b", 5); },
      [](const auto&, auto& answer) {
        fill(answer.add_kvs(), "/a/2", 5);
        fill(answer.add_kvs(), "/a/1", 5);
      },
      [](const auto&, auto& answer) {
        for (int i = 1; i < 9; ++i) fill(answer.add_kvs(), "/a/" + std::to_string(i), 5);
      },
      // The same page for ever.
      [](const auto&, auto& answer) {
        fill(answer.add_kvs(), "/a/1", 5);
        answer.set_more(true);
      },
  };
  for (std::size_t i = 0; i < answers.size(); ++i) {
    FakeEtcd etcd;
    etcd.on_range = [&](const RangeRequest& request, RangeResponse& answer) {
      answer.mutable_header()->set_revision(10);
      if (!request.count_only()) answers[i](request, answer);
      return grpc::Status::OK;
    };
    const auto store = must_open(options_for(etcd));
    const auto result = range(*store, {"/a/", "", 5});
    ASSERT_FALSE(result.has_value()) << i;
    EXPECT_EQ(result.error(), port::StoreError::unavailable);
  }
}

TEST(EtcdHostile, FragmentsAreJoinedAndRepeatsAreNotToldAgain) {
  // Before the server, whose calls go on until it is gone.
  std::promise<void> ended;
  const auto end = ended.get_future().share();
  FakeEtcd etcd;
  etcd.on_watch = [&](int number, const WatchCreateRequest& request, FakeEtcd::Stream& stream) {
    stream.Write(created());
    if (number == 1) {
      EXPECT_EQ(request.start_revision(), 10);
      EXPECT_TRUE(request.fragment());
      // Revision 12 in three pieces, 11 before it and 13 behind it.
      stream.Write(changes({{"/a", 10}, {"/a", 11}, {"/b", 12}}, true));
      stream.Write(changes({{"/c", 12}}, true));
      stream.Write(changes({{"/d", 12}, {"/e", 13}}));
      // The rest of this one never comes.
      stream.Write(changes({{"/a", 14}, {"/b", 15}}, true));
      return;
    }
    if (number == 2) {
      EXPECT_EQ(request.start_revision(), 14);
      stream.Write(changes({{"/e", 13}, {"/a", 14}, {"/b", 15}, {"/c", 15}}));
      WatchResponse other = changes({{"/other", 16}});
      other.set_watch_id(5);
      stream.Write(other);
      WatchResponse progress;
      progress.mutable_header()->set_revision(20);
      stream.Write(progress);
      return;
    }
    // Begun again when the test is over.
    if (number > 3) return;
    EXPECT_EQ(request.start_revision(), 20);
    stream.Write(changes({{"/f", 21}}));
    end.wait();
  };
  const auto store = must_open(options_for(etcd));
  WatchLog log(*store, "/", 11);
  EXPECT_TRUE(log.wait_for_revision(21));
  ended.set_value();
  EXPECT_EQ(told(log), "11:/a 12:/b/c/d 13:/e 14:/a 15:/b/c 21:/f ");
}

TEST(EtcdHostile, AWatchThatSpeaksNonsenseIsBegunAgain) {
  // Before the server, whose calls go on until it is gone.
  std::promise<void> ended;
  const auto end = ended.get_future().share();
  FakeEtcd etcd;
  etcd.on_watch = [&](int number, const WatchCreateRequest&, FakeEtcd::Stream& stream) {
    if (number == 1) {
      // Before it was begun.
      stream.Write(changes({{"/x", 11}}));
      stream.Write(created());
      WatchResponse answer = changes({{"/a", 11}});
      fill(answer.add_events()->mutable_kv(), "/b", -3);
      stream.Write(answer);
    } else if (number == 2) {
      stream.Write(created());
      stream.Write(changes({{"/c", 13}, {"/d", 12}}));
    } else if (number == 3) {
      WatchResponse answer = created();
      answer.set_canceled(true);
      answer.set_cancel_reason("for no reason");
      stream.Write(answer);
    } else if (number == 4) {
      stream.Write(created());
      WatchResponse answer = changes({{"/e", 12}});
      answer.mutable_events(0)->set_type(static_cast<Event::EventType>(7));
      stream.Write(answer);
    } else {
      stream.Write(created());
      stream.Write(changes({{"/g", 12}}));
      end.wait();
      return;
    }
    // Until the store has had enough.
    WatchRequest request;
    stream.Read(&request);
  };
  const auto store = must_open(options_for(etcd));
  WatchLog log(*store, "/", 11);
  EXPECT_TRUE(log.wait_for_revision(12));
  ended.set_value();
  EXPECT_EQ(told(log), "12:/g ");
  EXPECT_TRUE(log.errors().empty());
}

TEST(EtcdHostile, AWatchThatEndsWithoutNewsIsBegunAgainLaterAndLater) {
  FakeEtcd etcd;
  std::promise<void> fifth;
  etcd.on_watch = [&](int number, const auto&, FakeEtcd::Stream& stream) {
    stream.Write(created());
    // The one before those that were asked for.
    stream.Write(changes({{"/a", 10}}));
    if (number == 5) fifth.set_value();
  };
  const auto store = must_open(options_for(etcd));
  const Milliseconds begun_ms = test_now().monotonic_ms;
  const WatchLog log(*store, "/", 11);
  ASSERT_EQ(fifth.get_future().wait_for(kPatience), std::future_status::ready);
  // At once, and then after at least 50, 100 and 200 ms.
  EXPECT_GE(test_now().monotonic_ms - begun_ms, 350);
  EXPECT_TRUE(log.batches().empty());
}

TEST(EtcdHostile, ASilentWatchIsGivenUpForAnotherNode) {
  // Before the server, whose calls go on until it is gone.
  std::promise<void> ended;
  const auto end = ended.get_future().share();
  FakeEtcd silent;
  silent.on_watch = [](int, const auto&, FakeEtcd::Stream& stream) {
    WatchRequest request;
    stream.Read(&request);
  };
  FakeEtcd sound;
  sound.on_watch = [&](int, const auto&, FakeEtcd::Stream& stream) {
    stream.Write(created());
    stream.Write(changes({{"/a", 11}}));
    end.wait();
  };
  EtcdStoreOptions options = options_for(silent);
  options.endpoints.push_back(sound.address());
  std::mutex mutex;
  std::string notices;
  options.notice = [&](const std::string& notice) {
    const std::lock_guard lock(mutex);
    notices += notice + "\n";
  };
  {
    const auto store = must_open(options);
    WatchLog log(*store, "/", 11);
    EXPECT_TRUE(log.wait_for_revision(11));
    ended.set_value();
  }
  EXPECT_NE(notices.find(silent.address() + " does not serve"), std::string::npos) << notices;
}

// Serves as a node of that cluster, and counts what is written.
void serve_cluster(FakeEtcd& etcd, const std::atomic<std::uint64_t>& cluster, std::atomic<int>& writes) {
  etcd.on_range = [&cluster](const auto&, RangeResponse& answer) {
    answer.mutable_header()->set_cluster_id(cluster);
    answer.mutable_header()->set_revision(10);
    return grpc::Status::OK;
  };
  etcd.on_txn = [&cluster, &writes](const auto&, TxnResponse& answer) {
    ++writes;
    answer.mutable_header()->set_cluster_id(cluster);
    answer.mutable_header()->set_revision(11);
    answer.set_succeeded(true);
    return grpc::Status::OK;
  };
}

TEST(EtcdHostile, ANodeThatCameToAnotherClusterIsNotWrittenTo) {
  const std::atomic<std::uint64_t> first_cluster{7};
  std::atomic<std::uint64_t> other_cluster{7};
  std::atomic<int> first_writes{0};
  std::atomic<int> other_writes{0};
  auto first = std::make_unique<FakeEtcd>();
  FakeEtcd other;
  serve_cluster(*first, first_cluster, first_writes);
  serve_cluster(other, other_cluster, other_writes);
  EtcdStoreOptions options = options_for(*first);
  options.endpoints.push_back(other.address());
  const auto store = must_open(options);
  EXPECT_EQ(commit(*store, {{}, {put("/a", "")}}).outcome, CommitOutcome::committed);
  EXPECT_EQ(first_writes, 1);
  // It was set up anew, alone.
  other_cluster = 8;
  first.reset();
  // Its end may be met by the first one sent.
  CommitOutcome outcome = CommitOutcome::unknown;
  std::string detail;
  for (int i = 0; i < 3; ++i) {
    const port::CommitResult result = commit(*store, {{}, {put("/a", "")}});
    outcome = result.outcome;
    detail = result.detail;
  }
  EXPECT_EQ(outcome, CommitOutcome::unavailable);
  EXPECT_NE(detail.find("another etcd cluster"), std::string::npos) << detail;
  EXPECT_FALSE(range(*store, {"/"}).has_value());
  EXPECT_EQ(other_writes, 0);
}

// Each would be taken for the whole by whoever asks it first.
TEST(EtcdHostile, NodesOfTwoClustersAreRefused) {
  const std::atomic<std::uint64_t> first_cluster{7};
  std::atomic<std::uint64_t> other_cluster{8};
  std::atomic<int> writes{0};
  FakeEtcd first;
  FakeEtcd other;
  serve_cluster(first, first_cluster, writes);
  serve_cluster(other, other_cluster, writes);
  EtcdStoreOptions options = options_for(first);
  // One that is down says nothing.
  options.endpoints.push_back("127.0.0.1:1");
  options.endpoints.push_back(other.address());
  const auto refused = open_etcd_store(options);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
  EXPECT_EQ(refused.error().reason, "store_of_several_clusters");
  for (const FakeEtcd* node : {&first, &other}) {
    EXPECT_NE(refused.error().cause.find(node->address()), std::string::npos) << refused.error().to_text();
  }
  other_cluster = 7;
  EXPECT_TRUE(open_etcd_store(options).has_value());
}

TEST(EtcdHostile, ACommitDoesNotWaitForANodeThatOthersFoundDead) {
  std::promise<void> ended;
  const auto end = ended.get_future().share();
  FakeEtcd silent;
  std::atomic<bool> dead{false};
  silent.on_txn = [&](const auto&, auto&) {
    dead = true;
    end.wait();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "gone");
  };
  silent.on_range = [&](const auto&, RangeResponse& answer) {
    if (dead) end.wait();
    answer.mutable_header()->set_revision(10);
    return grpc::Status::OK;
  };
  FakeEtcd sound;
  EtcdStoreOptions options = options_for(silent);
  options.endpoints.push_back(sound.address());
  // Far beyond what a read gives one node.
  options.request_timeout_ms = std::chrono::milliseconds(kPatience).count();
  const auto store = must_open(options);
  auto answer = std::make_shared<std::promise<port::CommitResult>>();
  store->commit({{}, {put("/a", "")}}, [answer](const auto& result) { answer->set_value(result); });
  while (!dead) std::this_thread::yield();
  EXPECT_TRUE(range(*store, {"/"}).has_value());
  const port::CommitResult result = answer->get_future().get();
  EXPECT_EQ(result.outcome, CommitOutcome::unknown) << result.detail;
  EXPECT_EQ(result.detail.find("Deadline"), std::string::npos) << result.detail;
  ended.set_value();
}

TEST(EtcdHostile, LeasesThatMakeNoSenseAreNotBelieved) {
  FakeEtcd etcd;
  const auto store = must_open(options_for(etcd));
  for (const auto& [id, ttl] : {std::pair<std::int64_t, std::int64_t>{0, 9}, {-1, 9}, {5, 4}, {5, -1}}) {
    etcd.granted.set_id(id);
    etcd.granted.set_ttl(ttl);
    EXPECT_EQ(grant(*store, 4'001).error(), port::StoreError::unavailable) << id << " " << ttl;
  }
  etcd.granted.set_id(5);
  etcd.granted.set_ttl(5);
  EXPECT_EQ(grant(*store, 4'001).value(), 5U);
  etcd.kept.set_id(6);
  etcd.kept.set_ttl(5);
  EXPECT_EQ(keep_alive(*store, 5).error(), port::StoreError::unavailable);
  etcd.kept.set_id(5);
  EXPECT_EQ(keep_alive(*store, 5).value(), 5U);
  etcd.kept.set_ttl(0);
  EXPECT_EQ(keep_alive(*store, 5).error(), port::StoreError::no_such_lease);
}

}  // namespace
}  // namespace gantry::store
