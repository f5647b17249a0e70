// PUT /api/v1/images/{id}/content: the body goes to a file piece by piece, whatever its size.
#include <unistd.h>

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "gantry/v1/storage.pb.h"
#include "model/state.h"
#include "server/http_connection.h"
#include "server/json.h"
#include "server/upload_file.h"

namespace gantry::server {
namespace {

constexpr std::size_t kPieceBytes = 256U << 10U;

using BodyParser = http::request_parser<http::buffer_body>;
using MessageResult = Result<std::unique_ptr<google::protobuf::Message>>;
using FilePtr = std::shared_ptr<UploadFile>;

// Of failures on the server's own disk only "full" and "deleted" are something the client can tell apart.
Error disk_error(Error error) {
  if (error.code != ErrorCode::out_of_space && error.code != ErrorCode::conflict) error.code = ErrorCode::unavailable;
  return error;
}

class UploadConnection final : public ConnectionBase {
 public:
  UploadConnection(HandedOver from, std::unique_ptr<HeaderParser> header, beast::flat_buffer buffer)
      : ConnectionBase(from.edge, from.number),
        stream_(std::move(from.stream)),
        buffer_(std::move(buffer)),
        request_(std::move(from.request)),
        admitted_(std::move(from.admitted)),
        recheck_(from.edge.context),
        expected_bytes_(header->content_length().value_or(0)),
        parser_(std::move(*header)),
        piece_(std::make_shared<std::vector<char>>(kPieceBytes)) {
    parser_.body_limit(boost::none);
  }
  ~UploadConnection() override { release(); }

  void start() {
    // What the manager can refuse before the bytes are there: it looks again when they are announced.
    if (!admitted_.options.dry_run && admitted_.options.if_match == 0) return find_image();
    port::CallOptions trial = admitted_.options;
    trial.dry_run = true;
    ask("UploadImage", trial, [](UploadConnection& self, MessageResult answer) {
      if (!answer) return self.refuse(answer.error());
      self.plan_ = std::move(*answer);
      self.find_image();
    });
  }

  void find_image() {
    ask("GetImage", {.actor = admitted_.options.actor}, [](UploadConnection& self, const MessageResult& answer) {
      if (!answer) return self.refuse(answer.error());
      self.on_image(dynamic_cast<const v1::Image&>(**answer));
    });
  }

  // An upload may take hours: it is cut off, and the client begins again.
  void finish() override { abort(); }
  void abort() override { end(); }

 private:
  void ask(const std::string& rpc, const port::CallOptions& options,
           std::function<void(UploadConnection&, MessageResult)> then) {
    const std::weak_ptr<UploadConnection> weak = self_as<UploadConnection>();
    edge().api.call(rpc, *admitted_.message, options, [weak, then = std::move(then)](MessageResult answer) {
      const auto self = weak.lock();
      if (self && !self->ended_) then(*self, std::move(answer));
    });
  }

  // Runs on the files' thread, then goes on here.
  void on_disk(std::function<Result<void>()> work, std::function<void(UploadConnection&)> then) {
    const std::weak_ptr<UploadConnection> weak = self_as<UploadConnection>();
    edge().files.submit([weak, poster = edge().poster, work = std::move(work), then = std::move(then)] {
      const auto result = work();
      poster->post([weak, result, then] {
        const auto self = weak.lock();
        if (!self || self->ended_) return;
        if (!result) return self->refuse(disk_error(result.error()));
        then(*self);
      });
    });
  }

  void on_image(const v1::Image& image) {
    auto path = place_of(image);
    if (!path) return refuse(path.error());
    if (!admitted_.options.dry_run) return begin(*path);
    on_disk([path = *path, expected = expected_bytes_] { return UploadFile::check_room(path, expected); },
            [](UploadConnection& self) { self.finish_with(*self.plan_); });
  }

  Result<std::string> place_of(const v1::Image& image) {
    const std::string named = "the content of image \"" + image.meta().name() + "\" was not taken";
    // Asked again when it is announced; here, before anything is written over.
    if (auto takes = model::check_takes_upload(image); !takes) return fail(takes.error());
    const std::uint64_t bytes_max = edge().options.upload_bytes_max;
    if (bytes_max != 0 && expected_bytes_ > bytes_max) return fail(too_large());
    if (edge().uploading.size() >= edge().options.uploads_max) {
      return fail(ErrorCode::unavailable, named, "too many uploads are under way", "try again later");
    }
    if (!edge().options.upload_path) return fail(ErrorCode::unsupported, named, "this server takes no uploads");
    auto path = edge().options.upload_path(image);
    if (!path) return path;
    if (!edge().uploading.insert(image.meta().id()).second) {
      return fail(ErrorCode::conflict, named, "another upload of it is under way", "wait for that one to end");
    }
    image_id_ = image.meta().id();
    return path;
  }

  void begin(const std::string& path) {
    path_ = path;
    const auto opened = std::make_shared<FilePtr>();
    on_disk(
        [opened, path, expected = expected_bytes_]() -> Result<void> {
          auto file = UploadFile::begin(path, expected);
          if (!file) return fail(file.error());
          *opened = std::move(*file);
          return {};
        },
        [opened](UploadConnection& self) {
          self.file_ = *opened;
          self.recheck_later();
          self.read_piece();
        });
  }

  // Whoever may not any more has no more written here.
  void recheck_later() {
    recheck_.expires_after(std::chrono::milliseconds(edge().options.heartbeat_ms));
    const std::weak_ptr<UploadConnection> weak = self_as<UploadConnection>();
    recheck_.async_wait([weak](const BeastError& error) {
      const auto self = weak.lock();
      if (error || !self || self->ended_ || !self->file_) return;
      self->edge().api.check_again(self->admitted_, [weak](bool valid) {
        const auto alive = weak.lock();
        if (!alive || alive->ended_ || !alive->file_) return;
        if (!valid) return alive->end();
        alive->recheck_later();
      });
    });
  }

  void read_piece() {
    if (parser_.is_done()) return received_bytes_ == 0 ? refuse(no_content()) : check_and_commit();
    parser_.get().body().data = piece_->data();
    parser_.get().body().size = piece_->size();
    expire_after(stream_, edge().options.body_timeout_ms);
    http::async_read(
        stream_, buffer_, parser_,
        [self = self_as<UploadConnection>()](const BeastError& error, std::size_t) { self->on_read(error); });
  }

  void on_read(const BeastError& error) {
    // need_buffer: the piece is full.
    if (!error || error == http::error::need_buffer) return on_piece(kPieceBytes - parser_.get().body().size);
    const bool malformed = error.category() == http::make_error_code(http::error::bad_chunk).category() &&
                           error != http::error::partial_message && error != http::error::end_of_stream;
    if (!malformed) return end();
    refuse(Error{ErrorCode::invalid_argument, "the request is not proper HTTP", error.message(),
                 "send an HTTP/1.1 request", "bad_request"});
  }

  void on_piece(std::size_t size) {
    received_bytes_ += size;
    const std::uint64_t bytes_max = edge().options.upload_bytes_max;
    if (bytes_max != 0 && received_bytes_ > bytes_max) return refuse(too_large());
    on_disk(
        [piece = piece_, file = file_, size] {
          return file->append({piece->data(), size});
        },
        [](UploadConnection& self) { self.read_piece(); });
  }

  void check_and_commit() {
    const std::weak_ptr<UploadConnection> weak = self_as<UploadConnection>();
    edge().api.check_again(admitted_, [weak](bool valid) {
      const auto self = weak.lock();
      if (!self || self->ended_) return;
      valid ? self->commit() : self->refuse(no_more_permitted());
    });
  }

  void commit() {
    on_disk(
        [file = file_]() -> Result<void> {
          auto committed = file->commit();
          // Whoever deletes an image takes what was uploaded of it away, too.
          if (!committed && committed.error().code == ErrorCode::not_found) return fail(image_went());
          return committed;
        },
        [](UploadConnection& self) {
          self.file_.reset();
          self.announce();
        });
  }

  // Whatever becomes of the client meanwhile: content that the image certainly does not take is not left behind.
  void announce() {
    const std::weak_ptr<UploadConnection> weak = self_as<UploadConnection>();
    edge().api.call("UploadImage", *admitted_.message, admitted_.options,
                    [weak, &files = edge().files, path = path_](const MessageResult& answer) {
                      // When its outcome is not known it may have been taken.
                      if (!answer && is_definite(answer.error().code)) files.submit([path] { ::unlink(path.c_str()); });
                      const auto self = weak.lock();
                      if (self && !self->ended_) self->on_announced(answer);
                    });
  }

  static bool is_definite(ErrorCode code) {
    return code != ErrorCode::unavailable && code != ErrorCode::timed_out && code != ErrorCode::internal;
  }

  void on_announced(const MessageResult& answer) {
    if (!answer) return refuse(answer.error());
    finish_with(**answer);
  }

  void finish_with(const google::protobuf::Message& message) {
    release();
    HttpAnswer done;
    done.body = write_json(message);
    done.headers.emplace_back("Cache-Control", "private, no-cache");
    answer(std::move(done));
  }

  static Error no_more_permitted() {
    return Error{ErrorCode::permission_denied, "the content was not taken",
                 "the login ended, or may do that no more, while it was sent", "sign in again", "login_ended"};
  }
  static Error image_went() {
    return Error{ErrorCode::conflict, "the content was not taken", "the image was deleted meanwhile",
                 "make the image again"};
  }
  static Error no_content() {
    return Error{ErrorCode::invalid_argument, "there is no content", "the body of the request is empty",
                 "send the image's file as the body"};
  }
  Error too_large() {
    return Error{ErrorCode::invalid_argument, "the content is too large",
                 "at most " + std::to_string(edge().options.upload_bytes_max) + " bytes are taken",
                 "send a smaller file", "body_too_large"};
  }

  // From now on another upload of that image may begin.
  void release() {
    file_.reset();
    if (!image_id_.empty()) edge().uploading.erase(image_id_);
    image_id_.clear();
  }

  void refuse(const Error& error) {
    release();
    answer(answer_for(error));
  }

  void answer(HttpAnswer answer) {
    note(answer);
    answer_and_close(shared_from_this(), stream_, std::move(answer), false, !parser_.is_done());
  }

  // Once.
  void note(const HttpAnswer& answer) {
    if (!std::exchange(noted_, true)) edge().api.note(*request_, admitted_, answer);
  }

  void end() {
    if (ended_) return;
    ended_ = true;
    const auto self = shared_from_this();
    recheck_.cancel();
    HttpAnswer cut_off;
    cut_off.status = static_cast<unsigned>(http::status::request_timeout);
    note(cut_off);
    close_now(stream_);
    leave();
  }

  TlsStream stream_;
  beast::flat_buffer buffer_;
  RequestPtr request_;
  Admitted admitted_;
  asio::steady_timer recheck_;
  // 0: not told.
  std::uint64_t expected_bytes_;
  BodyParser parser_;
  // Shared with the files' thread while that writes it.
  std::shared_ptr<std::vector<char>> piece_;
  std::uint64_t received_bytes_ = 0;
  // Set while this connection is the one that uploads it.
  std::string image_id_;
  std::string path_;
  // Of a dry run.
  std::unique_ptr<google::protobuf::Message> plan_;
  FilePtr file_;
  bool noted_ = false;
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<ConnectionBase> start_upload(HandedOver from, std::unique_ptr<HeaderParser> header,
                                             beast::flat_buffer buffer) {
  auto connection = std::make_shared<UploadConnection>(std::move(from), std::move(header), std::move(buffer));
  connection->start();
  return connection;
}

}  // namespace gantry::server
