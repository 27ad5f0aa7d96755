// zlib's inflateInit2 and deflateInit2 are macros, which Swift cannot import; 15 + 32 lets the one take gzip and zlib
// alike, 15 + 16 has the other write gzip.
#ifndef WEIR_CZLIB_H
#define WEIR_CZLIB_H
#include <zlib.h>
static inline int weir_inflate_init(z_stream *stream) { return inflateInit2(stream, 15 + 32); }
static inline int weir_gzip_init(z_stream *stream, int level) {
  return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
#endif
