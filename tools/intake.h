/* intake - records from standard input: JSON lines or a stream of msgpack maps -> one msgpack map
 * and its time each.
 *
 * Pure of I/O: the caller pours bytes in and takes records out. A record is at most TIDE_RECORD_MAX
 * bytes on either side.
 */
#ifndef TIDEMARK_TOOLS_INTAKE_H
#define TIDEMARK_TOOLS_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "packer.h"
#include "tidemark/err.h"

#define TIDE_RECORD_MAX (1024 * 1024)

enum tide_intake_format { TIDE_INTAKE_JSON, TIDE_INTAKE_MSGPACK };

struct tide_intake {
    enum tide_intake_format format;
    char *bytes; /* what has come and is not taken: [at, len) */
    size_t at, len, capacity;
    size_t searched; /* no line end before this */
    bool ended;      /* nothing more will come */
    bool too_long;   /* inside a line that was refused as too long: drop until its end */
    uint64_t number; /* of the line or record last taken, from 1 */
    struct tide_packer pack;
};

struct tide_intake_record {
    const uint8_t *map; /* valid until the next call */
    size_t len;
    bool has_time;
    int64_t time_us; /* from `timestamp`, or from `time` when it reads as a time */
};

void tide_intake_init(struct tide_intake *intake, enum tide_intake_format format);
void tide_intake_fini(struct tide_intake *intake);

/* Where the next bytes go, at least one; tell how many came with tide_intake_poured (0: the end).
 */
void *tide_intake_room(struct tide_intake *intake, size_t *ret_size);
void tide_intake_poured(struct tide_intake *intake, size_t size);

/* Returns  TIDE_OK         *ret is the next record
 *          TIDE_AGAIN      pour more
 *          TIDE_NOT_FOUND  the end
 *          TIDE_MALFORMED  record number intake->number is bad, err says why; call again to go on
 * behind it TIDE_DAMAGED    the stream is broken: nothing behind this can be read
 */
enum tide_rc tide_intake_next(struct tide_intake *intake, struct tide_intake_record *ret,
                              struct tide_err *err);

#endif
