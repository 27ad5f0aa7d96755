// zlib's inflateInit2 is a macro, which Swift cannot import; 15 + 32 lets it take gzip and zlib alike.
#ifndef WEIR_CZLIB_H
#define WEIR_CZLIB_H
#include <zlib.h>
static inline int weir_inflate_init(z_stream *stream) { return inflateInit2(stream, 15 + 32); }
#endif
