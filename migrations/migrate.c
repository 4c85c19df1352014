/* migrate - the list of steps, and the one who runs them; see the door.
 *
 * While a step is at work the store's number is that of the step with TIDE_RAW_UNDER_WAY set, and
 * the value `migration` of the table `meta` says where it is. Both change in the transactions of
 * the step itself, so there is no moment at which they and the values disagree.
 */
#include "tidemark/migrate.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "step.h"
#include "tidemark/bytes.h"
#include "tidemark/store.h"
#include "tidemark/verify.h"

static const struct tide_step *const steps[] = {&tide_m0002_clear_fleet_cpu};
#define STEPS (sizeof(steps) / sizeof(*steps))

static const char identity_key[] = "identity", place_key[] = "migration";

#define SLICE          4096
#define IDENTITY_MAX   256
#define VERIFY_HOLD_US 250000

const struct tide_migration *tide_migrations(size_t *ret_count)
{
    static struct tide_migration told[STEPS];

    for (size_t i = 0; i < STEPS; i++)
        told[i] = steps[i]->told;
    *ret_count = STEPS;
    return told;
}

enum tide_rc tide_migrate_look(const char *dir, struct tide_migration_state *ret,
                               struct tide_err *err)
{
    struct tide_raw_head head;
    enum tide_rc rc = tide_raw_look(dir, &head, err);

    *ret = (struct tide_migration_state){.schema = head.schema,
                                         .program = TIDE_STORE_SCHEMA,
                                         .under_way = head.under_way,
                                         .file_bytes = head.file_bytes};
    memcpy(ret->uuid, head.uuid, sizeof(ret->uuid));
    return rc;
}

/* ---- the number and the place, in the transaction at hand ---- */

static void put_number(struct tide_raw *raw, uint32_t number)
{
    struct tide_raw_item item = {.key_len = strlen(identity_key)};
    uint8_t value[IDENTITY_MAX];

    memcpy(item.key, identity_key, item.key_len);
    if (tide_raw_get(raw, "meta", &item) || item.len > sizeof(value))
        return; /* the end of the transaction says so */
    memcpy(value, item.payload, item.len);
    tide_put_be32(value, number);
    tide_raw_put(raw, "meta", identity_key, strlen(identity_key), value, item.len);
}

static void put_place(struct tide_raw *raw, const struct tide_raw_item *place)
{
    tide_raw_put(raw, "meta", place_key, strlen(place_key), place->key, place->key_len);
}

static enum tide_rc get_place(struct tide_raw *raw, struct tide_raw_item *place)
{
    struct tide_raw_item item = {.key_len = strlen(place_key)};
    enum tide_rc rc;

    memcpy(item.key, place_key, item.key_len);
    if ((rc = tide_raw_get(raw, "meta", &item)))
        return rc;
    if (item.len > sizeof(place->key))
        return TIDE_DAMAGED;
    memcpy(place->key, item.payload, item.len);
    place->key_len = item.len;
    return TIDE_OK;
}

/* ---- a step ---- */

/* What the store is after this transaction: at the same step, at the next, or finished. */
static void note_progress(struct tide_raw *raw, size_t i, const struct tide_step_work *work)
{
    static const struct tide_raw_item beginning;

    if (!work->done) {
        put_number(raw, TIDE_RAW_UNDER_WAY | steps[i]->told.to);
        put_place(raw, work->place);
    } else if (i + 1 < STEPS) {
        put_number(raw, TIDE_RAW_UNDER_WAY | steps[i + 1]->told.to);
        put_place(raw, &beginning);
    } else {
        put_number(raw, steps[i]->told.to);
        tide_raw_delete(raw, "meta", place_key, strlen(place_key));
    }
}

static enum tide_rc slice(const struct tide_migrate_cfg *cfg, struct tide_raw *raw, size_t i,
                          struct tide_raw_item *place, bool *ret_done, struct tide_migrated *sums,
                          struct tide_err *err)
{
    struct tide_step_work work = {
        .raw = raw, .budget = cfg->slice ? cfg->slice : SLICE, .place = place};
    enum tide_rc rc = tide_raw_begin(raw, err);

    if (rc)
        return rc;
    err->text[0] = '\0';
    if ((rc = steps[i]->run(&work, err))) {
        tide_raw_abort(raw);
        if (!err->text[0])
            tide_err_set(err, "a value fails its checksum");
        tide_err_wrap(err, "%s", steps[i]->told.name);
        return rc;
    }
    note_progress(raw, i, &work);
    if ((rc = tide_raw_end(raw, err)))
        return rc;
    sums->looked += work.looked;
    sums->changed += work.changed;
    sums->transactions++;
    *ret_done = work.done;
    return TIDE_OK;
}

static enum tide_rc run_step(const struct tide_migrate_cfg *cfg, struct tide_raw *raw, size_t i,
                             struct tide_raw_item *place, struct tide_migrated *sums,
                             struct tide_err *err)
{
    bool done = false;

    if (cfg->begun)
        cfg->begun(cfg->copy.arg, steps[i]->told.to, steps[i]->told.what);
    while (!done) {
        enum tide_rc rc = slice(cfg, raw, i, place, &done, sums, err);

        if (rc)
            return rc;
        if (!done && cfg->copy.go_on && !cfg->copy.go_on(cfg->copy.arg, sums->looked, -1)) {
            tide_err_set(err, "stopped; the next run goes on from here");
            return TIDE_STOPPED;
        }
    }
    place->key_len = 0;
    return TIDE_OK;
}

/* Where an earlier run was. */
static enum tide_rc find_place(struct tide_raw *raw, struct tide_raw_item *place,
                               struct tide_err *err)
{
    enum tide_rc rc = tide_raw_begin(raw, err);

    if (rc)
        return rc;
    rc = get_place(raw, place);
    tide_raw_abort(raw);
    if (rc)
        tide_err_set(err, "how far the migration got cannot be read; go back to the backup");
    return rc == TIDE_NOT_FOUND ? TIDE_DAMAGED : rc;
}

static enum tide_rc run_steps(const struct tide_migrate_cfg *cfg, struct tide_raw *raw,
                              const struct tide_raw_head *head, struct tide_migrated *sums,
                              struct tide_err *err)
{
    struct tide_raw_item place = {.key_len = 0};
    enum tide_rc rc = head->under_way ? find_place(raw, &place, err) : TIDE_OK;

    for (size_t i = 0; i < STEPS && !rc; i++) {
        uint32_t to = steps[i]->told.to;

        if (to > head->schema || (to == head->schema && head->under_way))
            rc = run_step(cfg, raw, i, &place, sums, err);
    }
    return rc;
}

/* ---- before and after ---- */

static enum tide_rc back_up(const struct tide_migrate_cfg *cfg, uint32_t schema,
                            struct tide_migrated *ret, struct tide_err *err)
{
    char path[TIDE_MIGRATE_PATH];
    size_t len = strlen(cfg->dir);
    enum tide_rc rc;
    int written;

    while (len > 1 && cfg->dir[len - 1] == '/')
        len--;
    written = cfg->backup
                  ? snprintf(path, sizeof(path), "%s", cfg->backup)
                  : snprintf(path, sizeof(path), "%.*s.schema-%u", (int)len, cfg->dir, schema);
    if (written < 0 || (size_t)written >= sizeof(path)) {
        tide_err_set(err, "the name of the backup is too long");
        return TIDE_USAGE;
    }
    if (cfg->begun)
        cfg->begun(cfg->copy.arg, 0, "backup");
    if (!(rc = tide_raw_backup(cfg->dir, path, &cfg->copy, err)))
        strcpy(ret->backup, path);
    return rc;
}

static enum tide_rc check(const struct tide_migrate_cfg *cfg, struct tide_migrated *ret,
                          struct tide_err *err)
{
    struct tide_verify_cfg verify = {.dir = cfg->dir,
                                     .hold_us = VERIFY_HOLD_US,
                                     .found = cfg->copy.found,
                                     .go_on = cfg->copy.go_on,
                                     .arg = cfg->copy.arg};
    struct tide_verified verified;
    enum tide_rc rc;

    if (cfg->begun)
        cfg->begun(cfg->copy.arg, 0, "verify");
    rc = tide_verify(&verify, &verified, err);
    if (!rc && verified.findings) {
        tide_err_set(err, "the migrated store is not sound: %llu findings",
                     (unsigned long long)verified.findings);
        rc = TIDE_DAMAGED;
    }
    if (rc == TIDE_STOPPED)
        tide_err_set(err, "stopped while it was verified; the migration itself is finished");
    else if (rc && ret->backup[0])
        tide_err_wrap(err, "go back to %s", ret->backup);
    ret->verified = !rc;
    return rc;
}

static enum tide_rc refuse_newer(const struct tide_raw_head *head, struct tide_err *err)
{
    if (head->schema <= TIDE_STORE_SCHEMA)
        return TIDE_OK;
    tide_err_set(err,
                 "the store has schema %u%s, of a newer tidemark; this one knows %u and older, and "
                 "there is no way back: use the newer one",
                 head->schema, head->under_way ? " (under way)" : "", TIDE_STORE_SCHEMA);
    return TIDE_SCHEMA;
}

enum tide_rc tide_migrate(const struct tide_migrate_cfg *cfg, struct tide_migrated *ret,
                          struct tide_err *err)
{
    struct tide_migrated sums = {.to = TIDE_STORE_SCHEMA};
    struct tide_raw_head head;
    struct tide_raw *raw;
    enum tide_rc rc;

    assert(steps[STEPS - 1]->told.to == TIDE_STORE_SCHEMA);
    if ((rc = tide_raw_look(cfg->dir, &head, err)) || (rc = refuse_newer(&head, err)))
        return rc;
    sums.from = head.under_way ? head.schema - 1 : head.schema;
    sums.resumed = head.under_way;
    if (sums.from == sums.to) {
        *ret = sums;
        return TIDE_OK;
    }
    if ((rc = tide_raw_open(cfg->dir, !cfg->dry_run, &raw, err)))
        return rc;
    /* The backup of a run that was killed is whole, or there would have been no first change. */
    if (!cfg->dry_run && !head.under_way)
        rc = back_up(cfg, head.schema, &sums, err);
    if (!rc)
        rc = run_steps(cfg, raw, &head, &sums, err);
    tide_raw_close(raw);
    if (!rc && !cfg->dry_run)
        rc = check(cfg, &sums, err);
    *ret = sums;
    return rc;
}
