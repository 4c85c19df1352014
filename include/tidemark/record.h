/* record - what is known about one module over one stretch of time.
 *
 * Fold an event into it, merge a record of the same subject (shard deltas, late data, tiers,
 * ranges), gather records of other subjects (modules into the fleet). Integers only, ties broken by
 * value: all three are exactly commutative and associative, so neither the order of arrival nor the
 * way of grouping can be seen in a result.
 */
#ifndef TIDEMARK_RECORD_H
#define TIDEMARK_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include "tidemark/bytes.h"
#include "tidemark/custom.h"
#include "tidemark/event.h"
#include "tidemark/gauge.h"
#include "tidemark/hist.h"

/* The fixed part: counts and extremes. */
struct tide_tally {
    uint64_t requests;       /* operations */
    uint64_t failed;         /* of those; successful = requests - failed */
    uint64_t errors;         /* error events, and events that carry an error */
    uint64_t plain_requests; /* request events without duration and outcome: they raise in-flight */
    uint64_t kind[TIDE_EVENT_KIND_COUNT];
    uint64_t samples; /* operations with a duration */
    uint64_t sum_us;  /* of their durations, each rounded half up; saturating */
    uint64_t min_us;  /* UINT64_MAX without samples */
    uint64_t max_us;
    int64_t first_us;  /* Unix time of the oldest event; INT64_MAX without any */
    int64_t last_us;   /* of the newest; 0 without any */
    int64_t start_us;  /* newest start event; 0 = none */
    int64_t stop_us;   /* newest stop event; 0 = none */
    int64_t health_us; /* newest self report; 0 = none */
    bool healthy;      /* what it said; of two at one time "unhealthy" stays */
};

#define TIDE_INSTANCES_MAX     64
#define TIDE_INSTANCE_OVERFLOW UINT64_MAX /* the merge of all beyond the 64 smallest ids */

/* Gauges of one instance of a module. id: keyed hash of the instance's name, 0 = unnamed. */
struct tide_instance {
    uint64_t id;
    struct tide_gauge_state gauge[TIDE_GAUGE_COUNT];
};

/* The operation with the longest duration that carried a correlation id. len 0: none. */
struct tide_slowest {
    uint64_t us;
    uint16_t len;
    char id[TIDE_ID_MAX];
};

struct tide_record {
    struct tide_tally tally;
    struct tide_hist hist;
    struct tide_instance *instance; /* ascending by id; the overflow instance, if any, last */
    uint16_t instances;
    uint16_t instance_capacity;
    struct tide_customs customs; /* not gathered: names of one module mean nothing in another */
    struct tide_slowest slowest;
};

void tide_tally_init(struct tide_tally *tally);

/* Hears one self report. */
void tide_tally_hear(struct tide_tally *tally, int64_t time_us, bool healthy);

/* Counts one event of a kind. us: its duration, rounded half up; 0 unless timed. No branches on
 * what differs from event to event: they would be guessed wrong too often. */
static inline void tide_tally_count(struct tide_tally *tally, unsigned kind, uint64_t weight,
                                    bool operation, bool success, bool timed, uint64_t us,
                                    int64_t time_us)
{
    uint64_t served = weight & -(uint64_t)operation;

    assert(time_us > 0 && weight > 0 && kind < TIDE_EVENT_KIND_COUNT);
    tally->kind[kind] += weight;
    tally->requests += served;
    tally->failed += served & -(uint64_t)!success;
    tally->plain_requests += weight & -(uint64_t)((kind == TIDE_EVENT_REQUEST) & !operation);
    tally->errors += weight & -(uint64_t)(kind == TIDE_EVENT_ERROR);
    tally->samples += weight & -(uint64_t)timed;
    tally->sum_us = tide_add_sat(tally->sum_us, tide_mul_sat(us, weight));
    us |= (uint64_t)timed - 1; /* no minimum */
    tally->min_us = us < tally->min_us ? us : tally->min_us;
    us &= -(uint64_t)timed; /* no maximum */
    tally->max_us = us > tally->max_us ? us : tally->max_us;
    tally->first_us = time_us < tally->first_us ? time_us : tally->first_us;
    tally->last_us = time_us > tally->last_us ? time_us : tally->last_us;
}

/* What few events say beside what is counted: an error's text, a start, a stop, a self report. */
void tide_tally_rare(struct tide_tally *tally, const struct tide_event *ev, int64_t time_us);

/* Folds one event, all but its histogram bucket and gauges. time_us: the event's time, never 0. */
static inline void tide_tally_fold(struct tide_tally *tally, const struct tide_event *ev,
                                   int64_t time_us)
{
    bool operation = tide_event_is_operation(ev), timed = operation && ev->has_duration;

    tide_tally_count(tally, ev->kind, ev->weight, operation, ev->success, timed,
                     timed ? (uint64_t)(ev->duration_us + 0.5) : 0, time_us);
    tide_tally_rare(tally, ev, time_us);
}
void tide_tally_merge(struct tide_tally *into, const struct tide_tally *from);

/* True when `candidate` should replace `held`: longer, or as long with the larger id. */
bool tide_slowest_beats(uint64_t candidate_us, const char *candidate_id, uint32_t candidate_len,
                        uint64_t held_us, const char *held_id, uint32_t held_len);

void tide_record_init(struct tide_record *record);
void tide_record_fini(struct tide_record *record);
void tide_record_reset(struct tide_record *record); /* as after init, memory kept */
void tide_record_copy(struct tide_record *into,
                      const struct tide_record *from); /* into initialised */

/* One event at time_us; instance_id from tide_instance_id(). */
void tide_record_fold(struct tide_record *record, const struct tide_event *ev, int64_t time_us,
                      uint64_t instance_id);
void tide_record_merge(struct tide_record *into, const struct tide_record *from);
void tide_record_gather(struct tide_record *into, const struct tide_record *from);
void tide_record_gather_gauges(struct tide_record *into,
                               const struct tide_record *from); /* its gauges only */

/* Late events made `after` out of `before`, which `into` holds: gathered as one of several
 * subjects, or merged (both gathered records themselves) as one of several stretches of time.
 * Replaces it in the gauges of `into`, see gauge.h. All else in a record just merges. */
void tide_record_regather_gauges(struct tide_record *into, const struct tide_record *before,
                                 const struct tide_record *after);
void tide_record_remerge_gauges(struct tide_record *into, const struct tide_record *before,
                                const struct tide_record *after);
void tide_record_merge_instance(struct tide_record *into, const struct tide_instance *from);

/* The index of the first instance whose id is not below this one; `instances`: there is none. */
unsigned tide_record_instance_place(const struct tide_record *record, uint64_t id);

void tide_record_merge_slowest(struct tide_record *into, uint64_t us, const char *id, uint32_t len);
bool tide_record_equal(const struct tide_record *a, const struct tide_record *b);
bool tide_record_empty(const struct tide_record *record); /* no event in it */

/* One gauge of the record's subject: its instances gathered. count 0 when no sample. */
struct tide_gauge_state tide_record_gauge(const struct tide_record *record, enum tide_gauge gauge);

/* Derived figures; NAN where there is no sample. */
double tide_record_mean_us(const struct tide_record *record);
double tide_record_quantile_us(const struct tide_record *record, double q);
void tide_record_quantiles_us(const struct tide_record *record, const double *q, size_t count,
                              double *ret_us);                   /* see hist.h */
double tide_record_error_rate(const struct tide_record *record); /* failed / requests */
uint64_t tide_record_in_flight(const struct tide_record *record);
uint64_t tide_record_responses(const struct tide_record *record); /* response events */

/* Stopped: a stop is the last word, no newer event and no start at the same moment. */
bool tide_tally_stopped(const struct tide_tally *tally);

#endif
