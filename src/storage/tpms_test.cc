#include "storage/tpms.h"

#include <filesystem>

#include "storage/testing.h"

namespace gantry::storage {
namespace {

class TpmsTest : public StorageTest {
 protected:
  Result<void> remove_tpm() {
    return wait<void>([&](auto done) { storage->delete_tpm({.path = pool}, kVmId, done); });
  }
  [[nodiscard]] std::string kept_in() const { return port::tpm_directory(pool, kVmId); }
};

TEST_F(TpmsTest, AreDeletedWithAllTheyKept) {
  ASSERT_TRUE(inspect_pool());
  std::filesystem::create_directories(kept_in());
  write_text(kept_in() + "/tpm2-00.permall", "secret");
  std::filesystem::create_symlink(pool, kept_in() + "/link");
  ASSERT_TRUE(remove_tpm());
  EXPECT_FALSE(std::filesystem::exists(kept_in()));
  EXPECT_TRUE(std::filesystem::exists(pool));
  EXPECT_TRUE(remove_tpm()) << "there is none any more";
}

TEST_F(TpmsTest, OfAPoolThatIsNotThereAreNotGone) {
  std::filesystem::remove_all(pool);
  const auto removed = remove_tpm();
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().reason, "pool_unusable");
}

}  // namespace
}  // namespace gantry::storage
