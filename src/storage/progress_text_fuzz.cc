#include <cstddef>
#include <cstdlib>

#include "storage/progress_text.h"

using namespace gantry::storage;  // NOLINT: a fuzzer of this one header

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  LineReader reader([](std::string_view line) {
    for (const auto& found : {parse_qemu_img_progress(line), parse_curl_progress(line), parse_recipe_progress(line)}) {
      if (found && found->percent > 100) std::abort();
    }
  });
  reader.feed({reinterpret_cast<const char*>(data), size});
  return 0;
}
