// zstd's streaming decompression. Only declarations; no logic.
#ifndef WEIR_CZSTD_H
#define WEIR_CZSTD_H
#include <zstd.h>
#endif
