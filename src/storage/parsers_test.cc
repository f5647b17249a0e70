#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "base/rng.h"
#include "storage/image_header.h"
#include "storage/image_info.h"
#include "storage/kernel_bundle.h"
#include "storage/progress_text.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

std::span<const unsigned char> bytes_of(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

TEST(ImageHeaderTest, CutHeadersAreNoCrash) {
  const std::string whole = "QFI\xfb" + std::string("\0\0\0\3", 4) + noise(200);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const auto header = probe_image_header(bytes_of(whole.substr(0, size)), {});
    if (size < 4) {
      EXPECT_EQ(header->format, ImageFormat::raw);
    }
  }
  EXPECT_EQ(probe_image_header(bytes_of(whole), {})->format, ImageFormat::qcow2);
  EXPECT_TRUE(probe_image_header(bytes_of(whole), {})->has_backing_file);
}

TEST(ImageHeaderTest, AFixedVhdIsKnownByItsEnd) {
  const std::string tail = "conectix" + std::string(504, '\0');
  EXPECT_EQ(probe_image_header(bytes_of("boot sector"), bytes_of(tail))->format, ImageFormat::vpc);
}

TEST(ImageInfoTest, WhatMattersIsRead) {
  const auto info = parse_image_info(R"({"virtual-size": 10, "filename": "/a", "format": "vmdk", "actual-size": 5,
    "backing-filename": "/b", "format-specific": {"type": "vmdk", "data": {"data-file": "/c", "corrupt": true,
    "extents": [{"filename": "/a"}, {"filename": "/d"}, 7]}}})");
  ASSERT_TRUE(info.has_value()) << info.error().to_text();
  EXPECT_EQ(info->format, "vmdk");
  EXPECT_EQ(info->virtual_size_bytes, 10U);
  EXPECT_EQ(info->allocation_bytes, 5U);
  EXPECT_EQ(info->backing_file, "/b");
  EXPECT_EQ(info->data_file, "/c");
  EXPECT_TRUE(info->corrupt);
  EXPECT_EQ(info->extents, (std::vector<std::string>{"/a", "/d", ""}));
}

TEST(ImageInfoTest, OtherTextIsCorrupt) {
  const std::string deep(100'000, '[');
  const std::string huge = "{\"format\":\"" + std::string(kImageInfoBytesMax, 'x') + "\"}";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string("{\"format\":1}"),
        std::string(R"({"virtual-size": -1, "format": "raw"})"), std::string(R"({"virtual-size": 1})"), deep, huge}) {
    EXPECT_EQ(code_of(parse_image_info(text)), ErrorCode::corrupt) << text.substr(0, 40);
    EXPECT_EQ(code_of(parse_measured_bytes(text)), ErrorCode::corrupt);
  }
  // However deep it nests, nothing recurses.
  const std::string nested = R"({"required": 3, "x": )" + deep + std::string(deep.size(), ']') + "}";
  EXPECT_EQ(parse_measured_bytes(nested).value(), 3U);
  EXPECT_EQ(parse_measured_bytes(R"({"required": 7, "fully-allocated": 9})").value(), 7U);
}

TEST(ProgressTextTest, LinesOfEachProgram) {
  EXPECT_EQ(parse_qemu_img_progress("    (12.50/100%)")->percent, 12U);
  EXPECT_FALSE(parse_qemu_img_progress("(1000/100%)").has_value());
  EXPECT_EQ(parse_curl_progress("######           45.9%")->percent, 45U);
  EXPECT_EQ(parse_curl_progress("###100.0%")->percent, 100U);
  EXPECT_FALSE(parse_curl_progress("curl: (22) 404").has_value());
  EXPECT_EQ(parse_recipe_progress("progress 7 making the initramfs")->phase, "making the initramfs");
  for (const char* line :
       {"progress", "progress 7", "progress x y", "progress 101 x", "progress 7 \x01", "progress 7 "}) {
    EXPECT_FALSE(parse_recipe_progress(line).has_value()) << line;
  }
}

TEST(ProgressTextTest, LinesAreCutHoweverTheyCome) {
  const std::string text = "one\rtwo\n\nthree\n" + std::string(5000, 'x') + "\nend";
  for (const std::size_t step : {1U, 2U, 7U, 10'000U}) {
    std::vector<std::string> lines;
    LineReader reader([&](std::string_view line) { lines.emplace_back(line); });
    for (std::size_t at = 0; at < text.size(); at += step) reader.feed(std::string_view(text).substr(at, step));
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_EQ(lines[0] + lines[1] + lines[2], "onetwothree");
    EXPECT_EQ(lines[3].size(), 512U);
  }
}

Result<KernelBundle> find_in(const std::string& tar) {
  return find_in_kernel_bundle(
      [&](std::uint64_t offset, std::span<unsigned char> into) {
        if (offset > tar.size() || into.size() > tar.size() - offset) return false;
        std::copy_n(bytes_of(tar).begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
        return true;
      },
      tar.size());
}

class KernelBundleTest : public testing::Test {
 protected:
  std::string tar(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {"tar", "-C", directory.path(), "-cf", directory.path("out.tar")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    run(argv);
    return read_text(directory.path("out.tar"));
  }
  KernelBundleTest() {
    for (const char* name : {"kernel", "initramfs", "other"}) write_text(directory.path(name), name);
    write_text(directory.path("empty"), "");
  }
  TempDirectory directory;
};

TEST_F(KernelBundleTest, BothFilesAreFoundInEveryDialect) {
  for (const std::string format : {"ustar", "gnu", "posix", "v7"}) {
    const std::string file = tar({"--format=" + format, "./initramfs", "kernel"});
    const auto bundle = find_in(file);
    ASSERT_TRUE(bundle.has_value()) << format << ": " << bundle.error().to_text();
    EXPECT_EQ(file.substr(bundle->kernel.offset, bundle->kernel.size_bytes), "kernel");
    EXPECT_EQ(file.substr(bundle->initramfs.offset, bundle->initramfs.size_bytes), "initramfs");
  }
}

TEST_F(KernelBundleTest, OtherContentIsRefused) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"kernel"},
                                             {"initramfs"},
                                             {"kernel", "initramfs", "other"},
                                             {"kernel", "kernel", "initramfs"},
                                             {"--transform=s/empty/kernel/", "empty", "initramfs"}}) {
    // Without hard links for files that are named twice.
    std::vector<std::string> all = {"--hard-dereference"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    EXPECT_EQ(word_of(find_in(tar(all))), "image_corrupt") << arguments.back();
  }
  EXPECT_EQ(code_of(find_in("")), ErrorCode::corrupt);
  EXPECT_EQ(code_of(find_in(noise(4096))), ErrorCode::corrupt);
}

// Makes a damaged header's sum right again, so that the damage gets past that check.
void mend_checksum(std::string& file, std::size_t header) {
  if (file.size() < header + 512) return;
  file.replace(header + 148, 8, "        ");
  unsigned int sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(file[header + i]);
  char text[8] = {};
  std::snprintf(text, sizeof text, "%06o", sum);
  file.replace(header + 148, sizeof text, text, sizeof text);
}

TEST_F(KernelBundleTest, DamagedFilesNeverNameWhatIsNotThere) {
  const std::string whole = tar({"--format=ustar", "kernel", "initramfs"});
  Rng rng(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string file = whole;
    for (int i = 0; i < 3; ++i) file[rng.below(2048)] = static_cast<char>(rng.below(256));
    if (rng.chance(1, 4)) file.resize(rng.below(whole.size()));
    for (const std::size_t header : {0U, 1024U}) mend_checksum(file, header);
    const auto bundle = find_in(file);
    if (!bundle) continue;
    for (const FileRange& range : {bundle->kernel, bundle->initramfs}) {
      ASSERT_LE(range.offset, file.size());
      ASSERT_LE(range.size_bytes, file.size() - range.offset);
    }
  }
}

}  // namespace
}  // namespace gantry::storage
