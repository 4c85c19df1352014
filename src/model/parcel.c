/* parcel - writing facts, and the chunk's own books. See the door for the model. */
#include "tidemark/parcel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "tidemark/record.h"

/* What a parcel may keep when it is reset; above it everything is given back. */
#define KEEP_BYTES (256u << 10)

/* Fixed: a chunk that is sent again keeps the same events. */
#define SAMPLE_SEED UINT64_C(0x746964652d736d70)

/* Names of a parcel that is not given a table. */
#define OWN_NAMES 100000u

void tide_parcel_init(struct tide_parcel *parcel, struct tide_names *names)
{
    memset(parcel, 0, offsetof(struct tide_parcel, chunk));
    parcel->names = names;
}

void tide_parcel_fini(struct tide_parcel *parcel)
{
    struct tide_names *names = parcel->own_names ? NULL : parcel->names;

    free(parcel->word);
    if (parcel->own_names)
        tide_names_free(parcel->names);
    tide_parcel_init(parcel, names);
}

size_t tide_parcel_memory(const struct tide_parcel *parcel)
{
    return sizeof(*parcel) + parcel->word_capacity * sizeof(*parcel->word) +
           (parcel->own_names ? tide_names_memory(parcel->names) : 0);
}

static void drop_facts(struct tide_parcel *parcel)
{
    parcel->words = 0;
    parcel->facts = 0;
}

void tide_parcel_reset(struct tide_parcel *parcel)
{
    if (tide_parcel_memory(parcel) > KEEP_BYTES) {
        tide_parcel_fini(parcel);
        return;
    }
    drop_facts(parcel);
    parcel->next = NULL;
    parcel->books = (struct tide_ledger){0};
    parcel->has_identity = false;
    parcel->has_origin = false;
    parcel->fate = TIDE_FATE_OPEN;
    parcel->home = NULL;
    parcel->owner = 0;
    parcel->chunk_len = 0;
}

bool tide_parcel_empty(const struct tide_parcel *parcel)
{
    return parcel->books.received == 0 && !parcel->has_identity && parcel->chunk_len == 0 &&
           tide_ledger_chunks_rejected(&parcel->books) == 0;
}

/* Ids are short: a few moves in place beat a call or a string instruction. The last one may copy
 * some bytes twice. */
static inline void copy_text(char *to, const char *from, uint32_t len)
{
    uint32_t at = 0;

    if (len >= 16) {
        for (; at + 16 < len; at += 16)
            memcpy(to + at, from + at, 16);
        memcpy(to + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(to, from, 8);
        memcpy(to + len - 8, from + len - 8, 8);
    } else {
        for (; at < len; at++)
            to[at] = from[at];
    }
}

/* A text with its length before it; returns what is behind it. */
static uint64_t *put_text(uint64_t *word, const struct tide_text *text, uint32_t max)
{
    uint32_t len = text->len > max ? max : text->len;

    *word++ = len;
    copy_text((char *)word, text->start, len);
    return word + TIDE_TEXT_WORDS(len);
}

static uint64_t instance_id(const struct tide_fold_rules *rules, const struct tide_text *name)
{
    uint64_t id = tide_hash64(rules->instance_seed, name->start, name->len);

    return id == TIDE_INSTANCE_OVERFLOW || id == 0 ? 1 : id;
}

static struct tide_hash128 event_id(const struct tide_fold_rules *rules,
                                    const struct tide_event *ev)
{
    struct tide_hash_part part[] = {{ev->module.start, ev->module.len},
                                    {ev->event_id.start, ev->event_id.len}};

    return tide_hash128_parts(rules->identity_seed, part, 2);
}

/* What the event weighs, 0: it is left out. Chosen by its place in the chunk of this identity; what
 * came without one is never recognised when it is sent again, and is told apart by its arrival. */
static uint32_t sampled_weight(const struct tide_parcel *parcel,
                               const struct tide_sample_rules *rules, struct tide_named named,
                               uint32_t weight, int64_t arrival_us)
{
    uint64_t of[3] = {parcel->books.received};

    if (named.memo->share == 0)
        named.memo->share = tide_sample_share(rules, named.subject->name, named.subject->len);
    if (named.memo->share >= 1)
        return weight;
    of[1] = parcel->has_identity ? parcel->identity.low : (uint64_t)arrival_us;
    of[2] = parcel->has_identity ? parcel->identity.high : 0;
    return tide_sample_weight(named.memo->share, tide_hash64(SAMPLE_SEED, of, sizeof(of)), weight);
}

/* What only some events have, and what needs more than counting. Returns what is behind it. */
static uint64_t *write_rare(uint64_t *word, const struct tide_event *ev, uint32_t *bits)
{
    if (ev->error.len) {
        *bits |= TIDE_FACT_ERROR;
        word = put_text(word, &ev->error, TIDE_ERROR_TEXT_MAX);
    }
    if (ev->metric.len) {
        *bits |= TIDE_FACT_METRIC;
        word = put_text(word, &ev->metric, TIDE_METRIC_NAME_MAX);
        *word++ = (uint64_t)ev->value;
    }
    return word;
}

static inline bool is_rare(const struct tide_event *ev)
{
    const unsigned kinds = 1u << TIDE_EVENT_START | 1u << TIDE_EVENT_STOP | 1u << TIDE_EVENT_HEALTH;

    return (ev->event_id.len | ev->error.len | ev->metric.len | (kinds >> ev->kind & 1)) != 0;
}

/* Who sends one gauge mostly sends them all, and of numbers below 2^32. */
static inline uint64_t *write_gauges(uint64_t *word, const struct tide_event *ev,
                                     uint64_t *ret_narrow)
{
    if (ev->gauges == (1u << TIDE_GAUGE_COUNT) - 1) {
        uint64_t above = 0;

        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            above |= (uint64_t)ev->gauge[gauge] >> 32;
        if (above == 0) {
            *ret_narrow = TIDE_FACT_NARROW;
            for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge += 2)
                word[gauge / 2] =
                    (uint64_t)ev->gauge[gauge] |
                    (gauge + 1 < TIDE_GAUGE_COUNT ? (uint64_t)ev->gauge[gauge + 1] << 32 : 0);
            return word + TIDE_FACT_NARROW_WORDS;
        }
        memcpy(word, ev->gauge, sizeof(ev->gauge));
        return word + TIDE_GAUGE_COUNT;
    }
    for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
        if (ev->gauges & 1u << gauge)
            *word++ = (uint64_t)ev->gauge[gauge];
    return word;
}

/* Whether the id of this operation may be asked for one day. A parcel of so many facts may send
 * some of them to __overflow__, of which the memo knows nothing. */
static inline bool may_be_slowest(const struct tide_parcel *parcel,
                                  const struct tide_fold_rules *rules, const struct tide_memo *memo,
                                  const struct tide_event *ev, int64_t time_us)
{
    return parcel->facts >= TIDE_PARCEL_DELTAS ||
           !tide_memo_knows_slower(memo, time_us, rules->interval_s,
                                   (uint64_t)(ev->duration_us + 0.5));
}

static void write_fact(struct tide_parcel *parcel, const struct tide_fold_rules *rules,
                       struct tide_named named, const struct tide_event *ev, int64_t time_us,
                       bool skewed)
{
    bool operation = tide_event_is_operation(ev), rare = is_rare(ev);
    double duration_us = ev->has_duration ? ev->duration_us : 0;
    uint32_t bits = ev->kind, id_len = 0;
    uint64_t *fact, *word, narrow = 0;

    if (parcel->words + TIDE_FACT_WORDS_MAX > parcel->word_capacity)
        parcel->word = tide_must_grow(parcel->word, &parcel->word_capacity,
                                      parcel->words + TIDE_FACT_WORDS_MAX, sizeof(*parcel->word));
    fact = parcel->word + parcel->words;
    fact[0] = (uint64_t)(uintptr_t)named.subject;
    memcpy(fact + 3, &duration_us, sizeof(double));
    word = fact + TIDE_FACT_HEAD;
    if (ev->event_id.len) {
        struct tide_hash128 id = event_id(rules, ev);

        bits |= TIDE_FACT_EVENT_ID | (skewed ? TIDE_FACT_SKEWED : 0u);
        *word++ = id.low;
        *word++ = id.high;
    }
    if (ev->gauges) {
        bits |= (uint32_t)ev->gauges << TIDE_FACT_GAUGES_SHIFT;
        if (ev->instance.len) {
            bits |= TIDE_FACT_INSTANCE;
            *word++ = instance_id(rules, &ev->instance);
        }
        word = write_gauges(word, ev, &narrow);
    }
    if (operation && ev->has_duration && may_be_slowest(parcel, rules, named.memo, ev, time_us)) {
        id_len = ev->correlation.len > TIDE_ID_MAX ? TIDE_ID_MAX : ev->correlation.len;
        copy_text((char *)word, ev->correlation.start, id_len);
        word += TIDE_TEXT_WORDS(id_len);
    }
    if (rare)
        word = write_rare(word, ev, &bits);
    bits |= (ev->has_duration ? TIDE_FACT_DURATION : 0u) |
            (ev->has_outcome ? TIDE_FACT_OUTCOME : 0u) | (ev->success ? TIDE_FACT_SUCCESS : 0u) |
            (ev->has_healthy ? TIDE_FACT_HAS_HEALTHY : 0u) |
            (ev->healthy ? TIDE_FACT_HEALTHY : 0u) | (rare ? TIDE_FACT_RARE : 0u) |
            (operation ? TIDE_FACT_OPERATION : 0u) | id_len << TIDE_FACT_CORRELATION_SHIFT;
    fact[1] = (uint64_t)(word - fact) << TIDE_FACT_SIZE_SHIFT | narrow | (uint64_t)time_us;
    fact[2] = (uint64_t)ev->weight << 32 | bits;
    parcel->words += (uint32_t)(word - fact);
    parcel->facts++;
}

void tide_parcel_fold(struct tide_parcel *parcel, const struct tide_fold_rules *rules,
                      const struct tide_event *ev, int64_t arrival_us)
{
    int64_t time_us = ev->time_us ? ev->time_us : arrival_us;
    bool skewed = time_us > arrival_us + rules->future_s * 1000000;
    struct tide_named named;
    struct tide_event weighed;

    static_assert(TIDE_EVENT_KIND_COUNT <= TIDE_FACT_KIND + 1, "a kind fits its bits");
    static_assert(TIDE_GAUGE_COUNT <= 8, "gauges fit their bits");
    static_assert(TIDE_FACT_WORDS_MAX <= 255, "the size of a fact fits its byte");
    static_assert(TIDE_ID_MAX <= 255, "the length of a correlation id fits its bits");
    assert(ev->module.len > 0 && ev->module.len <= TIDE_MODULE_NAME_MAX && arrival_us > 0 &&
           arrival_us >> 55 == 0 && ev->weight > 0);
    parcel->books.received++;
    if (time_us < arrival_us - rules->lateness_s * 1000000) {
        parcel->books.late++;
        return;
    }
    if (!parcel->names) {
        parcel->names = tide_names_new(OWN_NAMES);
        parcel->own_names = true;
    }
    named = tide_names_get(parcel->names, ev->module.start, ev->module.len);
    if (rules->sample) {
        weighed = *ev;
        weighed.weight = sampled_weight(parcel, rules->sample, named, ev->weight, arrival_us);
        if (weighed.weight == 0) {
            parcel->books.sampled++;
            return;
        }
        ev = &weighed;
    }
    if (skewed) {
        parcel->books.skewed++;
        time_us = arrival_us;
    }
    parcel->books.stored++;
    write_fact(parcel, rules, named, ev, time_us, skewed);
}

void tide_parcel_call_up(const struct tide_parcel *parcel, const struct tide_text *module)
{
    if (parcel->names)
        tide_names_call_up(parcel->names, module->start, module->len);
}

void tide_parcel_reject(struct tide_parcel *parcel, enum tide_entry_reason reason)
{
    assert(reason < TIDE_ENTRY_REASON_COUNT);
    parcel->books.received++;
    parcel->books.rejected[reason]++;
}

void tide_parcel_note(const struct tide_parcel *parcel, struct tide_parcel_mark *ret)
{
    *ret = (struct tide_parcel_mark){parcel->words, parcel->facts, parcel->books};
}

void tide_parcel_take_back(struct tide_parcel *parcel, const struct tide_parcel_mark *mark)
{
    assert(parcel->words >= mark->words && parcel->facts >= mark->facts);
    parcel->words = mark->words;
    parcel->facts = mark->facts;
    parcel->books = mark->books;
}

void tide_parcel_reject_chunk(struct tide_parcel *parcel, enum tide_chunk_reason reason)
{
    assert(reason < TIDE_CHUNK_REASON_COUNT);
    drop_facts(parcel);
    parcel->books = (struct tide_ledger){0};
    parcel->books.chunks_rejected[reason] = 1;
}
