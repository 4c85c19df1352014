/* backup, restore, compact: a copy has the same values as its source, or is not there. */
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tidemark/backup.h"

struct shop {
    struct world world;
    char copy[300], other[300];
    uint64_t n;
    /* what go_on does */
    unsigned calls, stop_at; /* 0: never */
    bool commits;
    double share;
    uint64_t done_bytes;
    unsigned findings;
    struct tide_copy_cfg cfg;
};

static void hear(void *arg, const struct tide_finding *finding)
{
    struct shop *shop = arg;

    assert_true(finding->table[0] && finding->what[0]);
    shop->findings++;
}

static void live_on(struct shop *shop)
{
    advance(&shop->world, 80);
    must_seal(&shop->world);
    must_commit(&shop->world, shop->n++, 1);
}

/* Before each job: its progress begins at nothing. */
static void restart(struct shop *shop)
{
    shop->share = 0;
    shop->done_bytes = 0;
}

static bool go_on(void *arg, uint64_t done_bytes, double share)
{
    struct shop *shop = arg;

    assert_true(share >= shop->share && share <= 1);
    assert_true(share == 0 || done_bytes >= shop->done_bytes);
    shop->share = share;
    shop->done_bytes = share == 0 ? 0 : done_bytes;
    if (shop->commits)
        live_on(shop);
    return ++shop->calls != shop->stop_at;
}

static void shop_begin(struct shop *shop)
{
    *shop = (struct shop){.n = 1};
    world_prepare(&shop->world);
    shop->world.cfg.fold_after_s = 300;
    world_open(&shop->world);
    snprintf(shop->copy, sizeof(shop->copy), "%s/copy", shop->world.dir);
    snprintf(shop->other, sizeof(shop->other), "%s/other", shop->world.dir);
    shop->cfg = (struct tide_copy_cfg){
        .growth_bytes = UINT64_C(1) << 30, .found = hear, .go_on = go_on, .arg = shop};
    for (int i = 0; i < 60; i++)
        live_on(shop);
    advance(&shop->world, 7200);
    must_seal(&shop->world);
    must_upkeep(&shop->world);
}

static void shop_end(struct shop *shop)
{
    world_end(&shop->world);
}

static struct tide_verified verified(struct shop *shop, const char *dir)
{
    struct tide_verify_cfg cfg = {.dir = dir, .hold_us = INT64_MAX, .found = hear, .arg = shop};
    struct tide_verified result;
    struct tide_err err = {""};

    if (tide_verify(&cfg, &result, &err))
        fail_msg("%s", err.text);
    assert_int_equal(shop->findings, 0);
    assert_true(result.whole);
    return result;
}

/* The store goes on with the books that the model has. */
static void must_agree(struct shop *shop)
{
    struct tide_snapshot *snapshot;

    live_on(shop);
    snapshot = must_look(&shop->world);
    assert_memory_equal(&tide_snapshot_info(snapshot)->ledger, &shop->world.books,
                        sizeof(shop->world.books));
    tide_snapshot_close(snapshot);
}

static bool is_there(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

/* Neither the directory nor what it is called while it is made. */
static void must_be_gone(const char *path)
{
    char partial[400];

    snprintf(partial, sizeof(partial), "%s.partial", path);
    assert_false(is_there(path));
    assert_false(is_there(partial));
}

static enum tide_rc back_up(struct shop *shop, struct tide_manifest *manifest, struct tide_err *err)
{
    shop->calls = 0;
    restart(shop);
    return tide_backup(shop->world.cfg.dir, shop->copy, &shop->cfg, manifest, err);
}

static void a_copy_has_the_same_values(void **state)
{
    struct tide_verified source, copy, restored;
    struct tide_manifest manifest, back;
    struct tide_compacted compacted;
    struct tide_err err = {""};
    struct stat info;
    struct shop shop;

    (void)state;
    shop_begin(&shop);
    source = verified(&shop, shop.world.cfg.dir);
    if (back_up(&shop, &manifest, &err))
        fail_msg("%s", err.text);
    assert_true(shop.share == 1 && shop.calls > 3);
    copy = verified(&shop, shop.copy);
    assert_memory_equal(copy.hash, source.hash, sizeof(copy.hash));
    assert_int_equal(manifest.commit_seq, source.commit_seq);
    assert_int_equal(manifest.values, source.values);
    assert_int_equal(manifest.stored, source.ledger.stored);

    restart(&shop);
    if (tide_restore(shop.copy, &manifest, shop.other, &shop.cfg, &back, &err))
        fail_msg("%s", err.text);
    restored = verified(&shop, shop.other);
    assert_memory_equal(restored.hash, source.hash, sizeof(copy.hash));
    assert_string_equal(back.sha256, manifest.sha256);
    assert_true(stat(shop.other, &info) == 0 && (info.st_mode & 0777) == 0700);

    world_close(&shop.world);
    restart(&shop);
    if (tide_compact(shop.world.cfg.dir, &shop.cfg, &compacted, &err))
        fail_msg("%s", err.text);
    assert_true(compacted.after_bytes < compacted.before_bytes);
    assert_memory_equal(verified(&shop, shop.world.cfg.dir).hash, source.hash, sizeof(copy.hash));
    world_open(&shop.world);
    must_agree(&shop);

    /* the restored one is a store like any other */
    world_close(&shop.world);
    tide_test_dir_remove(shop.world.cfg.dir);
    assert_int_equal(rename(shop.other, shop.world.cfg.dir), 0);
    world_open(&shop.world);
    shop_end(&shop);
}

static void commits_go_on_during_a_backup_and_are_not_in_it(void **state)
{
    struct tide_manifest manifest;
    struct tide_err err = {""};
    struct shop shop;
    uint64_t seq;

    (void)state;
    shop_begin(&shop);
    seq = shop.world.store->state.commit_seq;
    shop.commits = true;
    if (back_up(&shop, &manifest, &err))
        fail_msg("%s", err.text);
    assert_int_equal(manifest.commit_seq, seq);
    assert_true(shop.world.store->state.commit_seq > seq);
    must_agree(&shop);
    verified(&shop, shop.copy);
    shop_end(&shop);
}

static void it_gives_up_when_the_store_grows_too_much(void **state)
{
    struct tide_manifest manifest;
    struct tide_err err = {""};
    struct shop shop;

    (void)state;
    shop_begin(&shop);
    shop.commits = true;
    shop.cfg.growth_bytes = 0;
    while (back_up(&shop, &manifest, &err) != TIDE_TOO_LARGE) { /* once the free pages are used */
        assert_true(is_there(shop.copy));
        tide_test_dir_remove(shop.copy);
        for (int i = 0; i < 20; i++)
            live_on(&shop);
    }
    assert_non_null(strstr(err.text, "grew"));
    must_be_gone(shop.copy);
    shop_end(&shop);
}

static void stopped_at_any_point_it_leaves_nothing(void **state)
{
    struct tide_manifest manifest, back;
    struct tide_err err = {""};
    struct shop shop;
    enum tide_rc rc = TIDE_STOPPED;

    (void)state;
    shop_begin(&shop);
    for (shop.stop_at = 1; rc == TIDE_STOPPED; shop.stop_at++) {
        rc = back_up(&shop, &manifest, &err);
        if (rc == TIDE_STOPPED)
            must_be_gone(shop.copy);
    }
    assert_int_equal(rc, TIDE_OK);
    rc = TIDE_STOPPED;
    for (shop.stop_at = 1; rc == TIDE_STOPPED; shop.stop_at++) {
        shop.calls = 0;
        restart(&shop);
        rc = tide_restore(shop.copy, &manifest, shop.other, &shop.cfg, &back, &err);
        if (rc == TIDE_STOPPED)
            must_be_gone(shop.other);
    }
    assert_int_equal(rc, TIDE_OK);
    assert_true(shop.stop_at > 4);
    shop_end(&shop);
}

static void a_damaged_store_is_not_backed_up(void **state)
{
    struct tide_manifest manifest;
    struct tide_compacted compacted;
    struct tide_err err = {""};
    struct shop shop;
    struct txn txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint8_t copy[4096];

    (void)state;
    shop_begin(&shop);
    txn_begin(&txn, shop.world.store->env, shop.world.store->dbi, true);
    assert_int_equal(mdb_cursor_open(txn.mdb, txn.dbi[TABLE_CHUNK_RAW], &cursor), 0);
    assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_LAST), 0);
    memcpy(copy, value.mv_data, value.mv_size);
    copy[value.mv_size / 2] ^= 1;
    value.mv_data = copy;
    assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
    mdb_cursor_close(cursor);
    assert_int_equal(txn_end(&txn, &err), TIDE_OK);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_DAMAGED);
    assert_int_equal(shop.findings, 1);
    must_be_gone(shop.copy);
    world_close(&shop.world);
    restart(&shop);
    assert_int_equal(tide_compact(shop.world.cfg.dir, &shop.cfg, &compacted, &err), TIDE_DAMAGED);
    world_open(&shop.world);
    shop_end(&shop);
}

/* Books that do not balance have sound checksums: only the second reading finds them. */
static void what_only_verify_finds_is_not_backed_up_either(void **state)
{
    struct tide_manifest manifest;
    struct store_state books;
    struct tide_err err = {""};
    struct shop shop;
    struct txn txn;

    (void)state;
    shop_begin(&shop);
    books = shop.world.store->state;
    books.ledger.received++;
    txn_begin(&txn, shop.world.store->env, shop.world.store->dbi, true);
    schema_put_state(&txn, &books);
    assert_int_equal(txn_end(&txn, &err), TIDE_OK);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_DAMAGED);
    assert_true(shop.findings > 0);
    must_be_gone(shop.copy);
    shop_end(&shop);
}

static void nothing_is_overwritten(void **state)
{
    struct tide_manifest manifest, wrong, back;
    struct tide_compacted compacted;
    struct tide_err err = {""};
    char path[500];
    struct shop shop;
    int fd;

    (void)state;
    shop_begin(&shop);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_OK);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_DUPLICATE);
    assert_int_equal(tide_compact(shop.world.cfg.dir, &shop.cfg, &compacted, &err), TIDE_LOCKED);
    assert_int_equal(tide_restore(shop.copy, &manifest, shop.world.cfg.dir, &shop.cfg, &back, &err),
                     TIDE_LOCKED);
    restart(&shop);
    assert_int_equal(tide_restore(shop.copy, &manifest, shop.copy, &shop.cfg, &back, &err),
                     TIDE_DUPLICATE);
    wrong = manifest;
    wrong.commit_seq++;
    assert_int_equal(tide_restore(shop.copy, &wrong, shop.other, &shop.cfg, &back, &err),
                     TIDE_DAMAGED);
    assert_non_null(strstr(err.text, "commit_seq"));
    must_be_gone(shop.other);
    assert_int_equal(mkdir(shop.other, 0700), 0); /* empty: may be used */
    restart(&shop);
    assert_int_equal(tide_restore(shop.copy, &manifest, shop.other, &shop.cfg, &back, &err),
                     TIDE_OK);

    /* somebody's directory of the name that we would work under */
    tide_test_dir_remove(shop.copy);
    snprintf(path, sizeof(path), "%s.partial", shop.copy);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s.partial/thesis.txt", shop.copy);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_DUPLICATE);
    assert_true(is_there(path));
    unlink(path);
    assert_int_equal(back_up(&shop, &manifest, &err), TIDE_OK);
    shop_end(&shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_the_same_values),
        cmocka_unit_test(commits_go_on_during_a_backup_and_are_not_in_it),
        cmocka_unit_test(it_gives_up_when_the_store_grows_too_much),
        cmocka_unit_test(stopped_at_any_point_it_leaves_nothing),
        cmocka_unit_test(a_damaged_store_is_not_backed_up),
        cmocka_unit_test(what_only_verify_finds_is_not_backed_up_either),
        cmocka_unit_test(nothing_is_overwritten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
