/* A shard's thread. Its loop alternates two things: one round of libevent (parcels come home,
 * connections arrive, peers are read, acks are written), then what is due at the end of a pass:
 * post the loose parcel, give turns to those who wait for parcels or memory, look whether it is
 * time to go.
 *
 * Events that nobody wants acked are folded into the loose parcel. At most one is in flight: an
 * idle shard posts at once what came in one pass, a busy one goes on filling while the commit
 * before it is on its way to the disk.
 */
#include "shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/counter.h"
#include "tidemark/log.h"
#include "tidemark/thread.h"
#include "deadline.h"
#include "greet.h"
#include "heartbeat.h"
#include "listener.h"

/* What a committer that never answered keeps: its parcels may still be looked at. Touched by stop
 * alone. */
struct abandoned {
    struct tide_pool pool;
    struct tide_mailbox *home;
    struct abandoned *next;
};
static struct abandoned *abandoned;

/* ---- connections by slot ---- */

struct tide_conn *tide_shard_find(const struct tide_shard *shard, uint64_t owner)
{
    uint32_t index = (uint32_t)owner, generation = (uint32_t)(owner >> 32);

    if (owner == 0 || index >= shard->slots || shard->slot[index].generation != generation)
        return NULL;
    return shard->slot[index].conn;
}

bool tide_shard_enrol(struct tide_shard *shard, struct tide_conn *conn)
{
    uint32_t index;

    if (shard->free_slot == 0) {
        uint32_t count = shard->slots ? 2 * shard->slots : 64;
        struct tide_slot *grown = realloc(shard->slot, count * sizeof(*grown));

        if (!grown)
            return false;
        for (uint32_t i = count; i-- > shard->slots;) {
            grown[i] = (struct tide_slot){.generation = 1, .next_free = shard->free_slot};
            shard->free_slot = i + 1;
        }
        shard->slot = grown;
        shard->slots = count;
    }
    index = shard->free_slot - 1;
    shard->free_slot = shard->slot[index].next_free;
    shard->slot[index].conn = conn;
    conn->owner = (uint64_t)shard->slot[index].generation << 32 | index;
    shard->conns++;
    return true;
}

void tide_shard_strike(struct tide_shard *shard, struct tide_conn *conn)
{
    uint32_t index = (uint32_t)conn->owner;
    struct tide_slot *slot = &shard->slot[index];

    assert(slot->conn == conn);
    slot->conn = NULL;
    if (++slot->generation == 0)
        slot->generation = 1; /* 0 would make an owner of 0: nobody */
    slot->next_free = shard->free_slot;
    shard->free_slot = index + 1;
    shard->conns--;
    conn->owner = 0;
}

/* ---- parcels ---- */

static bool loose_is_full(const struct tide_parcel *loose)
{
    /* A fact opens at most one module-interval. Half of what a parcel may open, so that the
     * requests gathered here do not push each other's modules into __overflow__. */
    return loose->facts >= TIDE_PARCEL_DELTAS / 2 || tide_parcel_memory(loose) >= TIDE_LOOSE_BYTES;
}

bool tide_shard_may_fold(const struct tide_shard *shard)
{
    return tide_pool_left(&shard->pool) > 0 && shard->pool.in_flight_bytes < TIDE_IN_FLIGHT_BYTES &&
           !(shard->loose_posted && shard->loose && loose_is_full(shard->loose)) &&
           !tide_commit_stalled(shard->commit);
}

bool tide_shard_may_read(const struct tide_shard *shard)
{
    return TAILQ_EMPTY(&shard->turn_line) && !shard->draining && tide_shard_may_fold(shard);
}

void tide_shard_post(struct tide_shard *shard, struct tide_parcel **parcel)
{
    struct tide_parcel *baton = *parcel;

    *parcel = NULL;
    baton->fate = TIDE_FATE_OPEN;
    baton->home = shard->home;
    tide_pool_note_posted(&shard->pool, baton);
    tide_commit_post(shard->commit, baton);
}

struct tide_parcel *tide_shard_take(struct tide_shard *shard)
{
    struct tide_parcel *parcel = tide_pool_take(&shard->pool);

    assert(parcel); /* may_fold was asked */
    parcel->owner = 0;
    parcel->chunk_len = 0;
    parcel->has_identity = false;
    return parcel;
}

static void post_loose(struct tide_shard *shard)
{
    if (!shard->loose || shard->loose_posted)
        return;
    if (tide_parcel_empty(shard->loose)) {
        tide_pool_put(&shard->pool, &shard->loose);
        return;
    }
    shard->loose_posted = shard->loose;
    tide_shard_post(shard, &shard->loose);
}

struct tide_parcel *tide_shard_loose(struct tide_shard *shard)
{
    if (shard->loose && loose_is_full(shard->loose))
        post_loose(shard);
    if (!shard->loose)
        shard->loose = tide_shard_take(shard);
    return shard->loose;
}

/* ---- passes ---- */

static void give_turns(struct tide_shard *shard)
{
    struct tide_conn *conn;

    for (int turns = 0; turns < TIDE_TURNS_PER_PASS; turns++) {
        conn = TAILQ_FIRST(&shard->turn_line);
        if (!conn || !tide_shard_may_fold(shard))
            break;
        tide_conn_leave(conn);
        tide_conn_turn(conn);
    }
    /* Who still finds no memory goes to the tail of the line again. */
    for (int turns = 0; turns < TIDE_TURNS_PER_PASS; turns++) {
        conn = TAILQ_FIRST(&shard->memory_line);
        if (!conn || !tide_shard_may_read(shard) || !tide_input_may_grow(shard))
            break;
        tide_conn_leave(conn);
        tide_conn_turn(conn);
    }
}

static void start_draining(struct tide_shard *shard, int drain_ms)
{
    shard->draining = true;
    shard->drain_ticks = ((unsigned)drain_ms + TIDE_TICK_MS - 1) / TIDE_TICK_MS;
    shard->parting_ticks = TIDE_PARTING_TICKS;
    for (int i = 0; i < 2; i++)
        if (shard->listener[i])
            tide_listener_pause(shard->listener[i]);
    if (shard->heartbeat)
        tide_heartbeat_pause(shard->heartbeat);
    for (uint32_t i = 0; i < shard->slots; i++)
        if (shard->slot[i].conn)
            tide_conn_unwatch(shard->slot[i].conn);
}

/* Everything that was decoded is home, and its acks are out or will not go out. */
static bool drained(const struct tide_shard *shard)
{
    if (!shard->draining)
        return false;
    if (shard->drain_ticks == 0)
        return true;
    if (shard->pool.taken > 0 || !TAILQ_EMPTY(&shard->turn_line))
        return false;
    return shard->unsent_bytes == 0 || shard->parting_ticks == 0;
}

static void keep_ticking(struct tide_shard *shard)
{
    static const struct timeval tick = {.tv_usec = TIDE_TICK_MS * 1000};
    bool wanted = shard->draining || !TAILQ_EMPTY(&shard->turn_line) ||
                  !TAILQ_EMPTY(&shard->memory_line) || !TAILQ_EMPTY(&shard->ending);

    if (wanted == shard->ticking)
        return;
    if (!wanted)
        event_del(&shard->tick_timer);
    else if (event_add(&shard->tick_timer, &tick) != 0)
        return; /* tried again at the end of the next pass */
    shard->ticking = wanted;
}

static void end_pass(struct tide_shard *shard)
{
    int stop_ms = atomic_load_explicit(&shard->stop_ms, memory_order_acquire);

    if (stop_ms >= 0 && !shard->draining)
        start_draining(shard, stop_ms);
    give_turns(shard);
    post_loose(shard);
    keep_ticking(shard);
    tide_deadline_keep(shard);
}

/* ---- events ---- */

static void on_arrivals(evutil_socket_t fd, short what, void *arg)
{
    struct tide_shard *shard = arg;
    void *conn[TIDE_ARRIVALS_MAX];
    size_t count = tide_mailbox_take(shard->arrivals, conn, TIDE_ARRIVALS_MAX);

    (void)fd;
    (void)what;
    atomic_fetch_sub_explicit(&shard->arriving, (unsigned)count, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        tide_conn_adopt(shard, conn[i]);
}

static void age_ending(struct tide_shard *shard)
{
    struct tide_conn *conn, *next;

    for (conn = TAILQ_FIRST(&shard->ending); conn; conn = next) {
        next = TAILQ_NEXT(conn, end_link);
        if (conn->outstanding > 0)
            continue; /* not its fault */
        if (conn->penalty > 0) {
            if (--conn->penalty == 0)
                tide_greet_farewell(conn);
            continue;
        }
        if (--conn->patience == 0)
            tide_conn_free(conn);
    }
}

/* Whoever keeps a large buffer and sends nothing, while others wait for that memory, is not
 * healthy. One at a time: its memory may be enough.
 */
static void age_holders(struct tide_shard *shard)
{
    struct tide_conn *quietest = NULL;

    if (TAILQ_EMPTY(&shard->memory_line))
        return;
    for (uint32_t i = 0; i < shard->slots; i++) {
        struct tide_conn *conn = shard->slot[i].conn;

        if (!conn || !conn->reading || conn->held_capacity <= TIDE_SMALL_INPUT)
            continue;
        conn->quiet_ticks++;
        if (!quietest || conn->quiet_ticks > quietest->quiet_ticks)
            quietest = conn;
    }
    if (quietest && quietest->quiet_ticks >= TIDE_STALLED_TICKS)
        tide_conn_refuse_stalled(quietest);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tide_shard *shard = arg;

    (void)fd;
    (void)what;
    age_ending(shard);
    age_holders(shard);
    if (!shard->draining)
        return;
    if (shard->drain_ticks > 0)
        shard->drain_ticks--;
    if (shard->pool.taken == 0 && shard->parting_ticks > 0)
        shard->parting_ticks--;
}

static void *run(void *arg)
{
    struct tide_shard *shard = arg;

    while (!drained(shard)) {
        bool more = !TAILQ_EMPTY(&shard->turn_line) && tide_shard_may_fold(shard);

        if (event_base_loop(shard->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0)) < 0)
            abort(); /* epoll itself failed: nothing acked is lost by a crash */
        end_pass(shard);
    }
    return NULL;
}

/* ---- life ---- */

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    /* One thread uses it; wake-ups come through the mailboxes' descriptors. */
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

enum tide_rc tide_shard_open(struct tide_shard *shard, unsigned index,
                             const struct tide_ingest_cfg *cfg, struct tide_commit *commit,
                             struct tide_err *err)
{
    enum tide_rc rc;

    memset(shard, 0, sizeof(*shard));
    shard->cfg = cfg;
    shard->commit = commit;
    shard->index = index;
    tide_input_init(shard);
    shard->unsent_max = cfg->max_unread_ack_bytes ? cfg->max_unread_ack_bytes : TIDE_UNSENT_MAX;
    atomic_init(&shard->stop_ms, -1);
    atomic_init(&shard->arriving, 0);
    TAILQ_INIT(&shard->turn_line);
    TAILQ_INIT(&shard->memory_line);
    TAILQ_INIT(&shard->ending);

    if ((rc = tide_pool_init(&shard->pool, cfg->parcels,
                             cfg->max_names ? cfg->max_names : 100000)) ||
        (rc = tide_mailbox_new(cfg->parcels, &shard->home, err)) ||
        (rc = tide_mailbox_new(TIDE_ARRIVALS_MAX, &shard->arrivals, err)))
        return rc;
    shard->homecomers = calloc(cfg->parcels, sizeof(*shard->homecomers));
    shard->buffer = malloc(TIDE_SMALL_INPUT + TIDE_READ_BYTES);
    shard->base = new_base();
    if (!shard->homecomers || !shard->buffer || !shard->base) {
        tide_err_set(err, "shard %u: out of memory or descriptors", index);
        return TIDE_NO_MEMORY;
    }
    event_assign(&shard->home_watch, shard->base, tide_mailbox_fd(shard->home),
                 EV_READ | EV_PERSIST, tide_ack_on_home, shard);
    event_assign(&shard->arrivals_watch, shard->base, tide_mailbox_fd(shard->arrivals),
                 EV_READ | EV_PERSIST, on_arrivals, shard);
    event_assign(&shard->tick_timer, shard->base, -1, EV_PERSIST, on_tick, shard);
    event_assign(&shard->second_timer, shard->base, -1, EV_PERSIST, tide_deadline_on_second, shard);
    if (event_add(&shard->home_watch, NULL) != 0 || event_add(&shard->arrivals_watch, NULL) != 0) {
        tide_err_set(err, "shard %u: cannot watch its mailboxes", index);
        return TIDE_IO;
    }
    return TIDE_OK;
}

enum tide_rc tide_shard_start(struct tide_shard *shard, struct tide_err *err)
{
    char name[TIDE_THREAD_NAME_MAX + 1];
    enum tide_rc rc;

    snprintf(name, sizeof(name), "ingest-%u", shard->index);
    if ((rc = tide_thread_start(&shard->thread, name, run, shard, err)))
        return rc;
    shard->running = true;
    return TIDE_OK;
}

void tide_shard_stop(struct tide_shard *shard, int drain_ms)
{
    if (!shard->running)
        return;
    atomic_store_explicit(&shard->stop_ms, drain_ms > 0 ? drain_ms : 0, memory_order_release);
    tide_mailbox_wake(shard->home);
}

void tide_shard_join(struct tide_shard *shard)
{
    if (shard->running)
        pthread_join(shard->thread, NULL);
    shard->running = false;
}

bool tide_shard_hand(struct tide_shard *shard, struct tide_conn *conn)
{
    if (atomic_fetch_add_explicit(&shard->arriving, 1, memory_order_relaxed) >= TIDE_ARRIVALS_MAX) {
        atomic_fetch_sub_explicit(&shard->arriving, 1, memory_order_relaxed);
        return false;
    }
    tide_mailbox_put(shard->arrivals, conn);
    return true;
}

/* The committer may still hold parcels, and a pointer to their home. */
static void abandon(struct tide_shard *shard)
{
    struct abandoned *kept = calloc(1, sizeof(*kept));

    tide_log(
        TIDE_WARNING, "ingest",
        "shard %u: gave up waiting for the commit of %u parcels; their senders will send again",
        shard->index, shard->pool.in_flight);
    if (kept) { /* only to keep them findable; without it they are as abandoned */
        *kept = (struct abandoned){.pool = shard->pool, .home = shard->home, .next = abandoned};
        abandoned = kept;
    }
    memset(&shard->pool, 0, sizeof(shard->pool));
    shard->home = NULL;
}

void tide_shard_close(struct tide_shard *shard)
{
    void *conn;

    for (uint32_t i = 0; i < shard->slots; i++)
        tide_conn_free(shard->slot[i].conn);
    while (shard->arrivals && tide_mailbox_take(shard->arrivals, &conn, 1) == 1)
        tide_conn_free(conn);
    free(shard->slot);
    if (shard->base) {
        event_del(&shard->tick_timer);
        event_del(&shard->second_timer);
        event_del(&shard->home_watch);
        event_del(&shard->arrivals_watch);
        event_base_free(shard->base);
    }
    free(shard->buffer);
    free(shard->homecomers);
    tide_mailbox_free(shard->arrivals);
    if (shard->pool.in_flight > 0)
        abandon(shard);
    tide_mailbox_free(shard->home);
    tide_pool_fini(&shard->pool);
}
