#include "storage/images.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "runtime/process.h"
#include "storage/paths.h"
#include "storage/testing.h"

namespace gantry::storage {
namespace {

namespace fs = std::filesystem;

class ImagesTest : public StorageTest {
 protected:
  ImagesTest() {
    EXPECT_TRUE(inspect_pool().has_value());
    write_text(source, noise(3 * kMiB));
  }

  // The upload, converted from `source`.
  void put(const std::string& format, const std::string& format_options = "") {
    std::vector<std::string> argv = {"qemu-img", "convert", "-f", "raw", "-O", format};
    if (!format_options.empty()) argv.insert(argv.end(), {"-o", format_options});
    argv.insert(argv.end(), {source, upload_path(pool, kImageId)});
    run(argv);
  }

  // Imports what is uploaded, which must be refused and leave nothing.
  std::string refusal() {
    const auto imported = import(upload());
    if (imported) return "accepted";
    EXPECT_TRUE(files_of_pool().empty()) << files_of_pool().front();
    EXPECT_FALSE(imported.error().next_step.empty());
    return imported.error().word();
  }

  std::string source = directory.path("source.raw");
};

TEST_F(ImagesTest, EveryFormatIsConverted) {
  for (const std::string format : {"raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc"}) {
    put(format, format == "vpc" ? "force_size=on" : "");
    progress.clear();
    const auto facts = import(upload());
    ASSERT_TRUE(facts.has_value()) << format << ": " << facts.error().to_text();
    EXPECT_EQ(facts->path, disk_image_path(pool, kImageId));
    EXPECT_EQ(facts->virtual_size_bytes, 3 * kMiB) << format;
    EXPECT_GE(facts->allocation_bytes, 3 * kMiB);
    run({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, facts->path});
    struct stat file {};
    ASSERT_EQ(::lstat(facts->path.c_str(), &file), 0);
    EXPECT_EQ(file.st_uid, 0U);
    EXPECT_EQ(file.st_mode & 0777U, 0444U);
    EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
    EXPECT_FALSE(progress.empty());
    EXPECT_EQ(inspect(upload())->virtual_size_bytes, 3 * kMiB);
    ASSERT_TRUE(remove(upload()).has_value());
    ASSERT_TRUE(remove(upload()).has_value());
    EXPECT_EQ(code_of(inspect(upload())), ErrorCode::not_found);
  }
}

TEST_F(ImagesTest, ARepeatedImportFindsWhatIsThere) {
  put("qcow2");
  ASSERT_TRUE(import(upload()).has_value());
  const auto again = import(upload());
  ASSERT_TRUE(again.has_value()) << again.error().to_text();
  EXPECT_EQ(again->virtual_size_bytes, 3 * kMiB);
}

TEST_F(ImagesTest, WhatWasSentGoesOnceTheImageIsFoundComplete) {
  for (const auto kind : {v1::ImageSpec::DISK, v1::ImageSpec::KERNEL}) {
    const auto request = upload(kind);
    if (kind == v1::ImageSpec::DISK) {
      put("qcow2");
    } else {
      run({"tar", "-C", directory.path(), "--transform=s/source.raw/kernel/", "-cf", upload_path(pool, kImageId),
           "source.raw"});
      fs::copy_file(source, directory.path("initramfs"));
      run({"tar", "-C", directory.path(), "-rf", upload_path(pool, kImageId), "initramfs"});
    }
    ASSERT_TRUE(import(request).has_value());
    const auto complete = files_of_pool();
    // As a kill just after the image got its name leaves it.
    write_text(upload_path(pool, kImageId), "what was sent");
    ASSERT_TRUE(inspect(request).has_value());
    EXPECT_EQ(files_of_pool(), complete);
    ASSERT_TRUE(remove(request).has_value());
    // What is still to be imported stays.
    write_text(upload_path(pool, kImageId), "what was sent");
    EXPECT_EQ(code_of(inspect(request)), ErrorCode::not_found);
    EXPECT_TRUE(fs::exists(upload_path(pool, kImageId)));
  }
}

TEST_F(ImagesTest, WithoutContentItWaits) {
  EXPECT_EQ(code_of(import(upload())), ErrorCode::not_found);
  EXPECT_EQ(word_of(import(upload())), "upload_missing");
  // What the server is still writing stays.
  write_text(partial_upload_path(pool, kImageId), "beginning");
  EXPECT_EQ(word_of(import(upload())), "upload_missing");
  ASSERT_TRUE(inspect_pool().has_value());
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"uploads/img-0123456789ab.part"});
  ASSERT_TRUE(remove(upload()).has_value());
  EXPECT_TRUE(files_of_pool().empty());
}

TEST_F(ImagesTest, TheChecksumIsHeld) {
  put("raw");
  auto request = upload();
  request.spec.set_sha256(std::string(64, '0'));
  EXPECT_EQ(word_of(import(request)), "checksum_mismatch");
  EXPECT_TRUE(files_of_pool().empty());
  put("raw");
  std::string sum = run({"sha256sum", source}).substr(0, 64);
  std::transform(sum.begin(), sum.end(), sum.begin(), [](unsigned char c) { return std::toupper(c); });
  request.spec.set_sha256(sum);
  const auto imported = import(request);
  EXPECT_TRUE(imported.has_value()) << imported.error().to_text();
}

TEST_F(ImagesTest, ABackingFileIsRefused) {
  const std::string path = upload_path(pool, kImageId);
  run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", source, "-F", "raw", path});
  EXPECT_EQ(refusal(), "image_refers_outside");
  run({"qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}",
       "-F", "raw", path, "1M"});
  EXPECT_EQ(refusal(), "image_refers_outside");
  run({"qemu-img", "create", "-q", "-f", "vmdk", directory.path("base.vmdk"), "1M"});
  run({"qemu-img", "create", "-q", "-f", "vmdk", "-b", directory.path("base.vmdk"), "-F", "vmdk", path});
  EXPECT_EQ(refusal(), "image_refers_outside");
}

TEST_F(ImagesTest, AnOutsideDataFileIsRefused) {
  const std::string data = directory.path("data");
  run({"qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=" + data + ",data_file_raw=on",
       upload_path(pool, kImageId), "1M"});
  EXPECT_EQ(refusal(), "image_refers_outside");
  // Also when that file is not there: the image is not opened to find out.
  run({"qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=" + data, upload_path(pool, kImageId), "1M"});
  fs::remove(data);
  EXPECT_EQ(refusal(), "image_refers_outside");
}

TEST_F(ImagesTest, OutsideExtentsAreRefused) {
  for (const std::string subformat : {"monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"}) {
    const std::string made = directory.path("made.vmdk");
    run({"qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=" + subformat, made, "1M"});
    fs::copy_file(made, upload_path(pool, kImageId));
    EXPECT_EQ(refusal(), "image_refers_outside") << subformat;
  }
  write_text(upload_path(pool, kImageId),
             "\n \nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
             "RW 8 FLAT \"/etc/passwd\" 0\n");
  EXPECT_EQ(refusal(), "image_refers_outside");
}

TEST_F(ImagesTest, ASparseExtentThatOnlyDescribesOthersIsRefused) {
  put("vmdk");
  damage(upload_path(pool, kImageId), 12, std::string(8, '\0'));
  EXPECT_EQ(refusal(), "image_refers_outside");
}

TEST_F(ImagesTest, DamagedFilesAreRefused) {
  put("qcow2");
  damage(upload_path(pool, kImageId), 20, "\xff\xff\xff\xff");
  EXPECT_EQ(refusal(), "image_corrupt");
  put("qcow2");
  fs::resize_file(upload_path(pool, kImageId), 100);
  EXPECT_EQ(refusal(), "image_corrupt");
  put("vhdx");
  damage(upload_path(pool, kImageId), 64ULL << 10U, std::string(128ULL << 10U, 'x'));
  EXPECT_EQ(refusal(), "image_corrupt");
  write_text(upload_path(pool, kImageId), "");
  EXPECT_EQ(refusal(), "image_corrupt");
}

TEST_F(ImagesTest, FormatsThatAreNotReadAreRefused) {
  put("qed");
  EXPECT_EQ(refusal(), "image_unsupported");
  put("qcow");
  EXPECT_EQ(refusal(), "image_unsupported");
}

TEST_F(ImagesTest, ASymbolicLinkIsNoUpload) {
  fs::create_symlink("/etc/passwd", upload_path(pool, kImageId));
  EXPECT_FALSE(import(upload()).has_value());
  EXPECT_FALSE(fs::exists(disk_image_path(pool, kImageId)));
}

TEST_F(ImagesTest, AnImageThatDoesNotFitIsRefusedBeforeItIsWritten) {
  pool = directory.path("small");
  mounts.mount(pool, "5m");
  ASSERT_TRUE(inspect_pool().has_value());
  put("raw");
  const auto refused = import(upload());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(code_of(refused), ErrorCode::out_of_space);
  EXPECT_EQ(word_of(refused), "pool_full");
  // What was sent stays, for when there is room again.
  EXPECT_EQ(files_of_pool(), std::vector<std::string>{"uploads/img-0123456789ab"});
}

TEST_F(ImagesTest, ADamagedImageIsFoundCorrupt) {
  put("raw");
  const auto facts = import(upload());
  ASSERT_TRUE(facts.has_value());
  damage(facts->path, 0, "xxxx");
  EXPECT_EQ(word_of(inspect(upload())), "image_corrupt");
}

TEST_F(ImagesTest, ExactlyOneSourceIsNeeded) {
  auto request = upload();
  request.spec.set_url("https://example.invalid/x.qcow2");
  EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument);
  request.spec.clear_url();
  request.spec.set_upload(false);
  EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument);
  request.spec.set_recipe("nowhere-1");
  EXPECT_EQ(code_of(import(request)), ErrorCode::invalid_argument);
}

TEST_F(ImagesTest, KernelImagesAreSplit) {
  const std::string kernel = noise(700'000);
  const std::string initramfs = noise(123);
  write_text(directory.path("kernel"), kernel);
  write_text(directory.path("initramfs"), initramfs);
  const auto request = upload(v1::ImageSpec::KERNEL);
  run({"tar", "-C", directory.path(), "-cf", upload_path(pool, kImageId), "./kernel", "./initramfs"});
  const auto facts = import(request);
  ASSERT_TRUE(facts.has_value()) << facts.error().to_text();
  EXPECT_TRUE(read_text(facts->path) == kernel);
  EXPECT_TRUE(read_text(facts->initramfs_path) == initramfs);
  EXPECT_EQ(inspect(request)->initramfs_path, facts->initramfs_path);
  EXPECT_TRUE(import(request).has_value());
  EXPECT_EQ(files_of_pool(),
            (std::vector<std::string>{"images/img-0123456789ab.initramfs", "images/img-0123456789ab.kernel"}));
  ASSERT_TRUE(remove(request).has_value());
  EXPECT_TRUE(files_of_pool().empty());

  run({"tar", "-C", directory.path(), "-cf", upload_path(pool, kImageId), "kernel"});
  EXPECT_EQ(word_of(import(request)), "image_corrupt");
  EXPECT_TRUE(files_of_pool().empty());
}

// A daemon that dies at any point of an import leaves either the whole image or what the next one clears away.
TEST_F(ImagesTest, AKillInTheMiddleLeavesNothingHalfMade) {
  const std::string path = disk_image_path(pool, kImageId);
  int complete = 0;
  for (const int delay_ms : {0, 3, 8, 15, 25, 35, 50, 70, 100, 400}) {
    fs::copy_file(source, upload_path(pool, kImageId), fs::copy_options::overwrite_existing);
    const pid_t child = ::fork();
    if (child == 0) {
      (void)storage::import_image(upload(), options, Job{});
      ::_exit(0);
    }
    ::usleep(static_cast<useconds_t>(delay_ms) * 1000);
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    if (fs::exists(path)) {
      ++complete;
      run({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, path});
    }
    ASSERT_TRUE(inspect_pool().has_value());
    for (const std::string& name : files_of_pool()) EXPECT_EQ(name.find(".new"), std::string::npos) << name;
    const auto finished = import(upload());
    ASSERT_TRUE(finished.has_value()) << finished.error().to_text();
    EXPECT_EQ(files_of_pool(), std::vector<std::string>{"images/img-0123456789ab.qcow2"});
    ASSERT_TRUE(remove(upload()).has_value());
  }
  EXPECT_LT(complete, 10);
}

}  // namespace
}  // namespace gantry::storage
