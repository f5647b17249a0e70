#include "link/authority.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "runtime/openssl_types.h"

namespace gantry::link {
namespace {

using runtime::Owned;
using runtime::reader_of;

constexpr Milliseconds kNowMs = 1'800'000'000'000;
constexpr Validity kValid{kNowMs, kNowMs + kHostCertificateMs};
const std::string kHost = "host-000000000001";

Credentials authority() { return make_authority({kNowMs, kNowMs + kAuthorityMs}).value(); }

Owned<X509> parsed(const std::string& pem) {
  const Owned<BIO> bio = reader_of(pem);
  return Owned<X509>(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

// Whether TLS would take `pem` for that purpose from one that trusts `root` alone.
bool is_trusted(const std::string& root, const std::string& pem, int purpose) {
  const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), &X509_STORE_free);
  const Owned<X509> trusted = parsed(root);
  X509_STORE_add_cert(store.get(), trusted.get());
  const Owned<X509> certificate = parsed(pem);
  const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> context(X509_STORE_CTX_new(),
                                                                                &X509_STORE_CTX_free);
  X509_STORE_CTX_init(context.get(), store.get(), certificate.get(), nullptr);
  X509_STORE_CTX_set_purpose(context.get(), purpose);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context.get()), kNowMs / 1000 + 60);
  return X509_verify_cert(context.get()) == 1;
}

TEST(Authority, AHostsCertificateIsAClientsOnly) {
  const Credentials root = authority();
  const auto request = make_key_request();
  ASSERT_TRUE(request);
  const auto certificate = sign_host(root, request->request_pem, kHost, kValid);
  ASSERT_TRUE(certificate);
  EXPECT_TRUE(is_trusted(root.certificate_pem, *certificate, X509_PURPOSE_SSL_CLIENT));
  EXPECT_FALSE(is_trusted(root.certificate_pem, *certificate, X509_PURPOSE_SSL_SERVER));
  EXPECT_FALSE(is_trusted(authority().certificate_pem, *certificate, X509_PURPOSE_SSL_CLIENT));
  const auto identity = read_host_certificate(*certificate);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->host_id, kHost);
  EXPECT_EQ(identity->validity.until_ms, kValid.until_ms);
  EXPECT_EQ(identity->validity.from_ms, kValid.from_ms - 3'600'000);
  EXPECT_TRUE(check_host_credentials(root.certificate_pem, {*certificate, request->key_pem}, kHost));
  EXPECT_FALSE(check_host_credentials(root.certificate_pem, {*certificate, request->key_pem}, "host-000000000002"));
  EXPECT_FALSE(check_host_credentials(root.certificate_pem, {*certificate, make_key_request()->key_pem}, kHost));
  EXPECT_FALSE(check_host_credentials(authority().certificate_pem, {*certificate, request->key_pem}, kHost));
}

TEST(Authority, AManagersCertificateIsAServersOnlyAndNamesNoHost) {
  const Credentials root = authority();
  const auto manager = make_manager_credentials(root, kValid);
  ASSERT_TRUE(manager);
  EXPECT_TRUE(is_trusted(root.certificate_pem, manager->certificate_pem, X509_PURPOSE_SSL_SERVER));
  EXPECT_FALSE(is_trusted(root.certificate_pem, manager->certificate_pem, X509_PURPOSE_SSL_CLIENT));
  EXPECT_FALSE(read_host_certificate(manager->certificate_pem));
  EXPECT_FALSE(read_host_certificate(root.certificate_pem));
}

TEST(Authority, AHostCannotSign) {
  const Credentials root = authority();
  const auto host = make_key_request();
  const auto certificate = sign_host(root, host->request_pem, kHost, kValid);
  const auto forged =
      sign_host({*certificate, host->key_pem}, make_key_request()->request_pem, "host-000000000002", kValid);
  ASSERT_TRUE(forged);  // anybody can write one; nobody trusts it
  EXPECT_FALSE(is_trusted(root.certificate_pem, *forged, X509_PURPOSE_SSL_CLIENT));
}

// The names that a request asks for are nobody's business but the manager's.
TEST(Authority, OnlyThePublicKeyIsTakenFromARequest) {
  const Owned<EVP_PKEY> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
  const Owned<X509_REQ> request(X509_REQ_new());
  X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("host-000000000009"), -1, -1, 0);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  sk_X509_EXTENSION_push(
      extensions, X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "URI:gantry://host/host-000000000009"));
  sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "CA:TRUE"));
  X509_REQ_add_extensions(request.get(), extensions);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_set_pubkey(request.get(), key.get());
  X509_REQ_sign(request.get(), key.get(), EVP_sha256());
  const Owned<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  const auto certificate =
      sign_host(authority(), std::string_view(text, static_cast<std::size_t>(size)), kHost, kValid);
  ASSERT_TRUE(certificate);
  EXPECT_EQ(read_host_certificate(*certificate)->host_id, kHost);
  EXPECT_EQ(X509_check_ca(parsed(*certificate).get()), 0);
}

TEST(Authority, RequestsThatAreNoneAreRefused) {
  EXPECT_FALSE(check_request(""));
  EXPECT_FALSE(check_request(std::string(10'000, 'A')));
  const std::string good = make_key_request()->request_pem;
  EXPECT_TRUE(check_request(good));
  EXPECT_FALSE(check_request(good.substr(0, good.size() / 2)));
  EXPECT_FALSE(check_request(authority().certificate_pem));
  // Another key's signature.
  for (std::size_t at = 60; at < good.size() - 40; at += 7) {
    std::string broken = good;
    broken[at] = broken[at] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(check_request(broken)) << at;
  }
}

TEST(Authority, OtherKindsOfKeysAreRefused) {
  for (const bool rsa : {true, false}) {
    const Owned<EVP_PKEY> key(rsa ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})
                                  : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-384"));
    const Owned<X509_REQ> request(X509_REQ_new());
    X509_REQ_set_pubkey(request.get(), key.get());
    X509_REQ_sign(request.get(), key.get(), EVP_sha256());
    const Owned<BIO> bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509_REQ(bio.get(), request.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    EXPECT_FALSE(check_request(std::string_view(text, static_cast<std::size_t>(size)))) << rsa;
  }
}

TEST(Authority, FingerprintsAndTimesAreOfTheCertificateAlone) {
  const Credentials root = authority();
  const auto fingerprint = fingerprint_of(root.certificate_pem);
  ASSERT_TRUE(fingerprint);
  EXPECT_EQ(fingerprint->size(), 64U);
  EXPECT_NE(*fingerprint, *fingerprint_of(authority().certificate_pem));
  EXPECT_EQ(validity_of(root.certificate_pem)->until_ms, kNowMs + kAuthorityMs);
  EXPECT_FALSE(fingerprint_of("nothing"));
  EXPECT_FALSE(validity_of(root.key_pem));
}

}  // namespace
}  // namespace gantry::link
