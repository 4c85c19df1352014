/* Bits flip in the data file while nobody looks. Each flip is made in a copy, in a byte of one of
 * three kinds - of a value, of a key, or of what LMDB and free pages make of the rest - and a
 * process of its own opens the copy and asks everything. A flip in a value is reported (by the
 * opening, by a walk, or in tidemark_damaged_values_total) or nobody was told anything of it; it
 * never changes an answer silently, and nobody dies of it.
 *
 * A flip in a key makes a value that nobody finds under its name: it is not served, and reading
 * every value tells of it. LMDB 0.9 has no checksums of its own pages: what a flip in them does is
 * counted and printed.
 */
#include "life.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE       ((size_t)4096)
#define ROUNDS     90
#define PATIENCE_S 60

static uint64_t seed;
static struct life life;

enum kind { OF_LMDB, OF_KEY, OF_VALUE, OF_FREE, KINDS };
static const char *const kind_name[KINDS] = {"LMDB's own pages", "keys", "values", "unused room"};

enum fate {
    SAME,     /* no answer differs */
    REPORTED, /* by an answer or the opening of the store, which was served without it */
    REFUSED,  /* the store does not open */
    FOUND,    /* an answer lacks something, and only reading every value tells of it */
    SILENT,
    DIED,
    HUNG,
    FATES
};

/* ---- which byte is what ---- */

static struct {
    uint8_t *bytes, *kind; /* the file, and of each byte enum kind */
    size_t len;
} whole;

static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &info), 0);
    whole.len = (size_t)info.st_size;
    whole.bytes = malloc(whole.len);
    whole.kind = calloc(1, whole.len);
    assert_true(whole.bytes && whole.kind);
    assert_int_equal(fread(whole.bytes, 1, whole.len, file), whole.len);
    fclose(file);
}

/* Where LMDB has mapped the file. */
static const uint8_t *map_of(const char *path)
{
    char line[2048];
    unsigned long long start = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps)) {
        line[strcspn(line, "\n")] = '\0';
        if (strlen(line) > strlen(path) && strcmp(line + strlen(line) - strlen(path), path) == 0 &&
            sscanf(line, "%llx-", &start) == 1)
            break;
    }
    fclose(maps);
    assert_true(start);
    return (const uint8_t *)(uintptr_t)start; /* NOLINT: an address out of a text */
}

static void mark(const uint8_t *map, const MDB_val *val, enum kind kind)
{
    size_t at = (size_t)((const uint8_t *)val->mv_data - map);

    assert_true(at + val->mv_size <= whole.len);
    memset(whole.kind + at, (int)kind, val->mv_size);
}

static unsigned half_word(const uint8_t *at)
{
    return at[0] | (unsigned)at[1] << 8; /* LMDB writes in the order of the machine: x86, ARM */
}

/* What LMDB reads of each page: its header, the pointers, and the nodes but for what is marked as
 * key or value later. The rest, and free pages, are unused. */
static void mark_pages(MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;

    memset(whole.kind, OF_FREE, whole.len);
    memset(whole.kind, OF_LMDB, 152); /* two meta pages */
    memset(whole.kind + PAGE, OF_LMDB, 152);
    for (size_t at = 2 * PAGE; at + PAGE <= whole.len; at += PAGE) {
        unsigned flags = half_word(whole.bytes + at + 10), lower = 16, upper = PAGE;

        if (flags & 3) { /* branch, leaf; not overflow */
            lower = half_word(whole.bytes + at + 12);
            upper = half_word(whole.bytes + at + 14);
        }
        if (lower < 16 || lower > upper || upper > PAGE)
            continue; /* never used */
        memset(whole.kind + at, OF_LMDB, lower);
        memset(whole.kind + at + upper, OF_LMDB, PAGE - upper);
    }
    assert_int_equal(mdb_cursor_open(txn, 0, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        const size_t *pages = value.mv_data;

        for (size_t i = 1; i <= pages[0]; i++)
            if ((pages[i] + 1) * PAGE <= whole.len)
                memset(whole.kind + pages[i] * PAGE, OF_FREE, PAGE);
    }
    mdb_cursor_close(cursor);
}

static void learn_bytes(const struct world *world)
{
    const uint8_t *map = map_of(world->store->data_path);
    MDB_txn *txn;

    read_file(world->store->data_path);
    assert_int_equal(mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn), 0);
    mark_pages(txn);
    for (int table = 0; table < TABLE_COUNT; table++) {
        MDB_cursor *cursor;
        MDB_val key, value;

        assert_int_equal(mdb_cursor_open(txn, world->store->dbi[table], &cursor), 0);
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            mark(map, &key, OF_KEY);
            mark(map, &value, OF_VALUE);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
}

/* ---- one flip ---- */

/* Some value does not fit its key, or cannot be reached. */
static bool found_by_reading_all(const struct world *world)
{
    bool found = false;
    MDB_txn *txn;

    if (mdb_txn_begin(world->store->env, NULL, MDB_RDONLY, &txn))
        return true;
    for (int table = 0; table < TABLE_COUNT && !found; table++) {
        MDB_cursor *cursor;
        MDB_val key, value;
        size_t len;
        int code = mdb_cursor_open(txn, world->store->dbi[table], &cursor);

        if (code)
            return true;
        while (!found && !(code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)))
            found = !value_sound(&key, &value, &len);
        found = found || code != MDB_NOTFOUND;
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return found;
}

static enum fate look_at(struct world *world)
{
    struct life_known now;
    struct tide_err err = {""};
    enum tide_rc rc;
    enum fate fate = SAME;

    if (world_try_open(world, &err))
        return REFUSED;
    rc = life_look(world, &now, &err);
    if (rc || tide_counted(TIDE_COUNT_DAMAGED_VALUES))
        fate = REPORTED;
    else if (now.answer != life.known[life.steps].answer)
        fate = found_by_reading_all(world) ? FOUND : SILENT;
    /* and it can still be written */
    advance(world, 500);
    rc = world_commit(world, life.chunks, 1, world->now_us, &err);
    if (!rc)
        rc = tide_store_seal(world->store, world->now_us, &err);
    if (!rc)
        rc = life_upkeep(world, &err);
    if (rc && fate == SAME)
        fate = REPORTED;
    world_close(world);
    return fate;
}

static enum fate flip(const struct world *world, size_t at, unsigned bit)
{
    char path[1200];
    enum fate fate;
    int status;
    FILE *file;
    pid_t pid;

    snprintf(path, sizeof(path), "%s/tidemark.mdb", world->cfg.dir);
    whole.bytes[at] ^= (uint8_t)(1u << bit);
    unlink(path);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(whole.bytes, 1, whole.len, file), whole.len);
    assert_int_equal(fclose(file), 0);
    whole.bytes[at] ^= (uint8_t)(1u << bit);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct world own = *world;

        setenv("CMOCKA_TEST_ABORT", "1", 1);
        if (!getenv("TIDE_VERBOSE") && !freopen("/dev/null", "w", stderr))
            abort();
        alarm(PATIENCE_S);
        _exit((int)look_at(&own));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        fate = WTERMSIG(status) == SIGALRM ? HUNG : DIED;
    else
        fate = (enum fate)WEXITSTATUS(status);
    assert_true(fate < FATES);
    if (getenv("TIDE_VERBOSE") && fate > REFUSED)
        printf("byte %zu of %s, bit %u: fate %d, status %x\n", at, kind_name[whole.kind[at]], bit,
               (int)fate, (unsigned)status);
    return fate;
}

static void flip_many(struct world *world, uint64_t *dice, enum kind kind, unsigned wanted,
                      unsigned fates[FATES])
{
    memset(fates, 0, FATES * sizeof(*fates));
    for (unsigned done = 0; done < wanted;) {
        size_t at = (size_t)tide_any_between(dice, 0, (int64_t)whole.len - 1);

        if (whole.kind[at] != kind)
            continue;
        fates[flip(world, at, (unsigned)tide_any_between(dice, 0, 7))]++;
        done++;
    }
    printf("%u flips in %s: %u no difference, %u reported, %u refused, "
           "%u found by reading all, %u silent, %u died, %u hung\n",
           wanted, kind_name[kind], fates[SAME], fates[REPORTED], fates[REFUSED], fates[FOUND],
           fates[SILENT], fates[DIED], fates[HUNG]);
}

static void i11_no_flipped_bit_of_a_value_is_served(void **state)
{
    unsigned long_run = getenv("TIDE_LONG") ? 20 : 1, fates[FATES];
    uint64_t dice = seed;
    struct world first, world;

    (void)state;
    life_make(&life, seed, ROUNDS);
    life_prepare(&first);
    life_learn(&first, &life, NULL);
    learn_bytes(&first);
    world_end(&first);
    life_prepare(&world);
    assert_int_equal(mkdir(world.cfg.dir, 0700), 0);
    world.now_us = life.known[life.steps].now_us;

    flip_many(&world, &dice, OF_VALUE, 120 * long_run, fates);
    assert_int_equal(fates[FOUND] + fates[SILENT] + fates[DIED] + fates[HUNG], 0);
    assert_true(fates[REPORTED] + fates[REFUSED] > 60 * long_run);
    flip_many(&world, &dice, OF_FREE, 20 * long_run, fates);
    assert_int_equal(fates[SAME], 20 * long_run);
    flip_many(&world, &dice, OF_KEY, 60 * long_run, fates);
    assert_int_equal(fates[SILENT] + fates[DIED] + fates[HUNG], 0);
    flip_many(&world, &dice, OF_LMDB, 60 * long_run, fates);
    free(whole.bytes);
    free(whole.kind);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(i11_no_flipped_bit_of_a_value_is_served)};

    seed = tide_test_seed();
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
