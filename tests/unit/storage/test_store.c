/* store: who may open it, what a commit promises, and what a commit that fails leaves behind. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <dlfcn.h>

#include "key.h"
#include "tidemark/bytes.h"

/* ---- a write of LMDB's meta page that fails ---- */

static bool break_meta;

/* liblmdb's pwrite comes by here. Meta pages are the first two of the file. */
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset);
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "pwrite");
    if (break_meta && offset < 2 * 4096) {
        errno = EIO;
        return -1;
    }
    return next(fd, data, len, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    return pwrite(fd, data, len, offset);
}

/* ---- opening ---- */

static void check_refused(struct world *world, const struct tide_store_cfg *cfg, enum tide_rc rc,
                          const char *text)
{
    struct tide_store *store = NULL;
    struct tide_err err = {""};

    (void)world;
    assert_int_equal(tide_store_open(cfg, &store, &err), rc);
    assert_null(store);
    if (!strstr(err.text, text))
        fail_msg("`%s` does not say `%s`", err.text, text);
}

static void a_second_open_is_refused_and_names_the_process(void **state)
{
    struct world world;
    char holder[1200];
    int status;
    pid_t pid;

    (void)state;
    world_begin(&world);
    snprintf(holder, sizeof(holder), "%s is in use by process %ld", world.cfg.dir, (long)getpid());
    check_refused(&world, &world.cfg, TIDE_LOCKED, holder);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct tide_store *store;
        struct tide_err err = {""};
        enum tide_rc rc = tide_store_open(&world.cfg, &store, &err);

        _exit(rc == TIDE_LOCKED && strstr(err.text, holder) ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    must_commit(&world, 1, 1); /* the refusals did no harm */
    world_reopen(&world);
    compare_now(&world);
    world_end(&world);
}

static void a_lock_ends_with_its_process(void **state)
{
    struct world world;
    int status;
    pid_t pid;

    (void)state;
    world_prepare(&world);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct tide_err err = {""};

        _exit(world_try_open(&world, &err) ? 1 : 0); /* not closed */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    world_open(&world);
    world_end(&world);
}

static void another_interval_is_refused_with_what_to_do(void **state)
{
    struct world world;
    struct tide_store_cfg other;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 1);
    world_close(&world);
    other = world.cfg;
    other.interval_s = 30;
    check_refused(&world, &other, TIDE_CONFIG,
                  "the store was created with aggregation.interval_s 10 and cannot be opened with "
                  "30; set it back, or choose another data directory");
    world_open(&world); /* and everything else may change */
    world_close(&world);
    world.cfg.grace_s = 300;
    world.cfg.max_modules = 1;
    world.cfg.dedup_max_chunks = 1;
    world_open(&world);
    compare_now(&world);
    world_end(&world);
}

/* Writes a value of the meta table, with its checksum. */
static void put_meta(struct world *world, const char *key, const void *value, size_t len)
{
    struct txn txn;
    struct tide_err err = {""};

    txn_begin(&txn, world->store->env, world->store->dbi, true);
    txn_put(&txn, TABLE_META, key, strlen(key), value, len, 0);
    assert_int_equal(txn_end(&txn, &err), TIDE_OK);
}

static void another_schema_is_refused_by_number(void **state)
{
    uint8_t identity[40] = {0};
    struct world world;

    (void)state;
    world_begin(&world);
    tide_put_be32(identity, TIDE_STORE_SCHEMA + 1);
    put_meta(&world, "identity", identity, 40);
    world_close(&world);
    check_refused(&world, &world.cfg, TIDE_SCHEMA, "schema 3, made by a newer tidemark");
    world_end(&world);
    world_begin(&world);
    tide_put_be32(identity, TIDE_STORE_SCHEMA - 1);
    put_meta(&world, "identity", identity, 40);
    world_close(&world);
    check_refused(&world, &world.cfg, TIDE_SCHEMA, "'tidemark migrate' makes a backup");
    world_end(&world);
    world_begin(&world);
    tide_put_be32(identity, TIDE_STORE_SCHEMA | UINT32_C(0x80000000));
    put_meta(&world, "identity", identity, 40);
    world_close(&world);
    check_refused(&world, &world.cfg, TIDE_SCHEMA, "begun and is not finished");
    world_end(&world);
}

static void a_store_that_lost_its_state_is_not_taken_for_a_new_one(void **state)
{
    static const char *const key[] = {"identity", "state"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world world;
        uint8_t nonsense[40] = {0,    0,    0,    TIDE_STORE_SCHEMA,
                                0xff, 0xff, 0xff, 0xff,
                                0xff, 0xff, 0xff, 0xff,
                                0xff, 0xff, 0xff, 0xff};

        world_begin(&world);
        must_commit(&world, 1, 1);
        put_meta(&world, key[i], nonsense, i ? 3 : 40);
        world_close(&world);
        check_refused(&world, &world.cfg, TIDE_DAMAGED, "store");
        world_end(&world);
    }
}

static void a_path_that_is_no_directory_is_refused(void **state)
{
    struct world world;
    struct tide_store_cfg cfg;
    FILE *file;

    (void)state;
    world_prepare(&world);
    cfg = world.cfg;
    snprintf(cfg.dir, sizeof(cfg.dir), "%s/file", world.dir);
    file = fopen(cfg.dir, "w");
    assert_non_null(file);
    fclose(file);
    check_refused(&world, &cfg, TIDE_IO, "is not a directory");
    snprintf(cfg.dir, sizeof(cfg.dir), "%s/no/such/parent", world.dir);
    check_refused(&world, &cfg, TIDE_IO, "No such file or directory");
    tide_store_close(NULL);
    world_end(&world);
}

static void a_file_that_is_no_store_is_refused(void **state)
{
    struct world world;
    char path[1200];
    FILE *file;

    (void)state;
    world_begin(&world);
    world_close(&world);
    snprintf(path, sizeof(path), "%s/tidemark.mdb", world.cfg.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        fputs("these are not the bytes of a store\n", file);
    fclose(file);
    check_refused(&world, &world.cfg, TIDE_DAMAGED, "tidemark.mdb");
    world_end(&world);
}

static void seeds_are_those_of_the_store_for_its_life(void **state)
{
    struct world world, other;
    uint64_t instance, identity;

    (void)state;
    world_begin(&world);
    instance = tide_store_instance_seed(world.store);
    identity = tide_store_identity_seed(world.store);
    world_reopen(&world);
    assert_true(tide_store_instance_seed(world.store) == instance);
    assert_true(tide_store_identity_seed(world.store) == identity);
    world_begin(&other);
    assert_false(tide_store_identity_seed(other.store) == identity);
    world_end(&other);
    world_end(&world);
}

/* ---- committing ---- */

static void a_chunk_is_visible_when_its_commit_returns_and_after_reopening(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    compare_now(&world);
    for (uint64_t n = 1; n <= 30; n += 3) {
        must_commit(&world, n, 3);
        compare_now(&world);
        advance(&world, 4);
    }
    world_reopen(&world);
    compare_now(&world);
    world_end(&world);
}

static void a_chunk_known_from_before_is_counted_and_not_folded(void **state)
{
    struct world world;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 4);
    assert_int_equal(world.books.chunks_committed, 4);
    must_commit(&world, 3, 4); /* two old, two new, in one group */
    assert_int_equal(world.books.chunks_committed, 6);
    assert_int_equal(world.books.chunks_duplicate, 2);
    compare_now(&world);
    world_reopen(&world);
    must_commit(&world, 1, 6);
    assert_int_equal(world.books.chunks_duplicate, 8);
    compare_now(&world);
    world_end(&world);
}

static void what_has_no_chunk_is_stored_and_counts_no_chunk(void **state)
{
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    world_begin(&world);
    for (int i = 0; i < 3; i++)
        must_commit_one(&world, "auth", world.now_us);
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_info(snapshot)->ledger.stored, 3);
    assert_int_equal(tide_snapshot_info(snapshot)->ledger.chunks_committed, 0);
    assert_int_equal(walked_requests(snapshot, id_of(snapshot, "auth")), 3);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static void a_rejected_chunk_is_in_the_books_and_in_nothing_else(void **state)
{
    struct world world;
    struct tide_parcel parcel;
    struct tide_snapshot *snapshot;

    (void)state;
    world_begin(&world);
    tide_parcel_init(&parcel, NULL);
    tide_parcel_reject_chunk(&parcel, TIDE_CHUNK_TOO_LARGE);
    parcel.chunk_len = 5;
    must_commit_parcel(&world, &parcel);
    assert_int_equal(parcel.fate, TIDE_FATE_COMMITTED); /* acked: it would never get better */
    tide_parcel_fini(&parcel);
    world_reopen(&world);
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_info(snapshot)->ledger.chunks_rejected[TIDE_CHUNK_TOO_LARGE], 1);
    assert_int_equal(tide_snapshot_info(snapshot)->ledger.chunks_committed, 0);
    assert_int_equal(tide_snapshot_info(snapshot)->modules, 0);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

static bool note_flags(void *arg, uint32_t module, int64_t start_s,
                       const struct tide_record *record, unsigned flags)
{
    unsigned *seen = arg; /* by interval, counted back from T0_S */

    (void)module;
    seen[(T0_S - start_s) / INTERVAL_S] = 100 * flags + (unsigned)record->tally.requests;
    return true;
}

static void a_late_event_is_in_its_own_interval_and_flagged(void **state)
{
    struct world world;
    struct tide_snapshot *before, *after;
    uint32_t auth;

    (void)state;
    world_begin(&world);
    must_commit_one(&world, "auth", T0_US);
    must_commit_one(&world, "auth", T0_US - 10000000);
    must_commit_one(&world, "web", T0_US - 10000000);
    advance(&world, 3); /* past the grace of the older interval */
    must_seal(&world);
    before = must_look(&world);
    must_commit_one(&world, "auth", T0_US - 10000000); /* there is a row */
    must_commit_one(&world, "auth", T0_US - 30000000); /* there is none */
    for (int round = 0; round < 2; round++) {
        unsigned seen[4] = {0};

        after = must_look(&world);
        auth = id_of(after, "auth");
        assert_int_equal(tide_snapshot_walk(after, auth, 0, FOREVER_S, note_flags, seen), TIDE_OK);
        assert_int_equal(seen[0], 100 * TIDE_PART_OPEN + 1);
        assert_int_equal(seen[1], 100 * TIDE_PART_CORRECTED + 2);
        assert_int_equal(seen[3], 100 * TIDE_PART_CORRECTED + 1);
        memset(seen, 0, sizeof(seen));
        assert_int_equal(tide_snapshot_walk(after, TIDE_FLEET, 0, FOREVER_S, note_flags, seen),
                         TIDE_OK);
        assert_int_equal(seen[1], 100 * TIDE_PART_CORRECTED + 3);
        assert_int_equal(walked_requests(after, id_of(after, "web")), 1);
        assert_int_equal(tide_snapshot_fleet_total(after)->tally.requests, 5);
        tide_snapshot_close(after);
        if (round == 0) { /* who looked before does not see it */
            assert_int_equal(walked_requests(before, auth), 2);
            assert_int_equal(walked_requests(before, TIDE_FLEET), 3);
            tide_snapshot_close(before);
            world_reopen(&world);
        }
    }
    world_end(&world);
}

static void names_beyond_max_modules_are_booked_to_overflow_and_stay_there(void **state)
{
    static const char *const name[] = {"a", "b", "c", "d", "e"};
    struct world world;
    struct tide_snapshot *snapshot;

    (void)state;
    world_prepare(&world);
    world.cfg.max_modules = 2;
    world_open(&world);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++)
            must_commit_one(&world, name[i], world.now_us);
        world_reopen(&world);
    }
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_info(snapshot)->modules, 3);
    assert_int_equal(walked_requests(snapshot, id_of(snapshot, "a")), 2);
    assert_int_equal(walked_requests(snapshot, id_of(snapshot, TIDE_OVERFLOW_MODULE)), 6);
    assert_int_equal(walked_requests(snapshot, TIDE_FLEET), 10);
    assert_int_equal(tide_snapshot_info(snapshot)->ledger.stored, 10);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

/* A journal entry of more than 64 MiB: many modules, each with an error and a slowest id. */
static void the_largest_group_is_replayed(void **state)
{
    enum { CHUNKS = 3, EACH = 55000 };
    static char text[TIDE_ERROR_TEXT_MAX];
    struct world world;
    struct tide_parcel parcel[CHUNKS];
    struct tide_parcel *waiting[CHUNKS];
    struct tide_snapshot *snapshot;
    struct tide_err err = {""};
    uint64_t damaged_before;
    size_t taken;

    (void)state;
    memset(text, 'x', sizeof(text));
    world_prepare(&world);
    world.cfg.max_modules = 1000000;
    world_open(&world);
    for (int c = 0; c < CHUNKS; c++) {
        waiting[c] = &parcel[c];
        tide_parcel_init(&parcel[c], NULL);
        for (int i = 0; i < EACH; i++) {
            char name[40];
            struct tide_event ev;

            snprintf(name, sizeof(name), "module-%d", c * EACH + i);
            ev = response_at(name, world.now_us);
            ev.error = (struct tide_text){text, sizeof(text)};
            ev.correlation = (struct tide_text){text, TIDE_ID_MAX};
            tide_parcel_fold(&parcel[c], &world.rules, &ev, world.now_us);
        }
    }
    if (tide_store_commit(world.store, waiting, CHUNKS, world.now_us, &taken, &err))
        fail_msg("commit: %s", err.text);
    assert_int_equal(taken, CHUNKS);
    for (int c = 0; c < CHUNKS; c++)
        tide_parcel_fini(&parcel[c]);
    assert_true(table_entries(&world, TABLE_JOURNAL) > (64u << 20) / TIDE_VALUE_PAGE);
    damaged_before = tide_counted(TIDE_COUNT_DAMAGED_VALUES);
    world_reopen(&world);
    assert_int_equal(tide_counted(TIDE_COUNT_DAMAGED_VALUES), damaged_before);
    snapshot = must_look(&world);
    assert_int_equal(tide_snapshot_fleet_total(snapshot)->tally.requests, CHUNKS * EACH);
    assert_int_equal(walked_requests(snapshot, CHUNKS * EACH), 1);
    tide_snapshot_close(snapshot);
    world_end(&world);
}

/* ---- commits that fail ---- */

/* The same chunk fails, changes nothing that can be seen, and still is no duplicate. */
static void check_failed_commit(struct world *world, uint64_t n, enum tide_rc rc,
                                enum tide_store_state state)
{
    struct tide_snapshot *before = must_look(world), *after;
    uint64_t identities = identity_count(world->store->identities);
    uint32_t modules = modules_count(world->store->modules);
    struct tide_err err = {""};

    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_commit(world, n, 2, world->now_us, &err), rc);
        assert_true(err.text[0]);
        assert_int_equal(tide_store_state(world->store), state);
        assert_int_equal(identity_count(world->store->identities), identities);
        assert_int_equal(modules_count(world->store->modules), modules);
    }
    after = must_look(world);
    assert_int_equal(tide_snapshot_info(after)->commit_seq, tide_snapshot_info(before)->commit_seq);
    compare(world, before);
    compare(world, after);
    tide_snapshot_close(before);
    tide_snapshot_close(after);
}

static void a_full_map_keeps_everything_and_a_larger_one_goes_on(void **state)
{
    struct world world;
    struct tide_err err = {""};
    uint64_t n = 1;

    (void)state;
    world_prepare(&world);
    world.cfg.map_bytes = 64 * 4096;
    world_open(&world);
    while (!world_commit(&world, n, 2, world.now_us, &err))
        n += 2;
    assert_true(n > 5);
    check_failed_commit(&world, n, TIDE_DISK_FULL, TIDE_STORE_FULL);
    assert_string_equal(tide_store_state_name(tide_store_state(world.store)), "full");
    world_reopen(&world);
    check_failed_commit(&world, n, TIDE_DISK_FULL, TIDE_STORE_FULL);
    world_close(&world);
    world.cfg.map_bytes = UINT64_C(1) << 30;
    world_open(&world);
    must_commit(&world, n, 2);
    assert_int_equal(world.books.chunks_duplicate, 0);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK);
    compare_now(&world);
    must_commit(&world, 1, 2);
    assert_int_equal(world.books.chunks_duplicate, 2);
    world_end(&world);
}

/* The system refuses to let the file grow, and later allows it. */
static void a_write_that_fails_is_taken_back_and_the_retry_succeeds(void **state)
{
    struct world world;
    struct rlimit whole, tight;
    struct tide_err err = {""};
    uint64_t n = 1;

    (void)state;
    world_begin(&world);
    must_commit(&world, n, 2);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &whole), 0);
    tight = whole;
    tight.rlim_cur = 40 * 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    do
        n += 2;
    while (!world_commit(&world, n, 2, world.now_us, &err));
    check_failed_commit(&world, n, TIDE_IO, TIDE_STORE_IN_DOUBT);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &whole), 0);
    must_commit(&world, n, 2);
    assert_int_equal(world.books.chunks_duplicate, 0);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK);
    compare_now(&world);
    world_reopen(&world);
    compare_now(&world);
    world_end(&world);
}

/* LMDB does not trust itself after that, and takes no transaction until it is opened anew. */
static void a_meta_page_that_cannot_be_written_is_survived_without_a_restart(void **state)
{
    struct world world;
    struct tide_snapshot *reader;
    struct tide_err err = {""};

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 2);
    reader = must_look(&world);
    break_meta = true;
    for (int i = 0; i < 3; i++) {
        assert_int_not_equal(world_commit(&world, 3, 2, world.now_us, &err), TIDE_OK);
        assert_int_not_equal(tide_store_state(world.store), TIDE_STORE_OK);
    }
    break_meta = false;
    /* not while a reader is in it */
    assert_int_equal(world_commit(&world, 3, 2, world.now_us, &err), TIDE_IN_DOUBT);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_IN_DOUBT);
    compare(&world, reader);
    tide_snapshot_close(reader);
    must_commit(&world, 3, 2);
    assert_int_equal(world.books.chunks_committed, 4);
    assert_int_equal(tide_store_state(world.store), TIDE_STORE_OK);
    compare_now(&world);
    world_reopen(&world);
    must_commit(&world, 1, 4);
    assert_int_equal(world.books.chunks_committed, 4);
    compare_now(&world);
    world_end(&world);
}

/* ---- figures ---- */

static void figures_tell_readers_and_identities(void **state)
{
    struct world world;
    struct tide_store_stats stats;
    struct tide_snapshot *first, *second;

    (void)state;
    world_begin(&world);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.readers, 0);
    assert_int_equal(stats.identities, 0);
    assert_int_equal(stats.oldest_identity_us, 0);
    must_commit(&world, 1, 3);
    first = must_look(&world);
    advance(&world, 5);
    second = must_look(&world);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.readers, 2);
    assert_int_equal(stats.oldest_reader_us, 5000000);
    assert_int_equal(stats.identities, 3);
    assert_string_equal(stats.identity_bound, "window");
    assert_true(stats.file_bytes > 0 && stats.used_bytes > 0);
    tide_snapshot_close(first);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.readers, 1);
    assert_int_equal(stats.oldest_reader_us, 0);
    tide_snapshot_close(second);
    world_reopen(&world);
    tide_store_stats(world.store, &stats);
    assert_int_equal(stats.identities, 3);
    assert_int_equal(stats.oldest_identity_us, T0_US);
    world_end(&world);
}

static void tables_tell_how_many_values_they_have_and_what_those_take(void **state)
{
    struct tide_store_table table[TIDE_STORE_TABLES];
    struct tide_store_stats stats;
    struct tide_err err = {""};
    struct world world;
    uint64_t sum = 0;
    size_t count;

    (void)state;
    world_begin(&world);
    must_commit(&world, 1, 3);
    must_commit(&world, 4, 1);
    assert_int_equal(tide_store_tables(world.store, table, &count, &err), TIDE_OK);
    assert_true(count >= 8);
    tide_store_stats(world.store, &stats);
    for (size_t i = 0; i < count; i++) {
        sum += table[i].bytes;
        assert_int_equal(table[i].values > 0, table[i].bytes > 0);
        if (strcmp(table[i].name, "identity") == 0 || strcmp(table[i].name, "journal") == 0)
            assert_int_equal(table[i].values, 2); /* one per commit */
    }
    assert_true(sum > 0 && sum < stats.used_bytes);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_tell_how_many_values_they_have_and_what_those_take),
        cmocka_unit_test(a_second_open_is_refused_and_names_the_process),
        cmocka_unit_test(a_lock_ends_with_its_process),
        cmocka_unit_test(another_interval_is_refused_with_what_to_do),
        cmocka_unit_test(another_schema_is_refused_by_number),
        cmocka_unit_test(a_store_that_lost_its_state_is_not_taken_for_a_new_one),
        cmocka_unit_test(a_path_that_is_no_directory_is_refused),
        cmocka_unit_test(a_file_that_is_no_store_is_refused),
        cmocka_unit_test(seeds_are_those_of_the_store_for_its_life),
        cmocka_unit_test(a_chunk_is_visible_when_its_commit_returns_and_after_reopening),
        cmocka_unit_test(a_chunk_known_from_before_is_counted_and_not_folded),
        cmocka_unit_test(what_has_no_chunk_is_stored_and_counts_no_chunk),
        cmocka_unit_test(a_rejected_chunk_is_in_the_books_and_in_nothing_else),
        cmocka_unit_test(a_late_event_is_in_its_own_interval_and_flagged),
        cmocka_unit_test(names_beyond_max_modules_are_booked_to_overflow_and_stay_there),
        cmocka_unit_test(the_largest_group_is_replayed),
        cmocka_unit_test(a_full_map_keeps_everything_and_a_larger_one_goes_on),
        cmocka_unit_test(a_write_that_fails_is_taken_back_and_the_retry_succeeds),
        cmocka_unit_test(a_meta_page_that_cannot_be_written_is_survived_without_a_restart),
        cmocka_unit_test(figures_tell_readers_and_identities),
    };

    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
