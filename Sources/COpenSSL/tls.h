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
// what is written next, in one call of the system; and where the kernel's own TLS may be used (with which
// nothing may be held) that is left to the system's BIO.
struct weir_socket {
  int fd;
  unsigned char kernel, drained, holds;
  // What is held: bytes from `start` to `end`, in memory of `room`. NULL: nothing.
  unsigned char *held;
  size_t start, end, room;
};
static inline int weir_bio_keep(struct weir_socket *s, const char *bytes, int count) {
  if (!s->held) s->start = s->end = s->room = 0;
  if (s->room - s->end < (size_t)count) {
    // A second piece is one of many: more memory at once.
    size_t room = s->end + (size_t)count + (s->end > 4096 ? 17408 : 1024);
    unsigned char *larger = OPENSSL_realloc(s->held, room);
    if (!larger) return -1;
    s->held = larger;
    s->room = room;
  }
  memcpy(s->held + s->end, bytes, (size_t)count);
  s->end += (size_t)count;
  return count;
}
// Sends what is held and `count` bytes behind it; how many of the latter were taken, or -1.
static inline int weir_bio_send_held(BIO *b, const char *bytes, int count) {
  struct weir_socket *s = BIO_get_data(b);
  size_t waiting = s->end - s->start;
  struct iovec parts[2] = {{s->held + s->start, waiting}, {(void *)bytes, (size_t)count}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count > 0 ? 2 : 1};
  ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
  BIO_clear_retry_flags(b);
  if (n < 0) {
    if (BIO_sock_should_retry((int)n)) BIO_set_retry_write(b);
    return -1;
  }
  if ((size_t)n >= waiting) {
    OPENSSL_free(s->held);
    s->held = NULL;
    n -= (ssize_t)waiting;
    if (n > 0 || count == 0) return (int)n;
  } else {
    s->start += (size_t)n;
  }
  BIO_set_retry_write(b);
  return -1;
}
static inline int weir_bio_write(BIO *b, const char *bytes, int count) {
  struct weir_socket *s = BIO_get_data(b);
  if (s->kernel && BIO_get_ktls_send(b)) return BIO_meth_get_write(BIO_s_socket())(b, bytes, count);
  if (s->holds) return weir_bio_keep(s, bytes, count);
  if (s->held) return weir_bio_send_held(b, bytes, count);
  ssize_t n = send(s->fd, bytes, (size_t)count, MSG_NOSIGNAL);
  BIO_clear_retry_flags(b);
  if (n <= 0 && BIO_sock_should_retry((int)n)) BIO_set_retry_write(b);
  return (int)n;
}
static inline int weir_bio_read(BIO *b, char *bytes, int count) {
  struct weir_socket *s = BIO_get_data(b);
  s->drained = 0;
  if (s->kernel && BIO_get_ktls_recv(b)) return BIO_meth_get_read(BIO_s_socket())(b, bytes, count);
  ssize_t n = recv(s->fd, bytes, (size_t)count, 0);
  BIO_clear_retry_flags(b);
  s->drained = n < count;
  if (n < 0 && BIO_sock_should_retry((int)n)) BIO_set_retry_read(b);
  // An end of the stream is what the retry flags and this one do not say.
  if (n == 0) BIO_set_flags(b, BIO_FLAGS_IN_EOF);
  return (int)n;
}
static inline int weir_bio_destroy(BIO *b) {
  if (!b) return 0;
  struct weir_socket *s = BIO_get_data(b);
  if (s) OPENSSL_free(s->held);
  OPENSSL_free(s);
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
// `kernel`: whether the kernel's TLS may be used.
static inline BIO *weir_bio_new(const BIO_METHOD *method, int fd, int kernel) {
  BIO *bio = BIO_new(method);
  if (!bio) return NULL;
  struct weir_socket *s = OPENSSL_zalloc(sizeof *s);
  if (!s) {
    BIO_free(bio);
    return NULL;
  }
  s->fd = fd;
  s->kernel = kernel != 0;
  BIO_set_data(bio, s);
  BIO_set_fd(bio, fd, BIO_NOCLOSE);
  return bio;
}
static inline struct weir_socket *weir_bio_socket(SSL *s) { return BIO_get_data(SSL_get_rbio(s)); }
// Whether the last read found less than it asked for.
static inline int weir_bio_drained(SSL *s) { return weir_bio_socket(s)->drained; }
// The socket has something to read again: an earlier read says nothing any more.
static inline void weir_bio_readable(SSL *s) { weir_bio_socket(s)->drained = 0; }
// From now on what is written is held; or what is written next goes out, behind what is held.
static inline void weir_bio_hold(SSL *s) { weir_bio_socket(s)->holds = 1; }
static inline void weir_bio_end_hold(SSL *s) { weir_bio_socket(s)->holds = 0; }
static inline int weir_bio_holds(SSL *s) { return weir_bio_socket(s)->held != NULL; }
static inline size_t weir_bio_held(SSL *s) {
  struct weir_socket *w = weir_bio_socket(s);
  return w->held ? w->end - w->start : 0;
}
// Sends what is held: 0 if nothing is left, 1 if the socket takes no more now, -1 if it is beyond use.
static inline int weir_bio_let_go(SSL *s) {
  if (!weir_bio_holds(s)) return 0;
  BIO *b = SSL_get_rbio(s);
  if (weir_bio_send_held(b, NULL, 0) >= 0) return 0;
  return BIO_should_write(b) ? 1 : -1;
}
static inline int weir_ktls_sends(SSL *s) { return BIO_get_ktls_send(SSL_get_wbio(s)); }
#endif
