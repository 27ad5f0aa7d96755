// What the TLS module needs of libssl and Swift cannot import: macros around control functions, masks
// made of casts, stacks, and a socket BIO whose writes raise no SIGPIPE.
#ifndef WEIR_COPENSSL_TLS_H
#define WEIR_COPENSSL_TLS_H
#include <openssl/bio.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

// Options and modes.
static inline uint64_t weir_tls_server_options(void) {
  return SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
         SSL_OP_PRIORITIZE_CHACHA | SSL_OP_SINGLE_ECDH_USE;
}
static inline uint64_t weir_tls_client_options(void) {
  return SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION;
}
static inline uint64_t weir_tls_option_ktls(void) { return SSL_OP_ENABLE_KTLS; }
static inline uint64_t weir_tls_option_no_anti_replay(void) { return SSL_OP_NO_ANTI_REPLAY; }
static inline uint64_t weir_tls_option_no_ticket(void) { return SSL_OP_NO_TICKET; }
static inline long weir_tls_modes(void) {
  return SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS;
}
// A server shows the chain of its file. OpenSSL would look for a longer one at each handshake, also among the
// authorities of clients.
static inline long weir_tls_server_modes(void) {
  return weir_tls_modes() | SSL_MODE_NO_AUTO_CHAIN;
}

// Macros around control functions.
static inline int weir_ssl_ctx_set_max_version(SSL_CTX *c, int v) {
  return (int)SSL_CTX_set_max_proto_version(c, v);
}
static inline int weir_ssl_ctx_set_groups(SSL_CTX *c, const char *list) {
  return (int)SSL_CTX_set1_groups_list(c, list);
}
static inline void weir_ssl_ctx_session_cache(SSL_CTX *c, int client) {
  SSL_CTX_set_session_cache_mode(
      c, client ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
}
static inline void weir_ssl_ctx_read_ahead(SSL_CTX *c) { SSL_CTX_set_read_ahead(c, 1); }
static inline void weir_ssl_ctx_set_server_name_callback(
    SSL_CTX *c, int (*f)(SSL *, int *, void *), void *arg) {
  SSL_CTX_set_tlsext_servername_callback(c, f);
  SSL_CTX_set_tlsext_servername_arg(c, arg);
}
static inline void weir_ssl_ctx_set_status_callback(SSL_CTX *c, int (*f)(SSL *, void *), void *arg) {
  SSL_CTX_set_tlsext_status_cb(c, f);
  SSL_CTX_set_tlsext_status_arg(c, arg);
}
// Hands a copy of the response to OpenSSL, which frees it.
static inline int weir_ssl_staple(SSL *s, const void *bytes, size_t count) {
  void *copy = OPENSSL_memdup(bytes, count);
  if (!copy) return 0;
  if (SSL_set_tlsext_status_ocsp_resp(s, copy, (long)count) == 1) return 1;
  OPENSSL_free(copy);
  return 0;
}
static inline void weir_ssl_request_status(SSL *s) {
  SSL_set_tlsext_status_type(s, TLSEXT_STATUSTYPE_ocsp);
}
static inline long weir_ssl_stapled(SSL *s, const unsigned char **bytes) {
  return SSL_get_tlsext_status_ocsp_resp(s, bytes);
}
static inline int weir_ssl_set_max_send_fragment(SSL *s, long size) {
  return (int)SSL_set_max_send_fragment(s, size);
}
static inline long weir_ssl_ctx_chain(SSL_CTX *c, X509 *certificate) {
  return SSL_CTX_add1_chain_cert(c, certificate);
}
static inline void *weir_ssl_ctx_app_data(const SSL_CTX *c) { return SSL_CTX_get_ex_data(c, 0); }
static inline void weir_ssl_ctx_set_app_data(SSL_CTX *c, void *data) { SSL_CTX_set_ex_data(c, 0, data); }

// RFC 2253 with UTF-8 left as it is.
static inline unsigned long weir_name_flags(void) {
  return XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
}

// The error queue.
static inline unsigned long weir_err_reason(unsigned long code) { return (unsigned long)ERR_GET_REASON(code); }
static inline unsigned long weir_err_library(unsigned long code) { return (unsigned long)ERR_GET_LIB(code); }

// A parameter keeps the pointer to its name, which must not be a string of Swift's.
static inline int weir_ticket_mac(EVP_MAC_CTX *mac, const unsigned char *key, size_t count) {
  OSSL_PARAM parameters[3];
  parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, count);
  parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0);
  parameters[2] = OSSL_PARAM_construct_end();
  return EVP_MAC_CTX_set_params(mac, parameters);
}

// Certificates' alternative names.
static inline int weir_names_count(GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline const unsigned char *weir_name_text(GENERAL_NAMES *names, int index, int *kind, int *count) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  const ASN1_STRING *text;
  if (!name) return NULL;
  *kind = name->type;
  switch (name->type) {
    case GEN_EMAIL: case GEN_DNS: case GEN_URI: text = name->d.ia5; break;
    case GEN_IPADD: text = name->d.iPAddress; break;
    default: return NULL;
  }
  *count = ASN1_STRING_length(text);
  return ASN1_STRING_get0_data(text);
}
static inline void weir_bio_text(BIO *bio, const char **text, long *count) {
  char *start = NULL;
  *count = BIO_get_mem_data(bio, &start);
  *text = start;
}
// A password is never asked for: an encrypted key is an error.
static inline int weir_no_password(char *buffer, int size, int writing, void *data) {
  (void)buffer; (void)size; (void)writing;
  if (data) *(int *)data = 1;
  return -1;
}
// Reads a private key; `encrypted` is set if there is one that needs a password.
static inline EVP_PKEY *weir_read_private_key(BIO *bio, int *encrypted) {
  return PEM_read_bio_PrivateKey(bio, NULL, weir_no_password, encrypted);
}

// A socket BIO with four differences from the system's: writes raise no SIGPIPE; it knows whether the last
// read took all there was; while it is told to hold, what is written stays with it, and goes out in front of
// what is written next, in one call of the system; and it leaves the kernel's own TLS to the system's BIO
// (with which nothing may be held).
struct weir_held {
  size_t start, end, room;
  unsigned char bytes[];
};
// Flags beyond those of OpenSSL's.
enum { WEIR_BIO_DRAINED = 1 << 28, WEIR_BIO_HOLDS = 1 << 29 };
static inline int weir_bio_keep(BIO *b, const char *bytes, int count) {
  struct weir_held *held = BIO_get_data(b);
  size_t end = held ? held->end : 0, start = held ? held->start : 0;
  if (!held || held->room - end < (size_t)count) {
    size_t room = end + (size_t)count + 1024;
    held = OPENSSL_realloc(held, sizeof *held + room);
    if (!held) return -1;
    held->room = room;
    held->start = start;
    BIO_set_data(b, held);
  }
  memcpy(held->bytes + end, bytes, (size_t)count);
  held->end = end + (size_t)count;
  return count;
}
// Sends what is held and `count` bytes behind it; how many of the latter were taken, or -1.
static inline int weir_bio_send_held(BIO *b, const char *bytes, int count) {
  struct weir_held *held = BIO_get_data(b);
  size_t waiting = held->end - held->start;
  struct iovec parts[2] = {{held->bytes + held->start, waiting}, {(void *)bytes, (size_t)count}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count > 0 ? 2 : 1};
  int fd = -1;
  BIO_get_fd(b, &fd);
  ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
  BIO_clear_retry_flags(b);
  if (n < 0) {
    if (BIO_sock_should_retry((int)n)) BIO_set_retry_write(b);
    return -1;
  }
  if ((size_t)n >= waiting) {
    OPENSSL_free(held);
    BIO_set_data(b, NULL);
    n -= (ssize_t)waiting;
    if (n > 0 || count == 0) return (int)n;
  } else {
    held->start += (size_t)n;
  }
  BIO_set_retry_write(b);
  return -1;
}
static inline int weir_bio_write(BIO *b, const char *bytes, int count) {
  if (BIO_get_ktls_send(b)) return BIO_meth_get_write(BIO_s_socket())(b, bytes, count);
  if (BIO_test_flags(b, WEIR_BIO_HOLDS)) return weir_bio_keep(b, bytes, count);
  if (BIO_get_data(b)) return weir_bio_send_held(b, bytes, count);
  int fd = -1;
  BIO_get_fd(b, &fd);
  ssize_t n = send(fd, bytes, (size_t)count, MSG_NOSIGNAL);
  BIO_clear_retry_flags(b);
  if (n <= 0 && BIO_sock_should_retry((int)n)) BIO_set_retry_write(b);
  return (int)n;
}
static inline int weir_bio_read(BIO *b, char *bytes, int count) {
  BIO_clear_flags(b, WEIR_BIO_DRAINED);
  if (BIO_get_ktls_recv(b)) return BIO_meth_get_read(BIO_s_socket())(b, bytes, count);
  int fd = -1;
  BIO_get_fd(b, &fd);
  ssize_t n = recv(fd, bytes, (size_t)count, 0);
  BIO_clear_retry_flags(b);
  if (n < count) BIO_set_flags(b, WEIR_BIO_DRAINED);
  if (n < 0 && BIO_sock_should_retry((int)n)) BIO_set_retry_read(b);
  // An end of the stream is what the retry flags and this one do not say.
  if (n == 0) BIO_set_flags(b, BIO_FLAGS_IN_EOF);
  return (int)n;
}
static inline int weir_bio_destroy(BIO *b) {
  if (!b) return 0;
  OPENSSL_free(BIO_get_data(b));
  BIO_set_data(b, NULL);
  return BIO_meth_get_destroy(BIO_s_socket())(b);
}
static inline BIO_METHOD *weir_bio_method(void) {
  const BIO_METHOD *system = BIO_s_socket();
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOCKET, "weir socket");
  if (!method) return NULL;
  BIO_meth_set_write(method, weir_bio_write);
  BIO_meth_set_read(method, weir_bio_read);
  BIO_meth_set_ctrl(method, BIO_meth_get_ctrl(system));
  BIO_meth_set_create(method, BIO_meth_get_create(system));
  BIO_meth_set_destroy(method, weir_bio_destroy);
  return method;
}
static inline BIO *weir_bio_new(const BIO_METHOD *method, int fd) {
  BIO *bio = BIO_new(method);
  if (bio) BIO_set_fd(bio, fd, BIO_NOCLOSE);
  return bio;
}
// Whether the last read found less than it asked for.
static inline int weir_bio_drained(SSL *s) { return BIO_test_flags(SSL_get_rbio(s), WEIR_BIO_DRAINED) != 0; }
// The socket has something to read again: an earlier read says nothing any more.
static inline void weir_bio_readable(SSL *s) { BIO_clear_flags(SSL_get_rbio(s), WEIR_BIO_DRAINED); }
// From now on what is written is held; or what is written next goes out, behind what is held.
static inline void weir_bio_hold(SSL *s) { BIO_set_flags(SSL_get_wbio(s), WEIR_BIO_HOLDS); }
static inline void weir_bio_end_hold(SSL *s) { BIO_clear_flags(SSL_get_wbio(s), WEIR_BIO_HOLDS); }
static inline int weir_bio_holds(SSL *s) { return BIO_get_data(SSL_get_wbio(s)) != NULL; }
// Sends what is held: 0 if nothing is left, 1 if the socket takes no more now, -1 if it is beyond use.
static inline int weir_bio_let_go(SSL *s) {
  BIO *b = SSL_get_wbio(s);
  if (!BIO_get_data(b) || weir_bio_send_held(b, NULL, 0) >= 0) return 0;
  return BIO_should_write(b) ? 1 : -1;
}
static inline int weir_ktls_sends(SSL *s) { return BIO_get_ktls_send(SSL_get_wbio(s)); }
#endif
