# One target a room. gantry_room(NAME KNOWS room... [LIBS target...] [HEADERS_ONLY]) takes src/NAME/**.cc:
#   *_test.cc       into one GoogleTest program NAME_test
#   *_fuzz.cc       each a libFuzzer program in the preset fuzz, else a short run over fuzz/corpus
#   *_benchmark.cc  into one Google Benchmark program NAME_benchmark
#   the rest        into the library gantry_NAME
# NAME_link is a program of the whole library and only what the room may know: it fails to link when the room uses more.
function(gantry_room name)
  cmake_parse_arguments(room "HEADERS_ONLY" "" "KNOWS;LIBS" ${ARGN})
  set(directory ${CMAKE_SOURCE_DIR}/src/${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${directory}/*.cc)
  set(tests ${sources})
  set(fuzzers ${sources})
  set(benchmarks ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  list(FILTER benchmarks INCLUDE REGEX "_benchmark\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|benchmark)\\.cc$")

  set(known)
  foreach(other ${room_KNOWS})
    list(APPEND known gantry_${other})
  endforeach()

  if(room_HEADERS_ONLY OR NOT sources)
    add_library(gantry_${name} INTERFACE)
    target_link_libraries(gantry_${name} INTERFACE gantry_options ${known} ${room_LIBS})
  else()
    add_library(gantry_${name} STATIC ${sources})
    target_link_libraries(gantry_${name} PUBLIC ${known} ${room_LIBS} PRIVATE gantry_options)
    target_include_directories(gantry_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    if(api IN_LIST room_KNOWS)
      gantry_precompile(gantry_${name})
    endif()
    add_executable(${name}_link ${CMAKE_SOURCE_DIR}/cmake/link_main.cc)
    target_link_options(${name}_link PRIVATE
      -Wl,--whole-archive $<TARGET_FILE:gantry_${name}> -Wl,--no-whole-archive)
    add_dependencies(${name}_link gantry_${name})
    target_link_libraries(${name}_link PRIVATE ${known} ${room_LIBS})
    add_test(NAME ${name}_link COMMAND ${name}_link)
  endif()

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE gantry_${name} gantry_options GTest::gmock GTest::gtest_main)
    if(api IN_LIST room_KNOWS)
      gantry_precompile(${name}_test)
    endif()
    # A sanitizer's finding in a process that a test kills changes no exit code.
    gtest_discover_tests(${name}_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 900
      FAIL_REGULAR_EXPRESSION "[a-zA-Z]+Sanitizer: |runtime error: ")
  endif()
  if(benchmarks)
    add_executable(${name}_benchmark ${benchmarks})
    target_link_libraries(${name}_benchmark PRIVATE gantry_${name} gantry_options benchmark::benchmark_main)
  endif()
  gantry_fuzzers(gantry_${name} ${fuzzers})
endfunction()

# Each a libFuzzer program in the preset fuzz, else a short run over its corpus.
function(gantry_fuzzers library)
  foreach(source ${ARGN})
    get_filename_component(program ${source} NAME_WE)
    string(REPLACE "_fuzz" "" corpus ${program})
    set(corpus ${CMAKE_SOURCE_DIR}/fuzz/corpus/${corpus})
    if(GANTRY_FUZZ)
      add_executable(${program} ${source})
      target_link_options(${program} PRIVATE -fsanitize=fuzzer)
    else()
      add_executable(${program} ${source} ${CMAKE_SOURCE_DIR}/cmake/fuzz_main.cc)
      add_test(NAME ${program} COMMAND ${program} ${corpus})
    endif()
    target_link_libraries(${program} PRIVATE ${library} gantry_base gantry_options)
    # Where ./check looks for it.
    set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
  endforeach()
endfunction()
