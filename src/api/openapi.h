/* openapi - openapi.json as bytes; the build makes the other half of this. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>

extern const unsigned char tide_openapi_text[];
extern const size_t tide_openapi_size;

#endif
