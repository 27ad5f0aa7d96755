// PCRE2 with 8-bit code units. Its functions are macros of the code unit's width, which Swift cannot
// see; the functions that they name can be imported.
#ifndef WEIR_CPCRE2_H
#define WEIR_CPCRE2_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif
