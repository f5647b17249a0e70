// What is written is what protobuf's own writer says of the same message.
#include "server/json.h"

#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/rng.h"
#include "gantry/v1/routes.pb.h"
#include "server/json_writer.h"
#include "server/routes.h"

namespace gantry::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;

const std::vector<std::string>& texts() {
  static const std::vector<std::string> kTexts = {
      "", "web", "a \"quoted\" \\ word", "two\nlines\tand\r\b\f\x01\x1f\x7f", "<b>&amp;</b>", "grüße 漢字 \U0001f600"};
  return kTexts;
}

std::string any_text(Rng& rng) { return texts()[rng.below(texts().size())]; }

void fill_message(Message& message, Rng& rng, int depth);

void fill_field(Message& message, const FieldDescriptor* field, Rng& rng, int depth) {
  const auto& reflection = *message.GetReflection();
  const bool many = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32: {
      const auto number = static_cast<std::uint32_t>(rng.next());
      return many ? reflection.AddUInt32(&message, field, number) : reflection.SetUInt32(&message, field, number);
    }
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.SetInt32(&message, field, static_cast<std::int32_t>(rng.next()));
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? reflection.AddUInt64(&message, field, rng.next())
                  : reflection.SetUInt64(&message, field, rng.next());
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.SetInt64(&message, field, static_cast<std::int64_t>(rng.next()));
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      // Of many, one that is no number may be among them.
      const double number = static_cast<double>(rng.below(2'000'000)) / 1'000 - 1'000;
      const double any = many && rng.below(4) == 0 ? std::nan("") : number;
      return many ? reflection.AddDouble(&message, field, any) : reflection.SetDouble(&message, field, any);
    }
    case FieldDescriptor::CPPTYPE_BOOL: return reflection.SetBool(&message, field, rng.below(2) == 1);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto number =
          static_cast<int>(rng.below(static_cast<std::uint64_t>(field->enum_type()->value_count()) + 1));
      return many ? reflection.AddEnumValue(&message, field, number) : reflection.SetEnumValue(&message, field, number);
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return many ? reflection.AddString(&message, field, any_text(rng))
                  : reflection.SetString(&message, field, any_text(rng));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return fill_message(many ? *reflection.AddMessage(&message, field) : *reflection.MutableMessage(&message, field),
                          rng, depth + 1);
    default: FAIL() << field->full_name() << " is of a type that this test does not know";
  }
}

void fill_message(Message& message, Rng& rng, int depth) {
  if (auto* time = dynamic_cast<google::protobuf::Timestamp*>(&message)) {
    time->set_seconds(static_cast<std::int64_t>(rng.below(300'000'000'000)) - 60'000'000'000);
    time->set_nanos(static_cast<std::int32_t>(rng.below(1'000)) *
                    std::vector<int>{0, 1, 1'000, 1'000'000}[rng.below(4)]);
    return;
  }
  const auto* type = message.GetDescriptor();
  const bool entry = type->options().map_entry();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_map()) {
      // Of several with the same key it is not said which counts.
      fill_field(message, field, rng, depth);
      continue;
    }
    const bool fill = entry || rng.below(static_cast<std::uint64_t>(depth) + 2) == 0;
    const std::uint64_t times = !fill ? 0 : field->is_repeated() ? rng.below(4) : 1;
    for (std::uint64_t n = 0; n < times; ++n) fill_field(message, field, rng, depth);
  }
}

std::string written_by_protobuf(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string text;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
  return text;
}

// All messages that clients are answered with as JSON.
std::set<const Descriptor*> answers() {
  std::set<const Descriptor*> types = {v1::ChangeEvent::descriptor()};
  const RouteTable routes;
  for (const RouteEntry& entry : routes.entries()) types.insert(entry.method->output_type());
  types.erase(v1::Document::descriptor());
  return types;
}

TEST(JsonWriter, SaysWhatProtobufSaysOfEveryAnswer) {
  Rng rng(7);
  ASSERT_GT(answers().size(), 20U);
  for (const Descriptor* type : answers()) {
    const Message& none = *MessageFactory::generated_factory()->GetPrototype(type);
    for (int round = 0; round < 20; ++round) {
      const std::unique_ptr<Message> message(none.New());
      if (round > 0) fill_message(*message, rng, 0);
      std::string text;
      ASSERT_TRUE(append_json(*message, text)) << message->DebugString();
      EXPECT_EQ(nlohmann::json::parse(text), nlohmann::json::parse(written_by_protobuf(*message)))
          << message->DebugString();
    }
  }
}

TEST(JsonWriter, KeepsTheOrderOfFieldsAndOfLabels) {
  v1::Meta meta;
  meta.set_id("vm-1");
  (*meta.mutable_labels())["b"] = "2";
  (*meta.mutable_labels())["a"] = "1";
  meta.mutable_created_at()->set_seconds(951'782'400);
  meta.mutable_created_at()->set_nanos(5'000'000);
  EXPECT_EQ(write_json(meta),
            R"({"id":"vm-1","name":"","labels":{"a":"1","b":"2"},"createdAt":"2000-02-29T00:00:00.005Z",)"
            R"("revision":"0","generation":"0","schemaVersion":0})"
            "\n");
}

TEST(JsonWriter, WhatJsonCannotShowIsSaidToBeADefect) {
  v1::Vm text;
  text.mutable_meta()->set_name("\xff\xfe");
  std::string written;
  EXPECT_FALSE(append_json(text, written));
  v1::Vm time;
  time.mutable_meta()->mutable_created_at()->set_seconds(1LL << 60U);
  EXPECT_NE(write_json(time).find("cannot be shown"), std::string::npos);
}

// Requests have types that no record has.
TEST(JsonWriter, WhatItDoesNotKnowIsWrittenAllTheSame) {
  v1::UpdateVmRequest request;
  request.mutable_update_mask()->add_paths("spec.cpus");
  std::string text;
  EXPECT_FALSE(append_json(request, text));
  EXPECT_EQ(nlohmann::json::parse(write_json(request)).at("updateMask"), "spec.cpus");
}

}  // namespace
}  // namespace gantry::server
