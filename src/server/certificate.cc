#include "server/certificate.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <set>

#include "runtime/files.h"

namespace gantry::server {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(BIGNUM* number) const { BN_free(number); }
  void operator()(ASN1_OCTET_STRING* text) const { ASN1_OCTET_STRING_free(text); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

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

std::string alternative_names(const std::vector<std::string>& addresses) {
  std::set<std::string> names = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  const std::string host = own_host_name();
  if (is_host_name(host)) names.insert("DNS:" + host);
  for (const std::string& address : addresses) {
    if (address == "0.0.0.0" || address == "::") continue;
    if (is_ip_address(address)) {
      names.insert("IP:" + address);
    } else if (is_host_name(address)) {
      names.insert("DNS:" + address);
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
  const std::array<unsigned char, 7> common_name = {'g', 'a', 'n', 't', 'r', 'y', 'd'};
  // An hour back, for clients whose clock is behind.
  const bool made =
      X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
      X509_gmtime_adj(X509_getm_notBefore(x509), -3600) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(x509), kLifetimeSeconds) != nullptr && X509_set_pubkey(x509, key) == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, common_name.data(), common_name.size(), -1, 0) == 1 &&
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

}  // namespace

Result<void> ensure_certificate(const TlsPaths& paths, const std::vector<std::string>& addresses) {
  const bool has_certificate = ::access(paths.certificate.c_str(), F_OK) == 0;
  const bool has_key = ::access(paths.key.c_str(), F_OK) == 0;
  if (has_certificate && has_key) return {};
  // A key alone is what a crash in the middle of the first start leaves: it is nothing anybody relies on.
  if (has_certificate) {
    return fail(ErrorCode::conflict, "there is no key " + paths.key + " for the certificate " + paths.certificate,
                "only one of the two files is there", "put the key there, or remove the certificate to have a new one");
  }
  const Owned<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const Owned<X509> certificate = key ? make_certificate(key.get(), addresses) : nullptr;
  const Owned<BIO> key_text(BIO_new(BIO_s_mem()));
  const Owned<BIO> certificate_text(BIO_new(BIO_s_mem()));
  if (!certificate || !key_text || !certificate_text ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1) {
    return fail(ErrorCode::internal, "the server's certificate cannot be made", "OpenSSL refused");
  }
  if (auto written = runtime::write_file_durably(paths.key, text_of(key_text.get()), 0600); !written) return written;
  return runtime::write_file_durably(paths.certificate, text_of(certificate_text.get()), 0644);
}

}  // namespace gantry::server
