/* A store's process is killed at its n-th write or sync, or told by the system that it failed, with
 * strace's hand in the calls. The process is this program once more: it lives a life and leaves a
 * byte in a file for every step that had returned. Afterwards the store must be as after the last
 * of these steps, or as after the one in flight, and live on.
 *
 * Skipped, visibly, where strace is not there or may not trace.
 */
#include "life.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS  50
#define SKIPPED 77

/* What changes the disk; acks go by write, which is not among them. */
#define CALLS "pwrite64,writev,fdatasync,fsync,lseek,rename"

enum { LIVED = 0, GAVE_UP = 3, WENT_WRONG = 4 };

static uint64_t seed;
static struct life life;

/* ---- the process that suffers ---- */

/* A step that fails shows it, and leaves everything as it was. */
static bool failure_is_seen(const struct world *world, uint64_t answer)
{
    struct life_known now;
    struct tide_err err;

    if (!world->store)
        return true;
    if (tide_store_state(world->store) == TIDE_STORE_OK)
        return false;
    return life_look(world, &now, &err) != TIDE_OK || now.answer == answer;
}

static int live(const char *dir, uint64_t of_seed, const char *acks, unsigned tries)
{
    int fd = open(acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct life_known before = {0};
    struct tide_err err = {""};
    struct world world;
    unsigned tried = 1;

    setenv("CMOCKA_TEST_ABORT", "1", 1);
    life_make(&life, of_seed, ROUNDS);
    life_prepare(&world);
    tide_test_dir_remove(world.dir); /* it was not asked for */
    snprintf(world.cfg.dir, sizeof(world.cfg.dir), "%s", dir);
    while (world_try_open(&world, &err))
        if (tried++ >= tries)
            return GAVE_UP;
    for (unsigned i = 0; i < life.steps; i++) {
        if (write(fd, "+", 1) != 1 || life_look(&world, &before, &err))
            return WENT_WRONG;
        for (tried = 1; life_take(&world, &life, i, &err); tried++) {
            if (!failure_is_seen(&world, before.answer))
                return WENT_WRONG;
            if (tried >= tries)
                return GAVE_UP;
        }
    }
    if (write(fd, "+", 1) != 1)
        return WENT_WRONG;
    world_close(&world);
    return LIVED;
}

/* ---- the one that watches ---- */

static struct {
    char dir[200], store[240], acks[240], trace[240];
} place;

/* Runs strace with its words on this program; *ret_status as of waitpid. */
static void run(const char *word, unsigned tries, int *ret_status)
{
    char number[24], of_seed[24];
    pid_t pid;

    snprintf(number, sizeof(number), "%u", tries);
    snprintf(of_seed, sizeof(of_seed), "%llu", (unsigned long long)seed);
    unlink(place.acks);
    tide_test_dir_remove(place.store);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char self[1024];
        ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (len < 0 || !freopen("/dev/null", "w", stderr))
            _exit(126);
        self[len] = '\0';
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it cannot look under ptrace */
        execlp("strace", "strace", "-f", "-qq", "-o", place.trace, "-e", "trace=" CALLS, "-e",
               word ? word : "signal=none", self, "live", place.store, of_seed, place.acks, number,
               (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, ret_status, 0), pid);
}

static unsigned bytes_in(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (unsigned)info.st_size : 0;
}

/* The calls that one undisturbed life makes, in order; strace counts each name by itself. */
static struct call {
    char name[16];
    unsigned nth;
} call[4000];
static unsigned calls;

static void list_calls(void)
{
    char line[512];
    FILE *trace;
    int status;

    run(NULL, 1, &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), LIVED);
    trace = fopen(place.trace, "r");
    assert_non_null(trace);
    calls = 0;
    while (fgets(line, sizeof(line), trace)) {
        struct call *next = &call[calls];

        if (sscanf(line, "%*d %15[a-z0-9](", next->name) != 1 || !strstr(CALLS, next->name))
            continue;
        next->nth = 1;
        for (unsigned i = calls; i-- > 0 && next->nth == 1;)
            if (strcmp(call[i].name, next->name) == 0)
                next->nth = call[i].nth + 1;
        assert_true(++calls < sizeof(call) / sizeof(call[0]));
    }
    fclose(trace);
}

/* After the process: the store is whole, and goes on. */
static void examine(const struct call *at, const char *what)
{
    unsigned acked = bytes_in(place.acks), steps = acked ? acked - 1 : 0, reached = 0, same;
    struct life_known floor = {0};
    struct tide_err err = {""};
    struct world world;

    life_prepare(&world);
    snprintf(world.cfg.dir, sizeof(world.cfg.dir), "%s", place.store);
    world.now_us = life.known[steps].now_us;
    if (world_try_open(&world, &err) ||
        !life_agrees(&world, &life, steps, true, &floor, &reached, &err))
        fail_msg("%s at %s %u, after step %u: %s", what, at->name, at->nth, steps, err.text);
    world.now_us = life.known[reached].now_us;
    tide_clock_fake(world.now_us);
    for (unsigned i = reached; i < reached + 4 && i < life.steps; i++)
        if (life_take(&world, &life, i, &err) ||
            !life_agrees(&world, &life, i + 1, false, &floor, &same, &err))
            fail_msg("%s at %s %u, after step %u, then step %u: %s", what, at->name, at->nth, steps,
                     i, err.text);
    world_end(&world);
}

/* Point i of `points`, spread evenly over the calls and shifted by the seed. */
static const struct call *point(unsigned i, unsigned points)
{
    unsigned stride = calls / points;

    return &call[i * calls / points + (stride ? (unsigned)(seed % stride) : 0)];
}

static unsigned points_of(unsigned wanted)
{
    return getenv("TIDE_LONG") || wanted > calls ? calls : wanted;
}

static void i1_i2_i3_hold_whichever_write_or_sync_a_kill_comes_before(void **state)
{
    unsigned points = points_of(200), killed = 0;

    (void)state;
    for (unsigned i = 0; i < points; i++) {
        const struct call *at = point(i, points);
        char word[128];
        int status;

        snprintf(word, sizeof(word), "inject=%s:signal=KILL:when=%u", at->name, at->nth);
        run(word, 1, &status);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        examine(at, "killed");
    }
    printf("%u of %u points, %u killed\n", points, calls, killed);
    assert_true(killed >= 200 && killed == points);
}

enum lasting { ONCE, A_WHILE, FOR_EVER };

/* From a point on, calls of its name fail. `tries`: until the process gives up. */
static void fail_calls(const char *error, enum lasting lasting, unsigned tries, unsigned wanted)
{
    static const char *const span[] = {"once", "a while", "for ever"};
    unsigned points = points_of(wanted), gave_up = 0;

    for (unsigned i = 0; i < points; i++) {
        const struct call *at = point(i, points);
        char word[160];
        int status, len;

        len = snprintf(word, sizeof(word), "inject=%s:error=%s:when=%u", at->name, error, at->nth);
        if (lasting == A_WHILE)
            snprintf(word + len, sizeof(word) - (size_t)len, "..%u", at->nth + 3);
        else if (lasting == FOR_EVER)
            snprintf(word + len, sizeof(word) - (size_t)len, "+");
        run(word, tries, &status);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != LIVED && WEXITSTATUS(status) != GAVE_UP)
            fail_msg("%s: exit %d", word, WEXITSTATUS(status));
        gave_up += WEXITSTATUS(status) == GAVE_UP;
        examine(at, error);
    }
    printf("%s %s: %u points, gave up %u times\n", error, span[lasting], points, gave_up);
    if (lasting != FOR_EVER)
        assert_int_equal(gave_up, 0);
    else
        assert_true(gave_up > points / 2);
}

static void i12_an_io_error_is_shown_and_the_step_succeeds_when_it_is_repeated(void **state)
{
    (void)state;
    fail_calls("EIO", ONCE, 20, 30);
    fail_calls("EIO", A_WHILE, 40, 20);
}

static void i12_no_space_is_shown_and_the_step_succeeds_once_there_is_some(void **state)
{
    (void)state;
    fail_calls("ENOSPC", ONCE, 20, 15);
    fail_calls("ENOSPC", A_WHILE, 40, 15);
}

static void i12_what_fails_for_ever_is_never_acked_and_does_no_harm(void **state)
{
    (void)state;
    fail_calls("EIO", FOR_EVER, 3, 15);
    fail_calls("ENOSPC", FOR_EVER, 3, 15);
}

static bool may_trace(void)
{
    return system("strace -qq -o /dev/null -e trace=none true >/dev/null 2>&1") == 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i1_i2_i3_hold_whichever_write_or_sync_a_kill_comes_before),
        cmocka_unit_test(i12_an_io_error_is_shown_and_the_step_succeeds_when_it_is_repeated),
        cmocka_unit_test(i12_no_space_is_shown_and_the_step_succeeds_once_there_is_some),
        cmocka_unit_test(i12_what_fails_for_ever_is_never_acked_and_does_no_harm),
    };
    struct world world;
    int failed;

    tide_log_set_level(TIDE_ERROR);
    if (argc == 6 && strcmp(argv[1], "live") == 0)
        return live(argv[2], strtoull(argv[3], NULL, 10), argv[4],
                    (unsigned)strtoul(argv[5], NULL, 10));
    if (!may_trace()) {
        printf("SKIPPED: strace is not installed or may not trace here\n");
        return SKIPPED;
    }
    seed = tide_test_seed();
    if (access("/dev/shm", W_OK) == 0) /* a process dies, not the machine: syncs would only cost */
        setenv("TMPDIR", "/dev/shm", 0);
    tide_test_dir(place.dir, sizeof(place.dir));
    snprintf(place.store, sizeof(place.store), "%s/store", place.dir);
    snprintf(place.acks, sizeof(place.acks), "%s/acks", place.dir);
    snprintf(place.trace, sizeof(place.trace), "%s/trace", place.dir);
    life_make(&life, seed, ROUNDS);
    life_prepare(&world);
    life_learn(&world, &life, NULL);
    world_end(&world);
    list_calls();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_test_dir_remove(place.dir);
    return failed;
}
