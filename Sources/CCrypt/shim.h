// Password hashes as the system has them: libxcrypt's crypt_r and its relatives.
#ifndef WEIR_CCRYPT_H
#define WEIR_CCRYPT_H
#include <crypt.h>
#endif
