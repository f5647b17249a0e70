# Warnings, sanitizers and the linker, for every target.
add_library(gantry_options INTERFACE)
target_compile_options(gantry_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual -Wcast-qual
  -Wformat=2 -Werror -fstack-protector-strong)
target_include_directories(gantry_options INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_compile_definitions(gantry_options INTERFACE GANTRY_VERSION="${PROJECT_VERSION}")

if(GANTRY_SANITIZE)
  add_compile_options(-fsanitize=${GANTRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all -g1)
  add_link_options(-fsanitize=${GANTRY_SANITIZE})
  if(GANTRY_SANITIZE STREQUAL "thread")
    # -Wno-tsan: of the fences in Boost.Asio, which the thread sanitizer does not see. The macros: protobuf's maps have
    # another layout where it is defined, and the system's library was built without; libstdc++ still needs to know.
    add_compile_options(-Wno-tsan -U__SANITIZE_THREAD__ -D_GLIBCXX_TSAN=1)
  endif()
endif()

if(GANTRY_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "GANTRY_FUZZ needs clang++: use the preset \"fuzz\"")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=address,undefined)
endif()

find_program(GANTRY_LLD ld.lld)
if(GANTRY_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# Parses what nearly every source includes once. GCC's precompiled headers are nothing clangd and clang-tidy can read, and
# hide a missing #include: the preset dev does without.
function(gantry_precompile)
  if(GANTRY_PRECOMPILE)
    foreach(target ${ARGN})
      target_precompile_headers(${target} REUSE_FROM gantry_precompiled)
      # The first, else ccache does not know what was included. The others, because GCC 12 then reports overflows in its
      # own std::string that are none (its bug 105329).
      target_compile_options(${target} PRIVATE -fpch-preprocess -Wno-array-bounds -Wno-stringop-overread
        -Wno-stringop-overflow)
    endforeach()
  endif()
endfunction()

# What takes minutes to optimize and has nothing to gain: Boost.Beast's connections, whose time is OpenSSL's; the command
# line, which waits for its server; the daemon's composition, which runs once.
function(gantry_light_optimization)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS -O1)
endfunction()
