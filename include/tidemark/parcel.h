/* parcel - the events of one chunk on their way from the connection to the disk and home again;
 * coming home committed is the permission to ack. Exactly one thread holds it: a baton.
 *
 * An event travels as a fact: a few words that hold what folding needs and nothing else, written
 * and read strictly in order. It is folded once, by the committer, into deltas that all chunks of a
 * group share; those stay in its cache, where one set of deltas per chunk would not (measured: half
 * the CPU of an event, and the more so the smaller the chunk). A parcel is flat growing arrays that
 * a reset empties without freeing. Bounded by its frame: a fact takes at most about twice the bytes
 * of the entry it came from, texts are kept only where they can matter.
 */
#ifndef TIDEMARK_PARCEL_H
#define TIDEMARK_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tidemark/event.h"
#include "tidemark/hash.h"
#include "tidemark/ledger.h"
#include "tidemark/names.h"
#include "tidemark/sample.h"

#define TIDE_PARCEL_DELTAS \
    65536 /* module-intervals one chunk may open in a group; the rest is __overflow__'s */
#define TIDE_PARCEL_CHUNK_MAX 4096 /* bytes of a chunk id, as msgpack; longer: framing error */
#define TIDE_CHUNK_ID_MIN     8    /* shorter chunk ids are acked but not deduplicated */

struct tide_mailbox;

/* What folding needs to know; fixed while the daemon runs. */
struct tide_fold_rules {
    uint32_t interval_s;
    int64_t lateness_s;
    int64_t future_s;
    uint64_t instance_seed;                 /* of instance ids: fixed for the life of a store */
    uint64_t identity_seed;                 /* of event ids: likewise */
    const struct tide_sample_rules *sample; /* NULL: every event is kept */
};

/* One event as it travels. Read with tide_fact_read. */
struct tide_fact {
    struct tide_subject *subject;
    int64_t time_us;
    uint64_t instance; /* keyed hash of its name, 0: unnamed; matters with gauges only */
    bool has_event_id;
    bool skewed;                  /* booked as such; set with an event id only */
    struct tide_hash128 event_id; /* keyed hash of (module name, event_id) */
    struct tide_event
        ev; /* without time, module, instance and event_id; texts point into the parcel */
};

/* What a structured chunk id `v1:<producer>:<epoch>:<seq>` says. */
struct tide_origin {
    uint8_t producer[16];
    uint64_t epoch, seq;
};

enum tide_fate {
    TIDE_FATE_OPEN,      /* not committed yet */
    TIDE_FATE_COMMITTED, /* on disk: ack */
    TIDE_FATE_DUPLICATE, /* was on disk before: ack */
    TIDE_FATE_REFUSED,   /* its structured id had another payload before: counted, ack */
    TIDE_FATE_DROPPED    /* the store gave up (FAILED): never ack, close the connection */
};

struct tide_parcel {
    struct tide_parcel *next; /* for whoever holds it */

    uint64_t *word; /* facts, one after the other */
    uint32_t words, word_capacity;
    uint32_t facts;
    struct tide_names *names; /* the folding thread's; NULL: the parcel makes its own */
    bool own_names;

    struct tide_ledger books;     /* of this chunk, should it be new */
    bool has_identity;            /* set before the events are folded: it chooses samples */
    bool has_origin;              /* a structured chunk id */
    struct tide_hash128 identity; /* with an origin: of the payload alone */
    struct tide_origin origin;

    /* the way home */
    enum tide_fate fate;
    struct tide_mailbox *home; /* where commit sends it */
    uint64_t owner;            /* the shard's word for the connection; 0: nobody waits */
    bool json;                 /* its ack is JSON */
    uint16_t chunk_len;        /* 0: no ack wanted */
    uint8_t
        chunk[TIDE_PARCEL_CHUNK_MAX]; /* the chunk value as msgpack, to be echoed byte for byte */
};

/* names may be NULL, and must outlive the parcel's journeys otherwise. */
void tide_parcel_init(struct tide_parcel *parcel, struct tide_names *names);
void tide_parcel_fini(struct tide_parcel *parcel);

/* Empties it; memory beyond a stated small size is given back. */
void tide_parcel_reset(struct tide_parcel *parcel);

/* Bytes of memory held. */
size_t tide_parcel_memory(const struct tide_parcel *parcel);

/* Nothing in it that a commit would have to keep. */
bool tide_parcel_empty(const struct tide_parcel *parcel);

/* Takes one decoded event (its module name is set and valid) that arrived at arrival_us and books
 * it: received, and stored, late (older than lateness_s before arrival), sampled (left out by the
 * rules) or skewed (booked at arrival). Aborts when memory is out. */
void tide_parcel_fold(struct tide_parcel *parcel, const struct tide_fold_rules *rules,
                      const struct tide_event *ev, int64_t arrival_us);

/* An event of this module is folded soon: a hint that makes it cheaper. */
void tide_parcel_call_up(const struct tide_parcel *parcel, const struct tide_text *module);

/* Books one rejected entry. */
void tide_parcel_reject(struct tide_parcel *parcel, enum tide_entry_reason reason);

/* How much is in it, to take back what a request put in beyond that: a parcel may hold others. */
struct tide_parcel_mark {
    uint32_t words, facts;
    struct tide_ledger books;
};
void tide_parcel_note(const struct tide_parcel *parcel, struct tide_parcel_mark *ret);
void tide_parcel_take_back(struct tide_parcel *parcel, const struct tide_parcel_mark *mark);

/* Drops what was folded and books the whole chunk as rejected (unpacking failed and the like). */
void tide_parcel_reject_chunk(struct tide_parcel *parcel, enum tide_chunk_reason reason);

/* ---- facts ----
 *
 * word 0   the subject's address
 * word 1   time_us, above it a bit: narrow; and how many words the fact has in the highest byte
 * word 2   bits below, weight in the upper half
 * word 3   duration, a double, 0 without one
 * then, as the bits say: event id, low and high half; instance id; one word per gauge, or half a
 * word when it is narrow, with all gauges; correlation; error; a metric's name, and its value
 *
 * A text takes as many words as its bytes need, and a word with its length before them; the
 * length of a correlation id is in the bits. An id is left out where a longer operation of the same
 * interval is on disk already: only the slowest one's is kept.
 */
enum {
    TIDE_FACT_KIND = 15,
    TIDE_FACT_DURATION = 1 << 4,
    TIDE_FACT_OUTCOME = 1 << 5,
    TIDE_FACT_SUCCESS = 1 << 6,
    TIDE_FACT_HAS_HEALTHY = 1 << 7,
    TIDE_FACT_HEALTHY = 1 << 8,
    TIDE_FACT_INSTANCE = 1 << 9,
    TIDE_FACT_ERROR = 1 << 10,
    TIDE_FACT_METRIC = 1 << 11,
    TIDE_FACT_EVENT_ID = 1 << 12,
    TIDE_FACT_SKEWED = 1 << 13, /* with an event id only */
    TIDE_FACT_RARE = 1 << 14,   /* a start, stop or self report; event id, error or metric */
    TIDE_FACT_OPERATION = 1 << 15,
    TIDE_FACT_GAUGES_SHIFT = 16,     /* eight bits */
    TIDE_FACT_CORRELATION_SHIFT = 24 /* eight bits: its length; operations with a duration only */
};

#define TIDE_FACT_HEAD         4 /* words that every fact has */
#define TIDE_FACT_NARROW_WORDS ((TIDE_GAUGE_COUNT + 1) / 2)
#define TIDE_TEXT_WORDS(n)     (((n) + 7) / 8)
#define TIDE_FACT_WORDS_MAX                                                         \
    (TIDE_FACT_HEAD + 2 + 1 + TIDE_GAUGE_COUNT + TIDE_TEXT_WORDS(TIDE_ID_MAX) + 1 + \
     TIDE_TEXT_WORDS(TIDE_ERROR_TEXT_MAX) + 1 + TIDE_TEXT_WORDS(TIDE_METRIC_NAME_MAX) + 1)

#define TIDE_FACT_SIZE_SHIFT 56
#define TIDE_FACT_NARROW     (UINT64_C(1) << 55) /* in word 1 */

static inline uint32_t tide_fact_size(const uint64_t *word)
{
    return (uint32_t)(word[1] >> TIDE_FACT_SIZE_SHIFT);
}

static inline struct tide_subject *tide_fact_subject(const uint64_t *word)
{
    return (struct tide_subject *)(uintptr_t)word[0];
}

static inline int64_t tide_fact_time_us(const uint64_t *word)
{
    return (int64_t)(word[1] & (TIDE_FACT_NARROW - 1));
}

/* A gauge of a narrow fact, whose first gauge word is at `word`. */
static inline uint64_t tide_fact_narrow(const uint64_t *word, int gauge)
{
    return (uint32_t)(word[gauge / 2] >> gauge % 2 * 32);
}

/* Reads a text that has its length before it; returns what is behind it. */
static inline const uint64_t *tide_fact_text(const uint64_t *word, struct tide_text *ret)
{
    *ret = (struct tide_text){(const char *)(word + 1), (uint32_t)word[0]};
    return word + 1 + TIDE_TEXT_WORDS(ret->len);
}

/* Reads a fact. Only the fields that it has, and those that every event has, are set: gauge[g] of
 * gauges in ev.gauges, texts with len 0 when absent. */
static inline void tide_fact_parse(const uint64_t *word, struct tide_fact *ret)
{
    uint32_t bits = (uint32_t)word[2];
    bool narrow = word[1] & TIDE_FACT_NARROW;

    ret->subject = tide_fact_subject(word);
    ret->time_us = tide_fact_time_us(word);
    ret->ev.weight = (uint32_t)(word[2] >> 32);
    ret->ev.kind = bits & TIDE_FACT_KIND;
    ret->ev.has_duration = bits & TIDE_FACT_DURATION;
    ret->ev.has_outcome = bits & TIDE_FACT_OUTCOME;
    ret->ev.success = bits & TIDE_FACT_SUCCESS;
    ret->ev.has_healthy = bits & TIDE_FACT_HAS_HEALTHY;
    ret->ev.healthy = bits & TIDE_FACT_HEALTHY;
    ret->ev.gauges = (uint8_t)(bits >> TIDE_FACT_GAUGES_SHIFT);
    memcpy(&ret->ev.duration_us, word + 3, sizeof(double));
    word += TIDE_FACT_HEAD;
    ret->has_event_id = bits & TIDE_FACT_EVENT_ID;
    if (ret->has_event_id) {
        ret->skewed = bits & TIDE_FACT_SKEWED;
        ret->event_id = (struct tide_hash128){.low = word[0], .high = word[1]};
        word += 2;
    }
    ret->instance = bits & TIDE_FACT_INSTANCE ? *word++ : 0;
    if (narrow) {
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            ret->ev.gauge[gauge] = (int64_t)tide_fact_narrow(word, gauge);
        word += TIDE_FACT_NARROW_WORDS;
    } else {
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            if (ret->ev.gauges & 1u << gauge)
                ret->ev.gauge[gauge] = (int64_t)*word++;
    }
    ret->ev.correlation =
        (struct tide_text){(const char *)word, bits >> TIDE_FACT_CORRELATION_SHIFT};
    word += TIDE_TEXT_WORDS(ret->ev.correlation.len);
    ret->ev.error.len = 0;
    if (bits & TIDE_FACT_ERROR)
        word = tide_fact_text(word, &ret->ev.error);
    ret->ev.metric.len = 0;
    if (bits & TIDE_FACT_METRIC) {
        word = tide_fact_text(word, &ret->ev.metric);
        ret->ev.value = (int64_t)*word;
    }
}

/* Reads the fact at `at`, an offset in words; returns the offset of the next one. */
static inline uint32_t tide_fact_read(const struct tide_parcel *parcel, uint32_t at,
                                      struct tide_fact *ret)
{
    tide_fact_parse(parcel->word + at, ret);
    return at + tide_fact_size(parcel->word + at);
}

#endif
