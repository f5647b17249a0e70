#include "link/authority.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <ctime>
#include <functional>

#include "base/hex.h"
#include "base/id.h"
#include "link/pem.h"
#include "runtime/openssl_types.h"

namespace gantry::link {
namespace {

using runtime::Owned;
using runtime::reader_of;

constexpr std::size_t kRequestBytesMax = 8192;
constexpr std::size_t kCertificateBytesMax = 64U << 10U;
constexpr Milliseconds kHourMs = 3'600'000;
constexpr std::string_view kHostUri = "gantry://host/";

Error defect(const char* what) {
  ERR_clear_error();
  return Error{ErrorCode::internal, std::string(what) + " cannot be made", "OpenSSL refused"};
}

// Instead of asking at the terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return 0; }

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

// What `write` writes; empty when it fails.
std::string pem_of(const std::function<int(BIO*)>& write) {
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  return bio && write(bio.get()) == 1 ? text_of(bio.get()) : std::string();
}
std::string pem_of_key(EVP_PKEY* key) {
  return pem_of(
      [&](BIO* bio) { return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

Owned<X509> read_certificate(std::string_view pem) {
  if (pem.size() > kCertificateBytesMax) return nullptr;
  const Owned<BIO> bio = reader_of(pem);
  Owned<X509> certificate(bio ? PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr) : nullptr);
  ERR_clear_error();
  return certificate;
}

Owned<EVP_PKEY> read_key(std::string_view pem) {
  const Owned<BIO> bio = reader_of(pem);
  Owned<EVP_PKEY> key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr) : nullptr);
  ERR_clear_error();
  return key;
}

Owned<EVP_PKEY> make_key() { return Owned<EVP_PKEY>(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")); }

bool is_p256(EVP_PKEY* key) {
  std::array<char, 64> group{};
  std::size_t length = 0;
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group.data(), group.size(), &length) == 1 &&
         OBJ_sn2nid(group.data()) == NID_X9_62_prime256v1;
}

bool set_name(X509_NAME* name, std::string_view common_name) {
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, static_cast<int>(common_name.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_time(ASN1_TIME* time, Milliseconds unix_ms) {
  return ASN1_TIME_set(time, static_cast<std::time_t>(unix_ms / 1000)) != nullptr;
}

Milliseconds ms_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<Milliseconds>(::timegm(&parts)) * 1000;
}

bool set_serial(X509* certificate) {
  const Owned<BIGNUM> number(BN_new());
  return number && BN_rand(number.get(), 120, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

// Everything but extensions and signature.
Owned<X509> begin_certificate(EVP_PKEY* key, std::string_view common_name, Validity validity) {
  Owned<X509> certificate(X509_new());
  const bool made =
      certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 && set_serial(certificate.get()) &&
      set_time(X509_getm_notBefore(certificate.get()), validity.from_ms - kHourMs) &&
      set_time(X509_getm_notAfter(certificate.get()), validity.until_ms) &&
      X509_set_pubkey(certificate.get(), key) == 1 && set_name(X509_get_subject_name(certificate.get()), common_name);
  return made ? std::move(certificate) : nullptr;
}

// A certificate that the authority signs; `use` is "clientAuth" or "serverAuth".
std::string issue(const Credentials& authority, EVP_PKEY* key, std::string_view common_name, const std::string& names,
                  const std::string& use, Validity validity) {
  const Owned<X509> issuer = read_certificate(authority.certificate_pem);
  const Owned<EVP_PKEY> issuer_key = read_key(authority.key_pem);
  if (!issuer || !issuer_key) return {};
  const Owned<X509> certificate = begin_certificate(key, common_name, validity);
  if (!certificate) return {};
  X509* x509 = certificate.get();
  const bool made = X509_set_issuer_name(x509, X509_get_subject_name(issuer.get())) == 1 &&
                    add_extension(x509, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(x509, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(x509, issuer.get(), NID_ext_key_usage, "critical," + use) &&
                    add_extension(x509, issuer.get(), NID_subject_key_identifier, "hash") &&
                    add_extension(x509, issuer.get(), NID_authority_key_identifier, "keyid:always") &&
                    add_extension(x509, issuer.get(), NID_subject_alt_name, names) &&
                    X509_sign(x509, issuer_key.get(), EVP_sha256()) > 0;
  return made ? pem_of_certificate(x509) : std::string();
}

// The request's key, when it has signed the request.
Result<Owned<EVP_PKEY>> key_of_request(std::string_view pem) {
  const auto wrong = [](std::string why) {
    ERR_clear_error();
    return fail(ErrorCode::invalid_argument, "the certificate request cannot be used", std::move(why), {},
                "bad_certificate_request");
  };
  if (pem.size() > kRequestBytesMax) return wrong("it is longer than 8 KiB");
  const Owned<BIO> bio = reader_of(pem);
  const Owned<X509_REQ> request(bio ? PEM_read_bio_X509_REQ(bio.get(), nullptr, no_password, nullptr) : nullptr);
  if (!request) return wrong("it is not PKCS#10 in PEM form");
  Owned<EVP_PKEY> key(X509_REQ_get_pubkey(request.get()));
  if (!key || !is_p256(key.get())) return wrong("its key is not of the curve P-256");
  if (X509_REQ_verify(request.get(), key.get()) != 1) return wrong("it is not signed with its own key");
  return key;
}

std::string host_id_in(X509* certificate) {
  void* raw = X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr);
  const Owned<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(raw));
  if (!names || sk_GENERAL_NAME_num(names.get()) != 1) return {};
  const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), 0);
  if (name->type != GEN_URI) return {};
  const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
  const std::string text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                         static_cast<std::size_t>(ASN1_STRING_length(uri)));
  if (text.rfind(kHostUri, 0) != 0) return {};
  std::string id = text.substr(kHostUri.size());
  return is_id(id, "host") ? id : std::string();
}

}  // namespace

std::string pem_of_certificate(X509* certificate) {
  return pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

Result<Credentials> make_authority(Validity validity) {
  const Owned<EVP_PKEY> key = make_key();
  const Owned<X509> certificate = key ? begin_certificate(key.get(), "Gantry cluster", validity) : nullptr;
  X509* x509 = certificate.get();
  const bool made = x509 != nullptr && X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
                    add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(x509, x509, NID_subject_key_identifier, "hash") &&
                    X509_sign(x509, key.get(), EVP_sha256()) > 0;
  if (!made) return fail(defect("the cluster's authority"));
  return Credentials{pem_of_certificate(x509), pem_of_key(key.get())};
}

Result<KeyRequest> make_key_request() {
  const Owned<EVP_PKEY> key = make_key();
  const Owned<X509_REQ> request(X509_REQ_new());
  const bool made = key && request && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0;
  if (!made) return fail(defect("a key"));
  return KeyRequest{pem_of_key(key.get()),
                    pem_of([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request.get()); })};
}

Result<void> check_request(std::string_view request_pem) {
  auto key = key_of_request(request_pem);
  if (!key) return fail(std::move(key.error()));
  return {};
}

Result<std::string> sign_host(const Credentials& authority, std::string_view request_pem, std::string_view host_id,
                              Validity validity) {
  if (!is_id(host_id, "host")) return fail(defect("a host's certificate"));
  auto key = key_of_request(request_pem);
  if (!key) return fail(std::move(key.error()));
  std::string pem = issue(authority, key->get(), host_id, "URI:" + std::string(kHostUri) + std::string(host_id),
                          "clientAuth", validity);
  if (pem.empty()) return fail(defect("a host's certificate"));
  return pem;
}

Result<Credentials> make_manager_credentials(const Credentials& authority, Validity validity) {
  const Owned<EVP_PKEY> key = make_key();
  if (!key) return fail(defect("a key"));
  const std::string name(kManagerName);
  std::string pem = issue(authority, key.get(), name, "DNS:" + name, "serverAuth", validity);
  if (pem.empty()) return fail(defect("the manager's certificate"));
  return Credentials{std::move(pem), pem_of_key(key.get())};
}

Result<std::string> fingerprint_of(std::string_view certificate_pem) {
  const Owned<X509> certificate = read_certificate(certificate_pem);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &length) != 1) {
    return fail(ErrorCode::corrupt, "a certificate cannot be read", "it is not one in PEM form");
  }
  return to_hex(digest.data(), length);
}

Result<Validity> validity_of(std::string_view certificate_pem) {
  const Owned<X509> certificate = read_certificate(certificate_pem);
  if (!certificate) return fail(ErrorCode::corrupt, "a certificate cannot be read", "it is not one in PEM form");
  return Validity{ms_of(X509_get0_notBefore(certificate.get())), ms_of(X509_get0_notAfter(certificate.get()))};
}

Result<HostIdentity> read_host_certificate(std::string_view certificate_pem) {
  const Owned<X509> certificate = read_certificate(certificate_pem);
  std::string host_id = certificate ? host_id_in(certificate.get()) : std::string();
  ERR_clear_error();
  if (host_id.empty()) {
    return fail(ErrorCode::unauthenticated, "the caller is no host of this cluster",
                "its certificate does not name a host");
  }
  return HostIdentity{std::move(host_id),
                      {ms_of(X509_get0_notBefore(certificate.get())), ms_of(X509_get0_notAfter(certificate.get()))}};
}

Result<void> check_host_credentials(std::string_view authority_pem, const Credentials& given,
                                    std::string_view host_id) {
  const Owned<X509> authority = read_certificate(authority_pem);
  const Owned<X509> certificate = read_certificate(given.certificate_pem);
  const Owned<EVP_PKEY> key = read_key(given.key_pem);
  const Owned<EVP_PKEY> authority_key(authority ? X509_get_pubkey(authority.get()) : nullptr);
  const bool good = certificate && key && authority_key && X509_verify(certificate.get(), authority_key.get()) == 1 &&
                    X509_check_private_key(certificate.get(), key.get()) == 1 &&
                    host_id_in(certificate.get()) == host_id;
  ERR_clear_error();
  if (good) return {};
  return fail(ErrorCode::unauthenticated, "the certificate that was given cannot be used",
              "it is not this host's, or another authority made it");
}

}  // namespace gantry::link
