/* The n-th allocation of a store fails, whoever makes it: the room itself, LMDB, the C library.
 *
 * What is promised: a call either returns TIDE_NO_MEMORY (or does without) and can be repeated, or
 * the process aborts, for the small bounded pieces that the room cannot go on without
 * (blob_reserve, the head). An abort is a crash like any other: nothing acked is lost by it. So
 * each life is lived in a process of its own that may end in SIGABRT, never by another signal; and
 * afterwards the store is as after the last step that had returned, or as after the one in flight.
 */
#include "life.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS  24
#define SKIPPED 77

/* ---- the allocator that fails ---- */

static struct {
    bool armed;
    bool for_ever; /* all from the n-th on, instead of it alone */
    uint64_t count, fail_at;
} memory;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0 /* the sanitizer has its own */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#endif
#endif
#if !defined(OWN_ALLOCATOR)
#ifdef __GLIBC__
#define OWN_ALLOCATOR 1
#else
#define OWN_ALLOCATOR 0
#endif
#endif

#if OWN_ALLOCATOR
static bool refused(void)
{
    if (!memory.armed || ++memory.count < memory.fail_at ||
        (memory.count > memory.fail_at && !memory.for_ever))
        return false;
    errno = ENOMEM;
    return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *start, size_t size);

void *malloc(size_t size)
{
    return refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refused() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *start, size_t size)
{
    return refused() ? NULL : __libc_realloc(start, size);
}
#endif

/* ---- a life with it ---- */

static uint64_t seed;
static struct life life;

static struct shared {
    unsigned steps;       /* that had returned, the opening counted */
    unsigned no_memory;   /* calls that said so */
    uint64_t allocations; /* in all */
    char wrong[200];
} * shared;

enum { LIVED = 0, WENT_WRONG = 1, NOT_REACHED = 2 };

static bool looks_right(const struct world *world, unsigned step, struct tide_err *err)
{
    struct life_known now;
    enum tide_rc rc;

    memory.armed = true;
    rc = life_look(world, &now, err);
    memory.armed = false;
    if (rc == TIDE_NO_MEMORY) {
        shared->no_memory++;
        rc = life_look(world, &now, err);
    }
    return rc == TIDE_OK && now.answer == life.known[step].answer;
}

/* What a step takes is made before memory gets short: the parcels are the sender's. */
static enum tide_rc take_short(struct world *world, unsigned i, struct tide_err *err)
{
    const struct life_step *step = &life.step[i];
    static struct tide_parcel parcel[PARCELS_MAX];
    struct tide_parcel *waiting[PARCELS_MAX];
    size_t taken;
    enum tide_rc rc;

    if (step->what != LIFE_COMMIT && step->what != LIFE_RESEND) {
        memory.armed = step->what != LIFE_ADVANCE;
        rc = life_take(world, &life, i, err);
        memory.armed = false;
        return rc;
    }
    for (unsigned p = 0; p < step->count; p++) {
        waiting[p] = &parcel[p];
        tide_parcel_init(&parcel[p], NULL);
        chunk_fill(world, &parcel[p], step->first + p, life.arrival_us[step->first], false);
    }
    memory.armed = true;
    rc = tide_store_commit(world->store, waiting, step->count, world->now_us, &taken, err);
    memory.armed = false;
    for (unsigned p = 0; p < step->count; p++)
        tide_parcel_fini(&parcel[p]);
    return rc;
}

static int go_wrong(unsigned step, const struct tide_err *err)
{
    snprintf(shared->wrong, sizeof(shared->wrong), "step %u: %.150s", step, err->text);
    return WENT_WRONG;
}

static int live(struct world *world, uint64_t fail_at, bool for_ever)
{
    struct tide_err err = {""};
    enum tide_rc rc;

    memory.count = 0;
    memory.fail_at = fail_at;
    memory.for_ever = for_ever;
    for (unsigned tries = 0;; tries++) {
        memory.armed = true;
        rc = world_try_open(world, &err);
        memory.armed = false;
        if (!rc)
            break;
        shared->no_memory += rc == TIDE_NO_MEMORY;
        if (for_ever)
            return LIVED;
        if (tries)
            return go_wrong(0, &err);
    }
    shared->steps = 1;
    for (unsigned i = 0; i < life.steps; i++) {
        rc = take_short(world, i, &err);
        if (rc) {
            shared->no_memory += rc == TIDE_NO_MEMORY;
            if (for_ever)
                return LIVED;
            if ((!world->store && life.step[i].what != LIFE_REOPEN) ||
                (world->store && !looks_right(world, i, &err)) || take_short(world, i, &err))
                return go_wrong(i, &err);
        }
        if (!looks_right(world, i + 1, &err) && !for_ever)
            return go_wrong(i, &err);
        shared->steps = i + 2;
    }
    world_close(world);
    shared->allocations = memory.count;
    return memory.count < fail_at ? NOT_REACHED : LIVED;
}

struct fates {
    unsigned lived, aborted, no_memory;
};

/* False: the life has fewer allocations. */
static bool survives(uint64_t fail_at, bool for_ever, struct fates *fates)
{
    struct life_known floor = {0};
    struct tide_err err = {""};
    struct world world;
    unsigned steps, reached;
    int status;
    pid_t pid;

    life_prepare(&world);
    memset(shared, 0, sizeof(*shared));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        if (!freopen("/dev/null", "w", stderr))
            _exit(WENT_WRONG);
        alarm(60);
        _exit(live(&world, fail_at, for_ever));
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == WENT_WRONG)
        fail_msg("allocation %llu: %s", (unsigned long long)fail_at, shared->wrong);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT)
        fail_msg("allocation %llu: died by signal %d after step %u", (unsigned long long)fail_at,
                 WTERMSIG(status), shared->steps);
    fates->lived += WIFEXITED(status);
    fates->aborted += WIFSIGNALED(status);
    fates->no_memory += shared->no_memory;
    steps = shared->steps ? shared->steps - 1 : 0;
    world.now_us = life.known[steps].now_us;
    if (world_try_open(&world, &err) ||
        !life_agrees(&world, &life, steps, true, &floor, &reached, &err))
        fail_msg("allocation %llu, after step %u: %s", (unsigned long long)fail_at, steps,
                 err.text);
    world_end(&world);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED);
}

static void tell(const struct fates *fates)
{
    printf("%u lived on, %u aborted, %u calls said no memory\n", fates->lived, fates->aborted,
           fates->no_memory);
}

static uint64_t allocations(void)
{
    struct fates fates = {0};

    assert_false(survives(UINT64_MAX, false, &fates));
    return shared->allocations;
}

static void i1_i3_hold_whichever_allocation_fails(void **state)
{
    uint64_t all = allocations(), stride = getenv("TIDE_LONG") ? 1 : 1 + all / 500;
    struct fates fates = {0};

    (void)state;
    for (uint64_t n = 1 + seed % stride; n <= all; n += stride)
        survives(n, false, &fates);
    printf("%llu allocations, every %llu: ", (unsigned long long)all, (unsigned long long)stride);
    tell(&fates);
    assert_true(fates.lived > 10);
    assert_true(fates.no_memory > 10);
}

static void i1_i3_hold_when_memory_runs_out_for_good(void **state)
{
    uint64_t all = allocations(), stride = getenv("TIDE_LONG") ? 1 : 1 + all / 100;
    struct fates fates = {0};

    (void)state;
    for (uint64_t n = 1 + seed % stride; n <= all; n += stride)
        survives(n, true, &fates);
    tell(&fates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i1_i3_hold_whichever_allocation_fails),
        cmocka_unit_test(i1_i3_hold_when_memory_runs_out_for_good),
    };
    struct world world;

    if (!OWN_ALLOCATOR) {
        printf("SKIPPED: this build has a sanitizer's allocator\n");
        return SKIPPED;
    }
    seed = tide_test_seed();
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    tide_log_set_level(TIDE_ERROR);
    life_make(&life, seed, ROUNDS);
    life_prepare(&world);
    life_learn(&world, &life, NULL);
    world_end(&world);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
