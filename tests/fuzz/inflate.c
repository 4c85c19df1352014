/* The unpacking of gzip. It never asks for more memory than its bound and one byte; what it gives
 * is what zlib gives, member by member and a few bytes at a time; and a bound changes nothing but
 * whether there is too much.
 *
 * Input: the bound (2 bytes), the packed bytes.
 */
#include "fuzz.h"

#include <stdbool.h>
#include <zlib.h>
#include "inflate.h"

#define HEAD  2
#define BOUND (64u << 10) /* the largest */
#define SEEN  (1u << 20)  /* what the slow reading looks at */
#define SIP   97          /* bytes it takes and gives at a time */

/* The linker puts these around what the room asks for (-Wl,--wrap). */
void *__real_realloc(void *held, size_t bytes);
void *__wrap_realloc(void *held, size_t bytes);

static size_t asked; /* the most in one piece */

void *__wrap_realloc(void *held, size_t bytes)
{
    if (bytes > asked)
        asked = bytes;
    return __real_realloc(held, bytes);
}

/* A slow reading: every member by itself. False: it is no sequence of whole members. *ret_len is
 * how much there was, up to SEEN. */
static bool unpack_slowly(const uint8_t *data, size_t size, uint8_t *into, size_t *ret_len,
                          bool *ret_more)
{
    size_t at = 0;

    *ret_len = 0;
    *ret_more = false;
    while (at < size) {
        z_stream stream = {0};
        int code = Z_OK;

        if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
            abort();
        while (code == Z_OK) {
            uint8_t sip[SIP];
            size_t part = size - at < SIP ? size - at : SIP;

            stream.next_in = (Bytef *)(uintptr_t)(data + at);
            stream.avail_in = (uInt)part;
            stream.next_out = sip;
            stream.avail_out = SIP;
            code = inflate(&stream, Z_NO_FLUSH);
            at += part - stream.avail_in;
            if (*ret_len + SIP - stream.avail_out > SEEN) {
                *ret_more = true;
                break;
            }
            memcpy(into + *ret_len, sip, SIP - stream.avail_out);
            *ret_len += SIP - stream.avail_out;
        }
        inflateEnd(&stream);
        if (*ret_more)
            return true;
        if (code != Z_STREAM_END)
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t slow[SEEN];
    uint8_t *packed, *unpacked = NULL;
    size_t bound, len = 0, slow_len;
    bool more, whole;
    enum tide_rc rc;

    if (size < HEAD)
        return 0;
    bound = data[0] | (size_t)data[1] << 8;
    packed = fuzz_copy(data + HEAD, size - HEAD);
    size -= HEAD;
    asked = 0;
    rc = tide_gzip_unpack(packed, size, bound, &unpacked, &len);
    claim(asked <= bound + 1 && bound < BOUND);
    whole = unpack_slowly(packed, size, slow, &slow_len, &more);
    switch (rc) {
    case TIDE_OK:
        claim(whole && !more && len == slow_len && len <= bound);
        claim(len == 0 || memcmp(unpacked, slow, len) == 0);
        claim((unpacked != NULL) == (asked > 0));
        free(unpacked);
        /* exactly enough is enough, one less is not */
        claim(tide_gzip_unpack(packed, size, len, &unpacked, &slow_len) == TIDE_OK &&
              slow_len == len);
        free(unpacked);
        if (len > 0)
            claim(tide_gzip_unpack(packed, size, len - 1, &unpacked, &slow_len) == TIDE_TOO_LARGE);
        break;
    case TIDE_TOO_LARGE:
        claim(more || slow_len > bound);
        break;
    case TIDE_MALFORMED:
        claim(!whole && !more);
        break;
    default:
        claim(rc == TIDE_MALFORMED); /* there are no others */
    }
    free(packed);
    return 0;
}
