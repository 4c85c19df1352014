/* GET /api/v3/health/{live,ready,status}: of the daemon itself, never of what it watches.
 *
 * live answers while the loop runs; ready says whether events are being taken to disk; status lists
 * every check. A failing check is 503 with its reason, a degraded one is worth a look and 200.
 */
#include "routes.h"

#include <stdio.h>

#include "tidemark/counter.h"

#define READER_OLD_US INT64_C(60000000) /* a snapshot held longer than this makes the file grow */

enum verdict { VERDICT_OK, VERDICT_DEGRADED, VERDICT_FAILING };
static const char *const verdict_name[] = {"ok", "degraded", "failing"};

struct check {
    const char *name;
    enum verdict verdict;
    char detail[160];
};

static void put_checks(const struct check *check, size_t count, struct tide_reply *reply)
{
    struct tide_json *json = &reply->json;
    enum verdict worst = VERDICT_OK;

    for (size_t i = 0; i < count; i++)
        if (check[i].verdict > worst)
            worst = check[i].verdict;
    if (worst == VERDICT_FAILING)
        reply->status = 503;
    tide_json_text(json, "status", verdict_name[worst]);
    tide_json_object(json, "checks");
    for (size_t i = 0; i < count; i++) {
        tide_json_object(json, check[i].name);
        tide_json_text(json, "status", verdict_name[check[i].verdict]);
        tide_json_text(json, "detail", check[i].detail);
        tide_json_end(json);
    }
    tide_json_end(json);
}

static struct check check_loop(void)
{
    return (struct check){"loop", VERDICT_OK, "answering"};
}

static struct check check_store(const struct tide_self_view *self)
{
    struct check check = {.name = "store"};

    switch (self->state) {
    case TIDE_STORE_OK:
        snprintf(check.detail, sizeof(check.detail), "open, %llu bytes, ballast of %llu bytes",
                 (unsigned long long)self->stats.file_bytes,
                 (unsigned long long)self->stats.ballast_bytes);
        break;
    case TIDE_STORE_FULL:
        check.verdict = VERDICT_FAILING;
        snprintf(check.detail, sizeof(check.detail),
                 "full: nothing is acknowledged until there is space; answers still work");
        break;
    case TIDE_STORE_IN_DOUBT:
        check.verdict = VERDICT_FAILING;
        snprintf(check.detail, sizeof(check.detail),
                 "in doubt: %s; nothing is acknowledged until a write succeeds; answers still work",
                 tide_rc_text(self->stats.failure));
        break;
    case TIDE_STORE_FAILED:
        check.verdict = VERDICT_FAILING;
        snprintf(check.detail, sizeof(check.detail),
                 "failed: %s; nothing is read, what waited went back to its senders; answers still "
                 "work",
                 tide_rc_text(self->stats.failure));
        break;
    }
    return check;
}

static struct check check_commit(const struct tide_self_view *self)
{
    struct check check = {.name = "commit"};

    check.verdict = self->state == TIDE_STORE_OK ? VERDICT_OK : VERDICT_FAILING;
    snprintf(check.detail, sizeof(check.detail), "%llu group commits, %llu failed since start",
             (unsigned long long)tide_counted(TIDE_COUNT_COMMITS),
             (unsigned long long)tide_counted(TIDE_COUNT_COMMIT_FAILURES));
    return check;
}

static struct check check_ingest(void)
{
    struct check check = {.name = "ingest"};

    snprintf(check.detail, sizeof(check.detail), "%llu connections open, %llu stalls since start",
             (unsigned long long)tide_counted(TIDE_COUNT_CONNECTIONS_OPEN),
             (unsigned long long)tide_counted(TIDE_COUNT_INGEST_STALLS));
    return check;
}

static struct check check_readers(const struct tide_self_view *self)
{
    struct check check = {.name = "readers"};

    if (self->stats.oldest_reader_us > READER_OLD_US)
        check.verdict = VERDICT_DEGRADED;
    snprintf(check.detail, sizeof(check.detail), "%llu open, oldest %.1f s",
             (unsigned long long)self->stats.readers, (double)self->stats.oldest_reader_us / 1e6);
    return check;
}

static struct check check_damage(void)
{
    struct check check = {.name = "data"};
    unsigned long long damaged = tide_counted(TIDE_COUNT_DAMAGED_VALUES);

    if (damaged > 0)
        check.verdict = VERDICT_DEGRADED;
    snprintf(check.detail, sizeof(check.detail), "%llu stored values failed their checksum",
             damaged);
    return check;
}

static enum tide_rc serve_live(const struct tide_call *call, struct tide_reply *reply)
{
    struct check check = check_loop();

    (void)call;
    put_checks(&check, 1, reply);
    return TIDE_OK;
}

static enum tide_rc serve_ready(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_self_view self;
    struct check check[2];

    tide_query_self(call->query, &self);
    check[0] = check_store(&self);
    check[1] = check_commit(&self);
    put_checks(check, 2, reply);
    return TIDE_OK;
}

static enum tide_rc serve_status(const struct tide_call *call, struct tide_reply *reply)
{
    struct tide_self_view self;
    struct check check[6];

    tide_query_self(call->query, &self);
    check[0] = check_loop();
    check[1] = check_store(&self);
    check[2] = check_commit(&self);
    check[3] = check_ingest();
    check[4] = check_readers(&self);
    check[5] = check_damage();
    put_checks(check, 6, reply);
    return TIDE_OK;
}

const struct tide_route tide_route_live = {
    .path = "/api/v3/health/live",
    .alias = "/livez",
    .summary = "The daemon answers",
    .serve = serve_live,
    .open = true,
};

const struct tide_route tide_route_ready = {
    .path = "/api/v3/health/ready",
    .alias = "/readyz",
    .summary = "The daemon takes events to disk",
    .serve = serve_ready,
    .open = true,
};

const struct tide_route tide_route_status = {
    .path = "/api/v3/health/status",
    .alias = "/healthz",
    .summary = "Every check of the daemon itself",
    .serve = serve_status,
};
