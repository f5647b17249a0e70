// What can be said of a request without looking at any record. Each check answers the first field that is wrong; the
// error's code is invalid_argument, its reason "invalid_field".
#pragma once

#include <map>
#include <string>

#include "gantry/v1/routes.pb.h"
#include "model/check.h"

namespace gantry::model {

inline constexpr std::uint32_t kCpusMax = 512;
inline constexpr std::uint32_t kMemoryMibMin = 16;
inline constexpr std::uint32_t kMemoryMibMax = 16U << 20U;  // 16 TiB
inline constexpr std::uint64_t kVolumeBytesMin = 1ULL << 20U;
inline constexpr std::uint64_t kVolumeBytesMax = 64ULL << 40U;
inline constexpr std::size_t kUserDataBytesMax = 64U << 10U;
inline constexpr int kDisksMax = 24;
inline constexpr int kNicsMax = 8;
inline constexpr int kPortForwardsMax = 64;
inline constexpr std::uint32_t kStopTimeoutSecondsMax = 86'400;

Checked check_labels(const google::protobuf::Map<std::string, std::string>& labels);

Checked validate(const v1::CreateVmRequest& request);
Checked validate(const v1::UpdateVmRequest& request);
Checked validate(const v1::StopVmRequest& request);
Checked validate(const v1::DeleteVmRequest& request);
Checked validate(const v1::CreateVolumeRequest& request);
Checked validate(const v1::ResizeVolumeRequest& request);
Checked validate(const v1::CreateImageRequest& request);
Checked validate(const v1::CreateNetworkRequest& request);
Checked validate(const v1::CreatePoolRequest& request);
Checked validate(const v1::UpdateHostRequest& request);
Checked validate(const v1::ById& request);
Checked validate(const v1::ListRequest& request);
Checked validate(const v1::ListTasksRequest& request);

// "key=value,key=value" of a ListRequest; empty: none.
Result<std::map<std::string, std::string>> parse_label_filter(std::string_view text);

}  // namespace gantry::model
