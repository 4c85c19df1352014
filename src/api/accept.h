/* accept - what a client says it can read (RFC 9110, section 12.5). */
#ifndef API_ACCEPT_H
#define API_ACCEPT_H

#include <stdbool.h>

/* The quality, 0..1, that a header of comma-separated choices gives to exactly `choice` (the
 * largest, if it stands there more than once); -1 when it is not named. header NULL: not named.
 * Parameters other than q are ignored. */
double tide_accept_quality(const char *header, const char *choice);

bool tide_accept_gzip(const char *accept_encoding);

/* True when the client names `type` and likes it better than every other one that it names out of
 * those we have. */
bool tide_accept_prefers(const char *accept, const char *type, const char *other);

#endif
