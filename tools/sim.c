/* The wall clock of this process is the simulated one only while the store is opened: the store
 * asks it then how old what it remembers is. Everything else gets the time as an argument.
 */
#include "sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tidemark.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"

#define NAMES_MAX 10000000u
#define FOREVER_S (INT64_MAX / 1000000)

/* Names carry what an open store knows of them: they go with it. */
static void parcels_new(struct tide_sim *sim)
{
    sim->names = tide_names_new(NAMES_MAX);
    for (unsigned i = 0; i < TIDE_SIM_CHUNKS; i++)
        tide_parcel_init(&sim->parcel[i], sim->names);
}

static void parcels_free(struct tide_sim *sim)
{
    if (!sim->names)
        return;
    for (unsigned i = 0; i < TIDE_SIM_CHUNKS; i++)
        tide_parcel_fini(&sim->parcel[i]);
    tide_names_free(sim->names);
    sim->names = NULL;
}

/* The system's words for a full disk are "Input/output error". */
static void failed(struct tide_sim *sim, const char *what)
{
    const char *dir = sim->cfg.store.dir;

    if (sim->rc == TIDE_DISK_FULL)
        tide_err_set(&sim->err, "%s: no space left on its disk, or its map is full", dir);
    else if (sim->rc != TIDE_OK && sim->rc != TIDE_STOPPED)
        tide_err_wrap(&sim->err, "%s in %s", what, dir);
}

static void store_open(struct tide_sim *sim)
{
    tide_clock_fake(sim->now_us);
    sim->rc = tide_store_open(&sim->cfg.store, &sim->store, &sim->err);
    tide_clock_fake(0);
    if (sim->rc != TIDE_OK) {
        sim->store = NULL;
        return;
    }
    parcels_new(sim);
    sim->rules.instance_seed = tide_store_instance_seed(sim->store);
    sim->rules.identity_seed = tide_store_identity_seed(sim->store);
}

void tide_sim_open(struct tide_sim *sim, const struct tide_sim_cfg *cfg, int64_t now_us)
{
    assert(cfg->chunk_events > 0 && cfg->chunk_events <= 50000 && cfg->group_events > 0);
    *sim = (struct tide_sim){.cfg = *cfg, .now_us = now_us};
    sim->rules = (struct tide_fold_rules){
        .interval_s = cfg->store.interval_s, .lateness_s = cfg->store.lateness_s, .future_s = 60};
    tide_laps_init(&sim->commit);
    tide_laps_init(&sim->seal);
    tide_laps_init(&sim->upkeep);
    sim->parcel = calloc(TIDE_SIM_CHUNKS, sizeof *sim->parcel);
    if (!sim->parcel)
        abort();
    store_open(sim);
}

void tide_sim_close(struct tide_sim *sim)
{
    tide_store_close(sim->store);
    sim->store = NULL;
    parcels_free(sim);
    free(sim->parcel);
    sim->parcel = NULL;
    tide_laps_fini(&sim->commit);
    tide_laps_fini(&sim->seal);
    tide_laps_fini(&sim->upkeep);
}

void tide_sim_reopen(struct tide_sim *sim, int64_t *ret_us)
{
    int64_t begin_us;

    *ret_us = 0;
    tide_sim_commit(sim);
    if (sim->rc != TIDE_OK)
        return;
    tide_store_close(sim->store);
    sim->store = NULL;
    parcels_free(sim);
    begin_us = tide_clock_mono_us();
    store_open(sim);
    *ret_us = tide_clock_mono_us() - begin_us;
}

bool tide_sim_going(struct tide_sim *sim)
{
    if (sim->rc == TIDE_OK && tide_stopping) {
        sim->rc = TIDE_STOPPED;
        tide_err_set(&sim->err, "interrupted");
    }
    return sim->rc == TIDE_OK;
}

/* ---- writing ---- */

void tide_sim_take(void *to, const struct tide_event *ev)
{
    struct tide_sim *sim = to;
    struct tide_parcel *parcel;

    if (sim->rc != TIDE_OK)
        return;
    if (sim->waiting == sim->cfg.group_events ||
        (sim->parcels == TIDE_SIM_CHUNKS &&
         sim->parcel[sim->parcels - 1].facts == sim->cfg.chunk_events))
        tide_sim_commit(sim);
    if (sim->parcels == 0 || sim->parcel[sim->parcels - 1].facts == sim->cfg.chunk_events) {
        parcel = &sim->parcel[sim->parcels++];
        tide_parcel_reset(parcel);
        parcel->has_identity = true;
        parcel->chunk_len = 1; /* one that wants an ack */
        sim->books.chunks++;
        parcel->identity.low = tide_hash64(1, &sim->books.chunks, sizeof sim->books.chunks);
        parcel->identity.high = tide_hash64(2, &sim->books.chunks, sizeof sim->books.chunks);
    }
    tide_parcel_fold(&sim->parcel[sim->parcels - 1], &sim->rules, ev, sim->now_us);
    sim->waiting++;
    sim->books.events++;
    sim->books.weighed += ev->weight;
    sim->books.operations += tide_event_is_operation(ev) ? ev->weight : 0;
}

void tide_sim_commit(struct tide_sim *sim)
{
    struct tide_parcel *group[TIDE_SIM_CHUNKS];
    size_t taken;

    for (uint32_t i = 0; i < sim->parcels; i++)
        group[i] = &sim->parcel[i];
    for (uint32_t done = 0; done < sim->parcels && tide_sim_going(sim); done += (uint32_t)taken) {
        tide_laps_begin(&sim->commit);
        sim->rc = tide_store_commit(sim->store, group + done, sim->parcels - done, sim->now_us,
                                    &taken, &sim->err);
        tide_laps_end(&sim->commit);
        sim->books.groups++;
        failed(sim, "commit");
    }
    sim->parcels = sim->waiting = 0;
}

void tide_sim_advance(struct tide_sim *sim, int64_t now_us)
{
    enum tide_rc rc = TIDE_AGAIN;

    tide_sim_commit(sim);
    if (sim->rc != TIDE_OK)
        return;
    assert(now_us >= sim->now_us);
    sim->now_us = now_us;
    while (tide_sim_going(sim) && tide_store_next_seal_us(sim->store) <= now_us) {
        tide_laps_begin(&sim->seal);
        sim->rc = tide_store_seal(sim->store, now_us, &sim->err);
        tide_laps_end(&sim->seal);
    }
    while (rc == TIDE_AGAIN && tide_sim_going(sim)) {
        tide_laps_begin(&sim->upkeep);
        rc = tide_store_upkeep(sim->store, now_us, &sim->err);
        tide_laps_end(&sim->upkeep);
        if (rc != TIDE_AGAIN)
            sim->rc = rc;
    }
    failed(sim, "seal or upkeep");
}

/* ---- reading back ---- */

struct sum {
    uint64_t events, operations, records;
};

static void add(struct sum *sum, const struct tide_record *record)
{
    for (int kind = 0; kind < TIDE_EVENT_KIND_COUNT; kind++)
        sum->events += record->tally.kind[kind];
    sum->operations += record->tally.requests;
    sum->records++;
}

static bool add_record(void *to, uint32_t module, int64_t start_s, const struct tide_record *record,
                       unsigned flags)
{
    (void)module;
    (void)start_s;
    (void)flags;
    add(to, record);
    return !tide_stopping;
}

static void expect(struct tide_sim *sim, const char *what, uint64_t in, uint64_t out)
{
    if (sim->rc != TIDE_OK || in == out)
        return;
    sim->rc = TIDE_DAMAGED;
    tide_err_set(&sim->err,
                 "the books of %s disagree: %s: %" PRIu64 " went in, %" PRIu64 " came out",
                 sim->cfg.store.dir, what, in, out);
}

void tide_sim_audit(struct tide_sim *sim)
{
    struct sum modules = {0}, fleet = {0}, totals = {0};
    const struct tide_snapshot_info *info;
    struct tide_snapshot *snapshot;
    struct tide_module module;

    tide_sim_commit(sim);
    if (!tide_sim_going(sim) ||
        (sim->rc = tide_snapshot_open(sim->store, &snapshot, &sim->err)) != TIDE_OK)
        return;
    info = tide_snapshot_info(snapshot);
    sim->rc = tide_snapshot_sweep(snapshot, 0, FOREVER_S, NULL, add_record, &modules);
    if (sim->rc == TIDE_OK)
        sim->rc = tide_snapshot_walk(snapshot, TIDE_FLEET, 0, FOREVER_S, add_record, &fleet);
    for (uint32_t id = 1; id <= info->modules; id++) {
        tide_snapshot_module(snapshot, id, &module);
        add(&totals, module.total);
    }
    if (tide_sim_going(sim)) {
        expect(sim, "entries in the ledger", sim->books.events, info->ledger.stored);
        expect(sim, "chunks in the ledger", sim->books.chunks, info->ledger.chunks_committed);
        expect(sim, "events of all modules", sim->books.weighed, modules.events);
        expect(sim, "operations of all modules", sim->books.operations, modules.operations);
        expect(sim, "events of the fleet", sim->books.weighed, fleet.events);
        expect(sim, "events of lifetime totals", sim->books.weighed, totals.events);
    }
    tide_snapshot_close(snapshot);
}
