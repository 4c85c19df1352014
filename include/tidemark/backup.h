/* backup - a store copied, brought back, and made small.
 *
 * All three read the source value by value in one view and write what is sound into a new file,
 * which is then read again from the disk and verified before it gets its name. Until then it has
 * another one, and what an attempt that was cut short left behind is removed by the next.
 */
#ifndef TIDEMARK_BACKUP_H
#define TIDEMARK_BACKUP_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/err.h"
#include "tidemark/sha256.h"
#include "tidemark/verify.h"

struct tide_copy_cfg {
    uint64_t rate_bytes;   /* written in a second at most; 0: as fast as it goes */
    uint64_t growth_bytes; /* give up when the source has grown by more meanwhile: the view keeps
                              what its daemon deletes */
    void (*found)(void *arg, const struct tide_finding *finding); /* what is damaged */
    bool (*go_on)(void *arg, uint64_t done_bytes, double share);  /* false: stop */
    void *arg;
};

/* What a backup's manifest.json says. */
struct tide_manifest {
    uint32_t schema;
    char uuid[33]; /* of the store, hex */
    uint64_t commit_seq;
    int64_t time_us; /* when it was begun */
    int64_t sealed_upto_s;
    uint32_t modules;
    uint64_t values, records;
    uint64_t received, stored; /* of the books */
    uint64_t file_bytes;
    char sha256[TIDE_SHA256_TEXT_SIZE]; /* of tidemark.mdb */
};

/* Copies the store in `dir`, which a daemon may have open, to the new directory `dest`:
 * tidemark.mdb and manifest.json. TIDE_DUPLICATE: dest is there. TIDE_LOCKED: another backup makes
 * it. TIDE_DAMAGED: the source is, and what was told; there is no backup. TIDE_TOO_LARGE: the
 * source grew too much. TIDE_STOPPED: go_on said so. After any failure dest is not there. */
enum tide_rc tide_backup(const char *dir, const char *dest, const struct tide_copy_cfg *cfg,
                         struct tide_manifest *ret, struct tide_err *err);

/* Verifies the backup in `src` and makes the new data directory `dir` of it. manifest: what its
 * manifest says, which must be true; NULL: it has none. TIDE_DUPLICATE: dir is there and not empty.
 * TIDE_LOCKED: and a daemon uses it. TIDE_DAMAGED: the backup is. */
enum tide_rc tide_restore(const char *src, const struct tide_manifest *manifest, const char *dir,
                          const struct tide_copy_cfg *cfg, struct tide_manifest *ret,
                          struct tide_err *err);

struct tide_compacted {
    uint64_t before_bytes, after_bytes;
};

/* Writes the store anew, in order and without free pages, in place. TIDE_LOCKED: a daemon uses it.
 * A crash leaves the old file or the new one. */
enum tide_rc tide_compact(const char *dir, const struct tide_copy_cfg *cfg,
                          struct tide_compacted *ret, struct tide_err *err);

#endif
