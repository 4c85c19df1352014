/* committer - the one writing thread. See the door for its rhythm.
 *
 * A commit costs about 0.3 ms of CPU and then some for each delta, however many events share them.
 * So in bulk (the last group or the waiting one has BULK_FACTS events) it gathers while parcels
 * keep coming, until a pause passes without one or gather_max_ms are over: the senders' windows
 * then are full, and waiting longer would only be late. The pause is a fraction of what the last
 * commit took, since a straggler that is left behind waits for a whole commit. A few events are
 * never kept waiting: an idle server commits a single chunk at once.
 *
 * A turn: take every waiting parcel, commit them (as many as one transaction takes), send them
 * home; seal what is due; a slice of upkeep. A failed commit keeps its group and is tried again
 * with growing pauses, and after whatever the store can do about a lack of space; meanwhile
 * `stalled` tells the shards to stop reading, so what cannot be written is not read either. Nobody
 * is acked for a group that is not on disk.
 *
 * When the store says that it has failed, everything that waits is dropped: the connections close
 * without an ack, and the senders, who have it still, may turn elsewhere. What was on its way is
 * dropped as it comes, an empty write tries the disk at each turn, and `stalled` stays: reading on,
 * only to drop, would have every sender send its window again and again for nothing.
 */
#include "tidemark/commit.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tidemark/clock.h"
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tidemark/mailbox.h"
#include "tidemark/thread.h"

#define BULK_FACTS        512
#define GATHER_QUANTUM_US 500
#define GATHER_PATIENCE   8    /* a pause is this part of the last commit, or a quantum */
#define WAIT_MAX_MS       1000 /* a stepped clock is noticed at the latest after this */
#define RETRY_FIRST_MS    50
#define RETRY_LAST_MS     2000
#define UPKEEP_IDLE_US    1000000

struct tide_commit {
    struct tide_commit_cfg cfg;
    struct tide_store *store;
    struct tide_mailbox *mailbox;
    struct tide_parcel **waiting; /* taken from the mailbox, oldest first */
    size_t first, count;
    uint64_t last_facts; /* in the last group */
    int64_t last_us;     /* what it took to commit it */
    pthread_t thread;
    atomic_bool stalled;
    atomic_bool stopping;
    int retry_ms;  /* 0: nothing is failing */
    bool dropping; /* the store has failed, and it was said that what waits is dropped */
    int64_t upkeep_us;
    bool more_upkeep; /* the last slice of it was not the last */
};

/* ---- one group ---- */

/* Sends the oldest `count` parcels home, neighbours of one home together. */
static void send_home(struct tide_commit *commit, size_t count)
{
    struct tide_parcel **parcel = commit->waiting + commit->first;

    commit->first += count;
    commit->count -= count;
    for (size_t i = 0; i < count;) {
        struct tide_mailbox *home = parcel[i]->home;
        size_t n = 1;

        while (i + n < count && parcel[i + n]->home == home)
            n++;
        tide_mailbox_put_many(home, (void *const *)(parcel + i), n);
        i += n;
    }
    if (commit->count == 0)
        commit->first = 0;
}

static void drop_all(struct tide_commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        struct tide_parcel *parcel = commit->waiting[commit->first + i];

        parcel->fate = TIDE_FATE_DROPPED;
        tide_count(TIDE_COUNT_EVENTS_DROPPED, parcel->books.received);
    }
    tide_store_drop(commit->store);
    send_home(commit, commit->count);
}

static void set_failing(struct tide_commit *commit, bool failing)
{
    if (failing)
        commit->retry_ms = commit->retry_ms == 0                  ? RETRY_FIRST_MS
                           : commit->retry_ms * 2 < RETRY_LAST_MS ? commit->retry_ms * 2
                                                                  : RETRY_LAST_MS;
    else
        commit->retry_ms = 0;
    atomic_store(&commit->stalled, failing);
}

/* A pause after a failure; ends early when the daemon stops. */
static void pause_before_retry(struct tide_commit *commit)
{
    int64_t until_us = tide_clock_mono_us() + (int64_t)commit->retry_ms * 1000, left_us;

    while (!atomic_load(&commit->stopping) && (left_us = until_us - tide_clock_mono_us()) > 0)
        nanosleep(&(struct timespec){.tv_nsec = left_us > 20000 ? 20000000 : left_us * 1000}, NULL);
}

static void report(const char *what, const struct tide_err *err)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_COMMIT_FAILURES, 1);
    tide_log_gated(&gate, TIDE_ERROR, "commit", "%s failed, will be tried again: %s", what,
                   err->text);
}

/* Commits one group; false: it failed and is still waiting. */
static bool commit_group(struct tide_commit *commit)
{
    size_t taken;
    uint64_t facts = 0;
    struct tide_err err = {""};
    int64_t begin_us = tide_clock_mono_us();

    if (tide_store_commit(commit->store, commit->waiting + commit->first, commit->count,
                          tide_clock_wall_us(), &taken, &err)) {
        report("commit", &err);
        return false;
    }
    tide_count(TIDE_COUNT_COMMITS, 1);
    commit->last_us = tide_clock_mono_us() - begin_us;
    tide_timing_add(&tide_commit_timing, (uint64_t)commit->last_us);
    for (size_t i = 0; i < taken; i++)
        facts += commit->waiting[commit->first + i]->facts;
    commit->last_facts = facts;
    send_home(commit, taken);
    return true;
}

/* Sealing and upkeep; false: something failed. */
static bool do_chores(struct tide_commit *commit)
{
    struct tide_err err = {""};
    int64_t now_us = tide_clock_wall_us();
    enum tide_rc rc;

    if (now_us >= tide_store_next_seal_us(commit->store) &&
        tide_store_seal(commit->store, now_us, &err)) {
        report("sealing", &err);
        return false;
    }
    if (tide_clock_mono_us() - commit->upkeep_us < UPKEEP_IDLE_US)
        return true;
    rc = tide_store_upkeep(commit->store, now_us, &err);
    commit->more_upkeep = rc == TIDE_AGAIN; /* the next slice after the next group, or at once */
    if (!commit->more_upkeep)
        commit->upkeep_us = tide_clock_mono_us();
    if (rc != TIDE_OK && rc != TIDE_AGAIN) {
        report("upkeep", &err);
        return false;
    }
    return true;
}

/* When there is no space, the store makes some, if it can; the next attempt will show. */
static void relieve(struct tide_commit *commit)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    if (tide_store_state(commit->store) != TIDE_STORE_FULL)
        return;
    rc = tide_store_relieve(commit->store, tide_clock_wall_us(), &err);
    if (rc != TIDE_OK && rc != TIDE_AGAIN)
        report("making room", &err);
}

/* ---- a store that has failed ---- */

static void give_up(struct tide_commit *commit)
{
    if (!commit->dropping)
        tide_log(TIDE_ERROR, "commit",
                 "the store has failed: %zu chunks that wait for it, and what is on its way, are "
                 "dropped unacked; nothing is read until it can be written again",
                 commit->count);
    commit->dropping = true;
    drop_all(commit);
}

/* Drops what has come meanwhile, and tries to write nothing; false: that failed. */
static bool probe(struct tide_commit *commit)
{
    struct tide_err err = {""};

    give_up(commit);
    if (tide_store_probe(commit->store, &err)) {
        tide_count(TIDE_COUNT_COMMIT_FAILURES, 1);
        return false;
    }
    return true;
}

static bool has_failed(const struct tide_commit *commit)
{
    return tide_store_state(commit->store) == TIDE_STORE_FAILED;
}

/* What waits to disk, or nothing, to see whether it can be; false: it cannot. */
static bool write_waiting(struct tide_commit *commit)
{
    if (has_failed(commit))
        return probe(commit);
    commit->dropping = false;
    return commit->count == 0 || commit_group(commit);
}

/* ---- the thread ---- */

static int wait_ms(const struct tide_commit *commit)
{
    int64_t until_us = tide_store_next_seal_us(commit->store) - tide_clock_wall_us();

    if (until_us <= 0 || commit->more_upkeep)
        return 0;
    return until_us / 1000 < WAIT_MAX_MS ? (int)(until_us / 1000) + 1 : WAIT_MAX_MS;
}

static uint64_t waiting_facts(const struct tide_commit *commit)
{
    uint64_t facts = 0;

    for (size_t i = 0; i < commit->count; i++)
        facts += commit->waiting[commit->first + i]->facts;
    return facts;
}

static void take_waiting(struct tide_commit *commit)
{
    if (commit->first) {
        memmove(commit->waiting, commit->waiting + commit->first,
                commit->count * sizeof(struct tide_parcel *));
        commit->first = 0;
    }
    commit->count += tide_mailbox_take(commit->mailbox, (void **)(commit->waiting + commit->count),
                                       commit->cfg.capacity - commit->count);
}

/* In bulk, waits for more while more keeps coming. */
static void gather(struct tide_commit *commit)
{
    int64_t now_us = tide_clock_mono_us(), quiet_us = now_us;
    int64_t until_us = now_us + (int64_t)commit->cfg.gather_max_ms * 1000;
    size_t before;

    if (commit->last_facts < BULK_FACTS && waiting_facts(commit) < BULK_FACTS)
        return;
    do {
        before = commit->count;
        nanosleep(&(struct timespec){.tv_nsec = GATHER_QUANTUM_US * 1000}, NULL);
        take_waiting(commit);
        now_us = tide_clock_mono_us();
        if (commit->count > before)
            quiet_us = now_us;
    } while ((commit->count > before || now_us - quiet_us < commit->last_us / GATHER_PATIENCE) &&
             commit->count < commit->cfg.capacity && !atomic_load(&commit->stopping) &&
             now_us < until_us);
}

static void stop_failing(struct tide_commit *commit)
{
    take_waiting(commit);
    if (commit->count)
        tide_log(TIDE_ERROR, "commit",
                 "stopping with %zu chunks that could not be written; they were not acked",
                 commit->count);
    drop_all(commit);
}

static void *run(void *arg)
{
    struct tide_commit *commit = arg;

    for (;;) {
        bool stopping = atomic_load(&commit->stopping), sound;

        if (commit->count == 0 && !stopping && !commit->retry_ms)
            tide_mailbox_wait(commit->mailbox, wait_ms(commit));
        take_waiting(commit);
        if (commit->count && !stopping && !commit->retry_ms)
            gather(commit);
        if (commit->count == 0 && stopping)
            return NULL;
        sound = write_waiting(commit) && do_chores(commit);
        set_failing(commit, !sound);
        if (sound)
            continue;
        if (has_failed(commit))
            give_up(commit);
        if (stopping) {
            stop_failing(commit);
            return NULL;
        }
        relieve(commit);
        pause_before_retry(commit);
    }
}

/* ---- the door ---- */

enum tide_rc tide_commit_start(const struct tide_commit_cfg *cfg, struct tide_store *store,
                               struct tide_commit **ret, struct tide_err *err)
{
    struct tide_commit *commit = calloc(1, sizeof(*commit));
    enum tide_rc rc;

    assert(cfg->capacity > 0);
    if (!commit || !(commit->waiting = calloc(cfg->capacity, sizeof(struct tide_parcel *)))) {
        free(commit);
        tide_err_set(err, "commit: out of memory");
        return TIDE_NO_MEMORY;
    }
    commit->cfg = *cfg;
    commit->store = store;
    if ((rc = tide_mailbox_new(cfg->capacity, &commit->mailbox, err)))
        goto fail;
    if ((rc = tide_thread_start(&commit->thread, "commit", run, commit, err)))
        goto fail;
    *ret = commit;
    return TIDE_OK;
fail:
    tide_mailbox_free(commit->mailbox);
    free(commit->waiting);
    free(commit);
    return rc;
}

void tide_commit_post(struct tide_commit *commit, struct tide_parcel *parcel)
{
    assert(parcel->fate == TIDE_FATE_OPEN && parcel->home);
    tide_mailbox_put(commit->mailbox, parcel);
}

bool tide_commit_stalled(const struct tide_commit *commit)
{
    return atomic_load(&commit->stalled);
}

void tide_commit_stop(struct tide_commit *commit)
{
    if (!commit)
        return;
    atomic_store(&commit->stopping, true);
    tide_mailbox_wake(commit->mailbox);
    pthread_join(commit->thread, NULL);
    tide_mailbox_free(commit->mailbox);
    free(commit->waiting);
    free(commit);
}
