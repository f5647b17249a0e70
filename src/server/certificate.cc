#include "server/certificate.h"

#include <openssl/pem.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "runtime/files.h"
#include "runtime/machine_addresses.h"
#include "runtime/openssl_types.h"

namespace gantry::server {
namespace {

using runtime::Owned;

constexpr std::string_view kCommonName = "gantryd";
constexpr long kLifetimeSeconds = 10L * 365 * 24 * 3600;

bool is_ip_address(const std::string& text) { return Owned<ASN1_OCTET_STRING>(a2i_IPADDRESS(text.c_str())) != nullptr; }

// Only what may stand in a configuration text of OpenSSL's.
bool is_host_name(const std::string& text) {
  return !text.empty() && text.size() <= 253 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") ==
             std::string::npos;
}

std::string own_host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  return name.data();
}

bool is_wildcard(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

std::set<std::string> addresses_behind(const std::string& address) {
  if (!is_wildcard(address)) return {address};
  const int family = address == "::" ? AF_INET6 : AF_INET;
  std::set<std::string> found;
  for (const auto& one : runtime::machine_addresses()) {
    if (one.family == family) found.insert(one.text);
  }
  return found;
}

std::string alternative_names(const std::vector<std::string>& addresses) {
  std::set<std::string> names = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  const std::string host = own_host_name();
  if (is_host_name(host)) names.insert("DNS:" + host);
  for (const std::string& address : addresses) {
    for (const std::string& one : addresses_behind(address)) {
      if (is_ip_address(one)) {
        names.insert("IP:" + one);
      } else if (is_host_name(one)) {
        names.insert("DNS:" + one);
      }
    }
  }
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

bool add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  const Owned<BIGNUM> number(BN_new());
  return number && BN_rand(number.get(), 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

Owned<X509> make_certificate(EVP_PKEY* key, const std::vector<std::string>& addresses) {
  Owned<X509> certificate(X509_new());
  if (!certificate) return nullptr;
  X509* x509 = certificate.get();
  X509_NAME* name = X509_get_subject_name(x509);
  // An hour back, for clients whose clock is behind.
  const bool made =
      X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
      X509_gmtime_adj(X509_getm_notBefore(x509), -3600) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(x509), kLifetimeSeconds) != nullptr && X509_set_pubkey(x509, key) == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(kCommonName.data()),
                                 static_cast<int>(kCommonName.size()), -1, 0) == 1 &&
      X509_set_issuer_name(x509, name) == 1 && add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
      add_extension(x509, NID_key_usage, "critical,digitalSignature") &&
      add_extension(x509, NID_ext_key_usage, "serverAuth") && add_extension(x509, NID_subject_key_identifier, "hash") &&
      add_extension(x509, NID_subject_alt_name, alternative_names(addresses)) && X509_sign(x509, key, EVP_sha256()) > 0;
  return made ? std::move(certificate) : nullptr;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

Owned<X509> read_certificate(const std::string& path) {
  const Owned<BIO> file(BIO_new_file(path.c_str(), "r"));
  return Owned<X509>(file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr) : nullptr);
}

Owned<EVP_PKEY> read_key(const std::string& path) {
  const Owned<BIO> file(BIO_new_file(path.c_str(), "r"));
  // Instead of asking at the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return 0; };
  return Owned<EVP_PKEY>(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

// As make_certificate() makes them: nobody but gantryd signs as gantryd.
bool is_own(X509* certificate) {
  std::array<char, 16> name{};
  X509_NAME* subject = X509_get_subject_name(certificate);
  return X509_NAME_entry_count(subject) == 1 &&
         X509_NAME_get_text_by_NID(subject, NID_commonName, name.data(), name.size()) > 0 &&
         name.data() == kCommonName && X509_self_signed(certificate, 1) == 1;
}

bool names(X509* certificate, const std::string& address) {
  return X509_check_ip_asc(certificate, address.c_str(), 0) == 1 ||
         X509_check_host(certificate, address.c_str(), address.size(), 0, nullptr) == 1;
}

// Of a machine's many addresses one will do: a bridge more or a new lease is no reason for a certificate that every
// client has to be told of.
bool names_all(X509* certificate, const std::vector<std::string>& addresses) {
  return std::all_of(addresses.begin(), addresses.end(), [&](const std::string& address) {
    const auto behind = addresses_behind(address);
    return behind.empty() ||
           std::any_of(behind.begin(), behind.end(), [&](const auto& one) { return names(certificate, one); });
  });
}

Result<void> write_certificate(const std::string& path, EVP_PKEY* key, const std::vector<std::string>& addresses) {
  const Owned<X509> certificate = key != nullptr ? make_certificate(key, addresses) : nullptr;
  const Owned<BIO> text(BIO_new(BIO_s_mem()));
  if (!certificate || !text || PEM_write_bio_X509(text.get(), certificate.get()) != 1) {
    return fail(ErrorCode::internal, "the server's certificate cannot be made", "OpenSSL refused",
                "give one by --tls-certificate and --tls-key");
  }
  return runtime::write_file_durably(path, text_of(text.get()), 0644);
}

// Its key stays, so that there is no moment at which the two files do not belong together.
Result<void> renew_own_certificate(const TlsPaths& paths, const std::vector<std::string>& addresses) {
  const Owned<X509> certificate = read_certificate(paths.certificate);
  if (!certificate || !is_own(certificate.get()) || names_all(certificate.get(), addresses)) return {};
  const Owned<EVP_PKEY> key = read_key(paths.key);
  if (!key || X509_check_private_key(certificate.get(), key.get()) != 1) return {};
  spdlog::warn("the certificate {} does not name what is listened on and is made anew: its fingerprint is another now",
               paths.certificate);
  return write_certificate(paths.certificate, key.get(), addresses);
}

}  // namespace

Result<void> ensure_certificate(const TlsPaths& paths, const std::vector<std::string>& addresses) {
  const bool has_certificate = ::access(paths.certificate.c_str(), F_OK) == 0;
  const bool has_key = ::access(paths.key.c_str(), F_OK) == 0;
  if (has_certificate && has_key) return renew_own_certificate(paths, addresses);
  // A key alone is what a crash in the middle of the first start leaves: it is nothing anybody relies on.
  if (has_certificate) {
    return fail(ErrorCode::conflict, "there is no key " + paths.key + " for the certificate " + paths.certificate,
                "only one of the two files is there", "put the key there, or remove the certificate to have a new one");
  }
  const Owned<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const Owned<BIO> key_text(BIO_new(BIO_s_mem()));
  if (!key || !key_text ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(ErrorCode::internal, "the server's key cannot be made", "OpenSSL refused",
                "give one by --tls-certificate and --tls-key");
  }
  if (auto written = runtime::write_file_durably(paths.key, text_of(key_text.get()), 0600); !written) return written;
  return write_certificate(paths.certificate, key.get(), addresses);
}

}  // namespace gantry::server
