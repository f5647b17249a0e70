#include "app/daemon/local_access.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/daemon/manager_parts.h"
#include "base/hex.h"
#include "runtime/files.h"

namespace gantry::app {
namespace {

std::string address_for_clients(const std::string& listening) {
  if (listening == "0.0.0.0") return "127.0.0.1";
  if (listening == "::") return "[::1]";
  return listening.find(':') == std::string::npos ? listening : "[" + listening + "]";
}

}  // namespace

Result<std::string> certificate_fingerprint(const std::string& path) {
  auto text = runtime::read_file(path, 1U << 20U);
  if (!text) return fail(text.error());
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())),
                                                         &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      memory ? PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr) : nullptr, &X509_free);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &length) != 1) {
    return fail(ErrorCode::corrupt, "cannot understand " + path, "it holds no certificate in PEM form");
  }
  return to_hex(digest.data(), length);
}

bool is_certificate_of_key(const std::string& certificate_path, const std::string& key_path) {
  const auto certificate_text = runtime::read_file(certificate_path, 1U << 20U);
  const auto key_text = runtime::read_file(key_path, 1U << 20U);
  if (!certificate_text || !key_text) return false;
  const std::unique_ptr<BIO, decltype(&BIO_free)> certificate_memory(
      BIO_new_mem_buf(certificate_text->data(), static_cast<int>(certificate_text->size())), &BIO_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> key_memory(
      BIO_new_mem_buf(key_text->data(), static_cast<int>(key_text->size())), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(certificate_memory.get(), nullptr, nullptr, nullptr), &X509_free);
  std::string no_password;  // instead of asking at the terminal
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(key_memory.get(), nullptr, nullptr, no_password.data()), &EVP_PKEY_free);
  return certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
}

void print_first_password(const std::string& password) {
  if (password.empty()) return;
  std::printf(
      "The first user is \"admin\" with the password %s\nIt is shown only now; change it with: gantry password\n"
      "If it is lost, root on this machine sets another: gantry password --user admin\n",
      password.c_str());
  std::fflush(stdout);
}

Result<void> offer_local_access(const DaemonOptions& options, std::uint16_t port, const std::string& token) {
  const auto fingerprint = certificate_fingerprint(certificate_path(options));
  if (!fingerprint) return fail(fingerprint.error());
  const nlohmann::json json = {
      {"server", "https://" + address_for_clients(options.listen_address) + ":" + std::to_string(port)},
      {"fingerprint", *fingerprint},
      {"token", token}};
  if (auto written = runtime::write_file_durably(options.run_directory + "/local.json", json.dump() + "\n"); !written) {
    return written;
  }
  return runtime::write_file_durably(options.run_directory + "/gantryd.pid", std::to_string(::getpid()) + "\n", 0644);
}

void withdraw_local_access(const DaemonOptions& options) {
  ::unlink((options.run_directory + "/local.json").c_str());
  ::unlink((options.run_directory + "/gantryd.pid").c_str());
}

}  // namespace gantry::app
