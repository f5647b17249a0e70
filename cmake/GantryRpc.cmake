# RE2's pkg-config file asks for -pthread, which gRPC hands on: it only defines _REENTRANT today, and precompiled headers
# made without that are not taken.
if(TARGET re2::re2)
  set_property(TARGET re2::re2 PROPERTY INTERFACE_COMPILE_OPTIONS "")
endif()

# gantry_rpc(TARGET PATH/NAME.proto [MESSAGES target]) makes a library of a protocol spoken over gRPC: messages as
# "NAME.pb.h", calls as "NAME.grpc.pb.h", under the path from src/ or api/. The latter takes seconds to parse: few sources
# should include it. MESSAGES: the library that has the messages already.
function(gantry_rpc target proto)
  cmake_parse_arguments(rpc "" "MESSAGES" "" ${ARGN})
  set(generated ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${generated})
  string(REGEX REPLACE "^(src|api)/.*" "\\1" root ${proto})
  file(RELATIVE_PATH stem ${CMAKE_SOURCE_DIR}/${root} ${CMAKE_SOURCE_DIR}/${proto})
  string(REGEX REPLACE "\\.proto$" "" stem ${stem})
  set(sources ${generated}/${stem}.grpc.pb.cc)
  set(outputs ${sources} ${generated}/${stem}.grpc.pb.h)
  set(messages)
  if(NOT rpc_MESSAGES)
    list(APPEND sources ${generated}/${stem}.pb.cc)
    list(APPEND outputs ${generated}/${stem}.pb.cc ${generated}/${stem}.pb.h)
    set(messages --cpp_out=${generated})
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND protobuf::protoc -I${CMAKE_SOURCE_DIR}/${root} ${messages} --grpc_out=${generated}
      --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${CMAKE_SOURCE_DIR}/${proto}
    DEPENDS ${CMAKE_SOURCE_DIR}/${proto}
    VERBATIM)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${generated})
  target_link_libraries(${target} PUBLIC ${rpc_MESSAGES} protobuf::libprotobuf gRPC::grpc++)
endfunction()
