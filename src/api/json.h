/* json - writes one JSON text, in order, into a body. key is NULL inside arrays. What does not
 * exist is null: a real that is not finite, a NULL text, a time of 0.
 *
 * Texts may come from outside: bytes that are not UTF-8 become U+FFFD, control characters are
 * escaped.
 */
#ifndef API_JSON_H
#define API_JSON_H

#include "body.h"

#define TIDE_JSON_DEPTH_MAX 16

struct tide_json {
    struct tide_body *body;
    unsigned depth;
    char closer[TIDE_JSON_DEPTH_MAX];
    bool filled[TIDE_JSON_DEPTH_MAX];
};

void tide_json_init(struct tide_json *json, struct tide_body *body);

void tide_json_object(struct tide_json *json, const char *key);
void tide_json_array(struct tide_json *json, const char *key);
void tide_json_end(struct tide_json *json); /* of the innermost object or array */

/* `len` bytes more in the body were written, behind what was last, by somebody who knows what he
 * does: whole values with their commas, and keys. */
void tide_json_filled(struct tide_json *json, size_t len);

void tide_json_null(struct tide_json *json, const char *key);
void tide_json_flag(struct tide_json *json, const char *key, bool value);
void tide_json_uint(struct tide_json *json, const char *key, uint64_t value);
void tide_json_int(struct tide_json *json, const char *key, int64_t value);
void tide_json_real(struct tide_json *json, const char *key, double value, unsigned decimals);
void tide_json_millionths(struct tide_json *json, const char *key, __int128 value);
void tide_json_text(struct tide_json *json, const char *key, const char *text);
void tide_json_bytes(struct tide_json *json, const char *key, const char *text, size_t len);
void tide_json_time(struct tide_json *json, const char *key, int64_t wall_us);

/* Milliseconds, shares, rates and scores have up to six decimals: a percentile below 100 us needs
 * more than three to be within its 1.1 %. Whole microseconds print as three. */
static inline void tide_json_ms(struct tide_json *json, const char *key, double ms)
{
    tide_json_real(json, key, ms, 6);
}

static inline void tide_json_share(struct tide_json *json, const char *key, double share)
{
    tide_json_real(json, key, share, 6);
}

/* RFC 3339 in UTC; whole seconds without a fraction. */
#define TIDE_API_TIME_SIZE 48
const char *tide_api_time(char text[TIDE_API_TIME_SIZE], int64_t wall_us);

/* Bytes of the UTF-8 character at text[0, len), 0 if there is none. len > 0. */
size_t tide_utf8_step(const char *text, size_t len);

#endif
