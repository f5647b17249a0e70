#include "model/rbd_location.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

const RbdLocation kPool = {.user = "gantry",
                           .pool = "vms",
                           .name_space = "",
                           .image = "",
                           .configuration = "/var/lib/gantry/ceph/pool-1.conf"};

TEST(RbdLocation, OfAPoolAndOfAnImageAreReadAsTheyAreWritten) {
  EXPECT_EQ(rbd_location(to_text(kPool)), kPool);
  RbdLocation image = kPool;
  image.name_space = "blue";
  image.image = "vol-1";
  EXPECT_EQ(rbd_location(to_text(image)), image);
  EXPECT_EQ(to_text(image), "rbd:gantry@vms/blue/vol-1:/var/lib/gantry/ceph/pool-1.conf");
}

TEST(RbdLocation, NothingElseIsOne) {
  for (const char* text : {"", "rbd:", "/rbd:a@b//:/c", "rbd:a@b//:c", "rbd:@b//:/c", "rbd:a@//:/c", "rbd:a@b/c d/:/c",
                           "rbd:a@b:c//:/c", "rbd:a,b@c//:/d", "rbd:a@b/c:/d"}) {
    EXPECT_FALSE(rbd_location(text)) << text;
  }
}

TEST(RbdLocation, NamesAreBounded) {
  EXPECT_TRUE(is_rbd_name(std::string(128, 'a')));
  EXPECT_FALSE(is_rbd_name(std::string(129, 'a')));
  EXPECT_FALSE(is_rbd_name(""));
}

}  // namespace
}  // namespace gantry::model
