#include "model/printable_text.h"

#include <gtest/gtest.h>

namespace gantry::model {
namespace {

TEST(PrintableText, KeepsWhatPeopleWrite) {
  EXPECT_EQ(printable_text("Debian GNU/Linux 12 (bookworm)", 200), "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(printable_text("hôte-東京-🖥", 200), "hôte-東京-🖥");
}

TEST(PrintableText, ReplacesWhatCouldDeceive) {
  EXPECT_EQ(printable_text("a\x1b[2Jb\r\nc", 200), "a?[2Jb??c");
  EXPECT_EQ(printable_text("x\u202ey\u200bz\u2028\ufeff\u0085", 200), "x?y?z???");
}

TEST(PrintableText, ReplacesBrokenBytes) {
  EXPECT_EQ(printable_text("a\xff\x80z", 200), "a??z");
  EXPECT_EQ(printable_text("\xc0\xaf", 200), "??") << "overlong";
  EXPECT_EQ(printable_text("\xed\xa0\x80", 200), "???") << "a surrogate";
  EXPECT_EQ(printable_text("\xf4\x90\x80\x80", 200), "????") << "beyond Unicode";
  EXPECT_EQ(printable_text("\xe6\x9d", 200), "??") << "cut off";
}

TEST(PrintableText, CutsBetweenCharacters) { EXPECT_EQ(printable_text("ab東京", 6), "ab東"); }

TEST(PrintableText, KeepsLinesWhereThereMayBeSeveral) {
  EXPECT_EQ(printable_text("one\ntwo\r\n\x1b", 200, Lines::several), "one\ntwo?\n?");
}

}  // namespace
}  // namespace gantry::model
