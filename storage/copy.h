/* copy - all values of a store's file, in order, into a new file: full pages and no free ones.
 */
#ifndef STORAGE_COPY_H
#define STORAGE_COPY_H

#include "tidemark/backup.h"

/* A stretch of a long job: its share of the whole. */
struct copy_phase {
    const struct tide_copy_cfg *cfg;
    double from, to;
    const struct copy_phase *before; /* NULL: it is the first */
    uint64_t found;                  /* findings that were told */
    uint64_t done;                   /* bytes */
};

bool copy_go_on(void *phase, uint64_t done_bytes, double share);
void copy_found(void *phase, const struct tide_finding *finding);

/* Copies the file `from` (locked: LMDB's lock file is to be used) to `to`, which must not be there,
 * and syncs it. ret_hash: over all values, as verify's. On failure `to` may be half there. */
enum tide_rc copy_values(const char *from, bool locked, const char *to, struct copy_phase *phase,
                         uint64_t ret_hash[2], struct tide_err *err);

/* Reads every page and value of a file that nobody writes, of any schema: form and checksums only.
 * Findings are told and make it TIDE_DAMAGED. ret_hash: over all values. */
enum tide_rc copy_walk(const char *path, bool locked, struct copy_phase *phase,
                       uint64_t ret_hash[2], struct tide_err *err);

/* Verifies the store in dir, all in one view; findings are told and make it TIDE_DAMAGED. */
enum tide_rc copy_verify(const char *dir, struct copy_phase *phase, struct tide_verified *ret,
                         struct tide_err *err);

/* Hash of a file's bytes, which go into `to_fd` as well unless that is -1. */
enum tide_rc copy_bytes(const char *from, int to_fd, struct copy_phase *phase,
                        char ret_sha256[TIDE_SHA256_TEXT_SIZE], uint64_t *ret_bytes,
                        struct tide_err *err);

/* Whether a daemon may have the store open: a copy that none has had has no lock files. */
bool copy_is_lived_in(const char *dir);

/* TIDE_NOT_FOUND: there is no store in the directory. */
enum tide_rc copy_must_hold_store(const char *dir, struct tide_err *err);

/* Whether the disk that holds a file has next to no room. */
bool copy_disk_is_full(const char *path);

/* A failed call on a path, as text and code. */
enum tide_rc copy_failed(struct tide_err *err, const char *what, const char *path);

/* Syncs a directory. */
enum tide_rc copy_sync_dir(const char *path, struct tide_err *err);
/* Syncs the directory that holds a path. */
enum tide_rc copy_sync_parent(const char *path, struct tide_err *err);

#endif
