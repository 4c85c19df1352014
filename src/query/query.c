/* query - its life, the thresholds in force, and the questions that need no window: the books and
 * the state of the store.
 */
#include "current.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void rules_free(struct tide_rules *rules)
{
    free(rules->health.rule);
    free(rules);
}

static struct tide_rules *rules_new(const struct tide_health_rules *health)
{
    struct tide_rules *rules = calloc(1, sizeof(*rules));

    if (!rules)
        return NULL;
    rules->holders = 1;
    rules->health = *health;
    rules->health.rule = NULL;
    if (health->rules == 0)
        return rules;
    rules->health.rule = malloc(health->rules * sizeof(*health->rule));
    if (!rules->health.rule) {
        free(rules);
        return NULL;
    }
    memcpy(rules->health.rule, health->rule, health->rules * sizeof(*health->rule));
    return rules;
}

struct tide_rules *tide_rules_take(struct tide_query *query)
{
    struct tide_rules *rules;

    pthread_mutex_lock(&query->lock);
    rules = query->rules;
    rules->holders++;
    pthread_mutex_unlock(&query->lock);
    return rules;
}

void tide_rules_put(struct tide_query *query, struct tide_rules *rules)
{
    bool last;

    if (!rules)
        return;
    pthread_mutex_lock(&query->lock);
    assert(rules->holders > 0);
    last = --rules->holders == 0;
    pthread_mutex_unlock(&query->lock);
    if (last)
        rules_free(rules);
}

enum tide_rc tide_query_reload_health(struct tide_query *query,
                                      const struct tide_health_rules *health, struct tide_err *err)
{
    struct tide_rules *rules = rules_new(health), *old;

    if (!rules) {
        tide_err_set(err, "query: no memory for %zu health rules", health->rules);
        return TIDE_NO_MEMORY;
    }
    pthread_mutex_lock(&query->lock);
    old = query->rules;
    query->rules = rules;
    pthread_mutex_unlock(&query->lock);
    tide_rules_put(query, old);
    return TIDE_OK;
}

enum tide_rc tide_query_open(const struct tide_query_cfg *cfg, struct tide_store *store,
                             struct tide_query **ret, struct tide_err *err)
{
    struct tide_query *query = calloc(1, sizeof(*query));
    struct tide_snapshot *snapshot = NULL;
    enum tide_rc rc;

    assert(cfg->window_s > 0);
    if (!query || !(query->rules = rules_new(&cfg->health))) {
        free(query);
        tide_err_set(err, "query: out of memory");
        return TIDE_NO_MEMORY;
    }
    pthread_mutex_init(&query->lock, NULL);
    query->cfg = *cfg;
    query->cfg.health = (struct tide_health_rules){0};
    query->store = store;
    rc = tide_snapshot_open(store, &snapshot, err);
    if (rc) {
        tide_query_close(query);
        return rc;
    }
    query->interval_s = tide_snapshot_info(snapshot)->interval_s;
    tide_snapshot_close(snapshot);
    *ret = query;
    return TIDE_OK;
}

void tide_query_close(struct tide_query *query)
{
    if (!query)
        return;
    tide_rules_put(query, query->rules);
    pthread_mutex_destroy(&query->lock);
    free(query);
}

enum tide_rc tide_query_ledger(struct tide_query *query, struct tide_ledger *ret,
                               struct tide_err *err)
{
    struct tide_snapshot *snapshot = NULL;
    enum tide_rc rc = tide_snapshot_open(query->store, &snapshot, err);

    if (rc)
        return rc;
    *ret = tide_snapshot_info(snapshot)->ledger;
    tide_snapshot_close(snapshot);
    return TIDE_OK;
}

void tide_query_self(struct tide_query *query, struct tide_self_view *ret)
{
    ret->state = tide_store_state(query->store);
    tide_store_stats(query->store, &ret->stats);
}

struct tide_window_bounds tide_query_window_bounds(const struct tide_query *query)
{
    return (struct tide_window_bounds){query->interval_s, query->cfg.raw_s};
}
