// Databases in MaxMind's format. The value of an entry is an anonymous union, and asking for it takes a
// variadic function or an array of C strings: these one-line wrappers take what Swift has.
#ifndef WEIR_CMAXMINDDB_H
#define WEIR_CMAXMINDDB_H
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

// The address in network order, of 4 or 16 bytes; 1 if there is an entry, which goes to `entry`.
static inline int weir_mmdb_find(MMDB_s *database, const void *address, int length,
                                 MMDB_entry_s *entry) {
  int code = 0;
  MMDB_lookup_result_s result;
  if (length == 4) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    memcpy(&v4.sin_addr, address, 4);
    result = MMDB_lookup_sockaddr(database, (const struct sockaddr *)&v4, &code);
  } else {
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(&v6.sin6_addr, address, 16);
    result = MMDB_lookup_sockaddr(database, (const struct sockaddr *)&v6, &code);
  }
  if (code != MMDB_SUCCESS || !result.found_entry) return 0;
  *entry = result.entry;
  return 1;
}

// The UTF-8 text at a path of at most three keys; NULL if there is none.
static inline const char *weir_mmdb_text(MMDB_entry_s *entry, const char *first,
                                         const char *second, const char *third,
                                         uint32_t *length) {
  const char *path[4] = {first, second, third, NULL};
  MMDB_entry_data_s data;
  if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data) return NULL;
  if (data.type != MMDB_DATA_TYPE_UTF8_STRING) return NULL;
  *length = data.data_size;
  return data.utf8_string;
}

// The 32-bit number of a key; 0 if there is none.
static inline uint32_t weir_mmdb_number(MMDB_entry_s *entry, const char *key) {
  const char *path[2] = {key, NULL};
  MMDB_entry_data_s data;
  if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data) return 0;
  return data.type == MMDB_DATA_TYPE_UINT32 ? data.uint32 : 0;
}

// The text of the first element of an array of maps ("subdivisions"): array, 0, key, second key.
static inline const char *weir_mmdb_first_text(MMDB_entry_s *entry, const char *array,
                                               const char *first, const char *second,
                                               uint32_t *length) {
  const char *path[5] = {array, "0", first, second, NULL};
  MMDB_entry_data_s data;
  if (MMDB_aget_value(entry, &data, path) != MMDB_SUCCESS || !data.has_data) return NULL;
  if (data.type != MMDB_DATA_TYPE_UTF8_STRING) return NULL;
  *length = data.data_size;
  return data.utf8_string;
}
#endif
