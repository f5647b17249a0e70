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

TEST_F(ImageMachineTest, WaitsForItsUploadAlsoWhileItLooksWhetherItCame) {
  EXPECT_EQ(state(), v1::ImageStatus::WAITING);
  wanted.mutable_meta()->set_generation(2);  // announced
  EXPECT_EQ(state(), v1::ImageStatus::IMPORTING);
}

TEST_F(ImageMachineTest, AnImageThatIsFetchedIsNeverWaitedFor) {
  wanted.mutable_spec()->set_upload(false);
  EXPECT_EQ(state(), v1::ImageStatus::IMPORTING);
}

}  // namespace
}  // namespace gantry::host
