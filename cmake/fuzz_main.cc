// Runs a fuzzer without libFuzzer: every file of its corpus, then mutations of them from a fixed seed. It finds less
// than the preset "fuzz" does, but with every compiler and sanitizer, in a moment, the same each time.
//   PROGRAM CORPUS_DIRECTORY [RUNS]
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kInputBytesMax = 4096;

std::vector<std::string> read_corpus(const std::string& directory) {
  std::vector<std::string> corpus = {""};
  std::error_code error;
  std::set<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) files.insert(entry.path());
  for (const auto& path : files) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

void mutate(std::string& input, const std::vector<std::string>& corpus, gantry::Rng& rng) {
  const std::size_t at = input.empty() ? 0 : rng.below(input.size());
  switch (rng.below(6)) {
    case 0:
      if (!input.empty()) input[at] = static_cast<char>(input[at] ^ static_cast<char>(1U << rng.below(8)));
      break;
    case 1: input.insert(at, 1, static_cast<char>(rng.below(256))); break;
    case 2: input.erase(at, 1 + rng.below(8)); break;
    case 3: input.insert(at, input.substr(at, 1 + rng.below(64))); break;
    case 4: {
      const auto& other = corpus[rng.below(corpus.size())];
      input = input.substr(0, at) + other.substr(other.empty() ? 0 : rng.below(other.size()));
      break;
    }
    default: input.insert(at, 1, "\"\\{}[]:,0-/\n\xff%<"[rng.below(15)]); break;
  }
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
}

}  // namespace

int main(int argc, char** argv) {
  const auto corpus = read_corpus(argc > 1 ? argv[1] : "");
  const int runs = argc > 2 ? std::atoi(argv[2]) : 20'000;
  gantry::Rng rng(1);
  std::string input;
  for (int run = 0; run < runs; ++run) {
    const auto index = static_cast<std::size_t>(run);
    input = corpus[index < corpus.size() ? index : rng.below(corpus.size())];
    if (index >= corpus.size()) {
      for (std::uint64_t i = 0, count = 1 + rng.below(6); i < count; ++i) mutate(input, corpus, rng);
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
  }
  std::cout << runs << " inputs from " << corpus.size() << " seeds\n";
  return 0;
}
