/* The last rejected entries and chunks, for people: GET /api/v3/ingest/rejected. Memory only,
 * bounded; the counts that matter are in the ledger. Safe from every thread.
 */
#ifndef TIDEMARK_REJECT_H
#define TIDEMARK_REJECT_H

#include <stddef.h>
#include <stdint.h>

#define TIDE_REJECT_RING 100
#define TIDE_REJECT_TEXT 256

struct tide_reject {
    int64_t time_us;
    const char *reason;             /* static text */
    char peer[64];                  /* "127.0.0.1:5170" */
    char tag[128];                  /* valid UTF-8, cut */
    char excerpt[TIDE_REJECT_TEXT]; /* printable: other bytes as \xhh, cut */
};

/* Notes one rejection. tag and excerpt are raw bytes of any content. Looks at no more than it
 * keeps. */
void tide_reject_note(const char *reason, const char *peer, const void *tag, size_t tag_len,
                      const void *excerpt, size_t excerpt_len);

/* Copies the ring, newest first; returns how many (at most TIDE_REJECT_RING). ret_total: since
 * start. */
size_t tide_reject_list(struct tide_reject out[TIDE_REJECT_RING], uint64_t *ret_total);

/* Forgets all. Tests only. */
void tide_reject_clear(void);

#endif
