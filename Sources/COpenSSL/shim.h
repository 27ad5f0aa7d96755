// OpenSSL 3.0: libcrypto and libssl. Only declarations, and wrappers for what Swift cannot import:
// macros that are expressions or calls, and variadic functions. No logic.
#ifndef WEIR_COPENSSL_H
#define WEIR_COPENSSL_H
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// Which part of a key EVP_PKEY_fromdata is given: a mask made of other macros.
static inline int weir_public_key_selection(void) { return EVP_PKEY_PUBLIC_KEY; }

// Key generation is variadic.
static inline EVP_PKEY *weir_generate_rsa(unsigned bits) {
  return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
}
static inline EVP_PKEY *weir_generate_ec(const char *group) {
  return EVP_PKEY_Q_keygen(NULL, NULL, "EC", group);
}
static inline EVP_PKEY *weir_generate_ed25519(void) {
  return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

// Calls that are macros around a control function.
static inline int weir_ssl_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline int weir_ssl_ctx_set_min_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline long weir_ssl_ctx_set_mode(SSL_CTX *context, long mode) {
  return SSL_CTX_set_mode(context, mode);
}
static inline long weir_ssl_client_mode(void) {
  return SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
}
#include "tls.h"
#endif
