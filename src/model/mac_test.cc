#include "model/mac.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

TEST(Mac, IsMadeInQemusRange) {
  Rng rng(5);
  for (int i = 0; i < 100; ++i) {
    const std::string mac = make_mac(rng);
    EXPECT_EQ(mac.substr(0, 9), "52:54:00:");
    EXPECT_EQ(parse_mac(mac), mac);
  }
}

TEST(Mac, IsKeptInLowerCase) { EXPECT_EQ(parse_mac("52:54:00:AB:cd:0F").value(), "52:54:00:ab:cd:0f"); }

TEST(Mac, RefusesWhatNoCardHas) {
  for (const char* text : {"", "52:54:00:ab:cd", "52-54-00-ab-cd-0f", "52:54:00:ab:cd:0g", "01:00:5e:00:00:01",
                           "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52:54:00:ab:cd:0f ", "5254.00ab.cd0f"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

}  // namespace
}  // namespace gantry::model
