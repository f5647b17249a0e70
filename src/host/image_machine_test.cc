#include "host/image_machine.h"

#include <gtest/gtest.h>

namespace gantry::host {
namespace {

class ImageMachineTest : public testing::Test {
 protected:
  ImageMachineTest() {
    wanted.mutable_meta()->set_generation(1);
    wanted.mutable_spec()->set_upload(true);
    memory.presence = Presence::absent;
  }

  // As it is told while an import is under way.
  [[nodiscard]] v1::ImageStatus::State state() const {
    const ImageInput input{.wanted = wanted,
                           .memory = memory,
                           .under_way = ImageStep::import,
                           .pool_known = true,
                           .in_use_by = {},
                           .now = {}};
    const auto status = image_status(input, plan_image(input), "host-1");
    return status ? status->state() : v1::ImageStatus::UNKNOWN;
  }

  v1::Image wanted;
  ImageMemory memory;
};

TEST_F(ImageMachineTest, WaitsForItsUploadUntilThatIsAnnounced) {
  EXPECT_EQ(state(), v1::ImageStatus::WAITING);
  wanted.mutable_meta()->set_generation(2);  // announced
  EXPECT_EQ(state(), v1::ImageStatus::IMPORTING);
}

TEST_F(ImageMachineTest, AnImageThatIsFetchedIsNeverWaitedFor) {
  wanted.mutable_spec()->set_upload(false);
  EXPECT_EQ(state(), v1::ImageStatus::IMPORTING);
}

TEST_F(ImageMachineTest, AnUploadThatDoesNotComeForADayFailsTheImage) {
  constexpr Milliseconds kDayMs = 24LL * 3600 * 1000;
  wanted.mutable_meta()->set_name("base");
  wanted.mutable_meta()->mutable_created_at()->set_seconds(1'000);
  const auto plan_at = [this](Milliseconds unix_ms) {
    return plan_image({.wanted = wanted,
                       .memory = memory,
                       .under_way = ImageStep::none,
                       .pool_known = true,
                       .in_use_by = {},
                       .now = {.monotonic_ms = 5, .unix_ms = unix_ms}});
  };
  EXPECT_EQ(plan_at(1'000'000 + kDayMs).step, ImageStep::none);
  EXPECT_EQ(plan_at(1'000'000 + kDayMs).wake_at_ms, 6);
  const ImagePlan late = plan_at(1'000'000 + kDayMs + 1);
  EXPECT_EQ(late.step, ImageStep::fail);
  EXPECT_EQ(late.problem.code(), "upload_missing");
  EXPECT_FALSE(late.problem.cause().empty());
  EXPECT_FALSE(late.problem.next_step().empty());
  // Content that was announced is not given up for being late.
  wanted.mutable_meta()->set_generation(2);
  EXPECT_EQ(plan_at(1'000'000 + kDayMs + 1).step, ImageStep::import);
  wanted.mutable_meta()->set_generation(1);
  wanted.mutable_meta()->mutable_deletion();
  EXPECT_EQ(plan_at(1'000'000 + kDayMs + 1).step, ImageStep::remove);
}

}  // namespace
}  // namespace gantry::host
