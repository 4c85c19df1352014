/* cursor - where a page ended, as an opaque word for a URL: base64url of the bytes and their
 * checksum. The checksum tells a damaged or invented cursor from ours; it is no secret, and nothing
 * in a cursor is trusted.
 */
#ifndef API_CURSOR_H
#define API_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIDE_CURSOR_BYTES_MAX 192
#define TIDE_CURSOR_TEXT_SIZE ((TIDE_CURSOR_BYTES_MAX + 4 + 2) / 3 * 4 + 1)

/* len <= TIDE_CURSOR_BYTES_MAX; terminated. */
void tide_cursor_encode(const uint8_t *bytes, size_t len, char ret_text[TIDE_CURSOR_TEXT_SIZE]);

/* False when the text is no cursor. */
bool tide_cursor_decode(const char *text, uint8_t ret_bytes[TIDE_CURSOR_BYTES_MAX],
                        size_t *ret_len);

#endif
