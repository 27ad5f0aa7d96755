// hiredis 0.14: the protocol's reader and the form of commands. Only declarations; no logic.
#ifndef WEIR_CHIREDIS_H
#define WEIR_CHIREDIS_H
#include <hiredis/hiredis.h>
#endif
