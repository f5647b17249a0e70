#include "app/cli/command_words.h"

#include <gtest/gtest.h>

namespace gantry::app {
namespace {

class CommandWords : public testing::Test {
 protected:
  CommandWords() {
    app_.add_option("-o,--output", format_);
    app_.add_flag("-q,--quiet", quiet_);
    auto* image = app_.add_subcommand("image");
    build_ = image->add_subcommand("build");
    build_->add_option("recipe", recipe_);
    build_->add_flag("-f,--force", force_);
  }
  std::string format_, recipe_;
  bool quiet_ = false, force_ = false;
  CLI::App app_;
  CLI::App* build_ = nullptr;
};

TEST_F(CommandWords, LeadToTheDeepestCommand) {
  EXPECT_EQ(walk(app_, {}).command, &app_);
  const Place place = walk(app_, {"-o", "json", "image", "-qf", "build", "debian-12", "image"});
  EXPECT_EQ(place.command, build_);
  EXPECT_EQ(path_of(*place.command), "gantry image build");
  EXPECT_EQ(place.positionals, (std::vector<std::string>{"debian-12", "image"}));
  EXPECT_EQ(place.values.at(app_.get_option("--output")), "json");
  // -f is not an option yet where it stands.
  EXPECT_EQ(place.unknown_option, "-f");
  EXPECT_EQ(walk(app_, {"nosuch", "image"}).command, &app_);
}

TEST_F(CommandWords, OptionsAreReadInEveryForm) {
  const auto* output = app_.get_option("--output");
  EXPECT_EQ(walk(app_, {"image", "build", "--output"}).awaiting, output);
  EXPECT_EQ(walk(app_, {"image", "build", "-qfo"}).awaiting, output);
  for (const auto& words : std::vector<std::vector<std::string>>{{"--output=json"}, {"-ojson"}, {"-qojson"}}) {
    const Place place = walk(app_, words);
    EXPECT_EQ(place.awaiting, nullptr);
    EXPECT_EQ(place.values.at(output), "json");
  }
  EXPECT_EQ(walk(app_, {"--quiet"}).awaiting, nullptr);
  const Place behind = walk(app_, {"image", "build", "--", "--output"});
  EXPECT_TRUE(behind.only_positionals);
  EXPECT_EQ(behind.awaiting, nullptr);
  EXPECT_EQ(behind.positionals, std::vector<std::string>{"--output"});
  EXPECT_EQ(walk(app_, {"--nosuch=1"}).unknown_option, "--nosuch");
}

TEST(Nearest, IsWhatMayHaveBeenMeant) {
  const std::vector<std::string> known = {"launch", "list", "volume", "--dry-run"};
  EXPECT_EQ(nearest("lanch", known), "launch");
  EXPECT_EQ(nearest("lsit", known), "list");
  EXPECT_EQ(nearest("vol", known), "volume");
  EXPECT_EQ(nearest("--dry", known), "--dry-run");
  EXPECT_EQ(nearest("banana", known), "");
  EXPECT_EQ(nearest("x", known), "");
}

}  // namespace
}  // namespace gantry::app
