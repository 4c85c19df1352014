/* A small msgpack encoder that only appends, and as much reading as `send --format msgpack` needs.
 */
#ifndef TIDEMARK_TOOLS_PACKER_H
#define TIDEMARK_TOOLS_PACKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "tidemark/err.h"

#define TIDE_PACK_DEPTH_MAX 24 /* of a JSON record; the daemon takes a few more */

struct tide_packer {
    uint8_t *bytes;
    size_t len, capacity;
};

/* All append; they abort when memory is out. Lengths are below 2^32. */
void tide_packer_array(struct tide_packer *pack, uint32_t count);
void tide_packer_map(struct tide_packer *pack, uint32_t pairs);
void tide_packer_str(struct tide_packer *pack, const void *text, size_t len);
void tide_packer_text(struct tide_packer *pack, const char *text); /* as str */
void tide_packer_int(struct tide_packer *pack, int64_t value);
void tide_packer_double(struct tide_packer *pack, double value);
void tide_packer_bool(struct tide_packer *pack, bool value);
void tide_packer_nil(struct tide_packer *pack);
void tide_packer_event_time(struct tide_packer *pack, uint32_t seconds, uint32_t nanoseconds);
void tide_packer_fini(struct tide_packer *pack);

/* Any JSON value, integers as int, the rest of the numbers as float 64. TIDE_TOO_LARGE when it is
 * nested too deep. */
enum tide_rc tide_packer_json(struct tide_packer *pack, const json_t *value, struct tide_err *err);

/* A scalar of a map, as far as a time can be read from it. */
enum tide_scalar_kind { TIDE_SCALAR_OTHER, TIDE_SCALAR_NUMBER, TIDE_SCALAR_TEXT };
struct tide_scalar {
    enum tide_scalar_kind kind;
    double number;
    const char *text; /* not terminated, points into the map */
    size_t len;
};

/* The value of `key` in the whole msgpack map[0, len) (as tide_frame_next found it), or false. */
bool tide_map_find(const uint8_t *map, size_t len, const char *key, struct tide_scalar *ret);

/* True when the value that begins with this byte is a map. */
bool tide_is_map(uint8_t first);

/* A msgpack str or bin at bytes[0, len): its content; *ret_used bytes were taken. */
bool tide_read_text(const uint8_t *bytes, size_t len, const char **ret_text, size_t *ret_len,
                    size_t *ret_used);

#endif
