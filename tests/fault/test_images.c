/* The power goes at every moment of a store's life. A recorder keeps each write to the data file
 * and each sync; out of that come the files that the disk may hold at each of these moments: what
 * was synced, and any part of the rest. Every one of them is opened as a store and asked
 * everything: it must be as after the last step that had returned, or as after the one in flight,
 * and a part of them lives on.
 *
 * That these tests can fail is shown by disks that lie: one that forgets syncs, one that forgets
 * only the write of the meta page.
 */
#include "life.h"

#include "crash_image.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LIVE_ON_STEPS 6

static uint64_t seed;
static unsigned effort; /* 1, or more in the long run */

/* ---- one image ---- */

static struct verdict { /* of a child, shared */
    unsigned done, broken;
    char first[400]; /* what was wrong with the first broken one */
} * verdict;

static void write_image(const struct world *world, const struct image_file *file, bool named)
{
    char path[1300];
    FILE *to;

    snprintf(path, sizeof(path), "%s/tidemark.mdb", world->cfg.dir);
    unlink(path);
    if (!named)
        strcat(path, ".new");
    if (!(to = fopen(path, "wb")) || fwrite(file->bytes, 1, file->len, to) != file->len ||
        fclose(to))
        abort();
    if (named) {
        strcat(path, ".new");
        unlink(path);
    }
}

/* The store does what it would have done, had nothing happened. */
static bool lives_on(struct world *world, const struct life *life, unsigned step,
                     struct life_known *floor, struct tide_err *err)
{
    unsigned same;

    for (unsigned i = step; i < step + LIVE_ON_STEPS && i < life->steps; i++) {
        if (life_take(world, life, i, err))
            return false;
        if (!life_agrees(world, life, i + 1, false, floor, &same, err))
            return false;
    }
    return true;
}

static bool withstands(struct world *world, const struct life *life, unsigned steps, bool live_on,
                       struct tide_err *err)
{
    struct life_known floor = life->known[steps];
    unsigned reached;
    bool sound;

    world->now_us = life->known[steps].now_us;
    if (world_try_open(world, err))
        return false;
    sound = life_agrees(world, life, steps, true, &floor, &reached, err);
    if (sound && live_on) {
        world->now_us = life->known[reached].now_us;
        tide_clock_fake(world->now_us);
        sound = lives_on(world, life, reached, &floor, err);
    }
    world_close(world);
    return sound;
}

/* ---- all images of one moment ---- */

/* Images [verdict->done, count), in a process of its own: a file that is torn may kill its reader.
 */
static void try_images(const struct world *world, const struct life *life,
                       const struct image_state *state, uint64_t moment, unsigned count)
{
    struct image_file file = {0};
    struct world own = *world;

    setenv("CMOCKA_TEST_ABORT", "1", 1);
    if (!freopen("/dev/null", "w", stderr))
        abort();
    alarm(60);
    while (verdict->done < count) {
        uint64_t dice = seed + moment * 7919 + verdict->done;
        bool named =
            state->name == NAME_SURE || (state->name == NAME_MAYBE && tide_test_random(&dice) % 2);
        struct tide_err err = {""};

        image_any(state, tide_test_random(&dice), &file);
        own.events = 0;
        own.books = (struct tide_ledger){0};
        write_image(&own, &file, named);
        if (!withstands(&own, life, state->steps, tide_test_random(&dice) % 4 == 0, &err)) {
            verdict->broken++;
            if (!verdict->first[0])
                snprintf(verdict->first, sizeof(verdict->first),
                         "moment %llu, image %u, after step %u: %.300s", (unsigned long long)moment,
                         verdict->done, state->steps, err.text);
        }
        verdict->done++;
    }
    _exit(0);
}

struct count {
    unsigned images, broken;
};

static void all_images(const struct world *world, const struct life *life,
                       const struct image_state *state, uint64_t moment, unsigned count,
                       struct count *ret)
{
    verdict->done = 0;
    verdict->broken = 0;
    while (verdict->done < count) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            try_images(world, life, state, moment, count);
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            continue;
        verdict->broken++;
        if (!verdict->first[0])
            snprintf(verdict->first, sizeof(verdict->first),
                     "moment %llu, image %u, after step %u: died, status %d",
                     (unsigned long long)moment, verdict->done, state->steps, status);
        verdict->done++;
    }
    ret->images += verdict->done;
    ret->broken += verdict->broken;
}

/* Walks the recording and opens what may be on the disk at each of its moments: `each` images where
 * there is a choice. `most`: in all, spread over the recording; 0: no matter how many. */
static struct count explore(const struct life *life, enum image_disk lies, unsigned each,
                            unsigned most)
{
    struct image_state state = {.lies = lies};
    struct count count = {0};
    struct world world;
    uint64_t moments = recorder.ops, stride = most ? 1 + moments * each / most : 1;

    recorder.on = false;
    verdict->first[0] = '\0';
    life_prepare(&world);
    assert_int_equal(mkdir(world.cfg.dir, 0700), 0);
    for (uint64_t moment = 0; moment < moments; moment++) {
        bool choice;
        unsigned images;

        image_apply(&state, &recorder.op[moment]);
        choice = state.pending.count || state.name == NAME_MAYBE;
        images = state.doubtful.count ? 3 * each : choice ? each : 1;
        if (moment % stride == seed % stride)
            all_images(&world, life, &state, moment, images, &count);
    }
    assert_int_equal(state.steps, life->steps);
    image_fini(&state);
    world_end(&world);
    printf("%llu writes and syncs, %u images, %u broken%s%s\n", (unsigned long long)moments,
           count.images, count.broken, count.broken ? "; " : "", verdict->first);
    return count;
}

/* ---- the lives ---- */

static struct life life;

static void record_life(struct world *world, unsigned rounds)
{
    life_make(&life, seed, rounds);
    life_prepare(world);
    recorder_begin(world->cfg.dir);
    life_learn(world, &life, recorder_step);
}

static void i1_i2_i3_i7_i9_hold_in_every_image_that_a_power_cut_may_leave(void **state)
{
    struct world world;
    struct count count;

    (void)state;
    record_life(&world, 130);
    count = explore(&life, DISK_HONEST, 2 * effort, 0);
    assert_int_equal(count.broken, 0);
    assert_true(count.images > 1200);
    world_end(&world);
}

/* Who fails takes other transactions than who does not: what this store had shown counts. */
static void note_floor(const struct world *world, unsigned step)
{
    struct life_known *known = &life.known[step + 1], now;
    struct tide_err err;

    if (life_look(world, &now, &err))
        now = known[-1]; /* nothing is shown while the file is being reopened */
    else
        assert_true(now.answer == known->answer);
    known->commit_seq = now.commit_seq;
    known->sealed_upto_s = now.sealed_upto_s;
}

/* Some writes and syncs fail; every step is repeated until it succeeds. */
static void record_troubled_life(struct world *world)
{
    uint64_t dice = seed + 1;

    life_prepare(world);
    recorder_begin(world->cfg.dir);
    world_open(world);
    recorder_step(0);
    for (unsigned i = 0; i < life.steps; i++) {
        struct tide_err err = {""};
        unsigned tries = 0;

        if (tide_any_between(&dice, 0, 2) == 0) {
            recorder.fail_only_meta = tide_any_between(&dice, 0, 1);
            recorder.fail_at = recorder.calls + (uint64_t)tide_any_between(
                                                    &dice, 1, recorder.fail_only_meta ? 2 : 8);
            recorder.fail_count = (unsigned)tide_any_between(&dice, 1, 3);
        }
        while (life_take(world, &life, i, &err)) {
            bool chore = life.step[i].what == LIFE_SEAL || life.step[i].what == LIFE_UPKEEP;

            if (chore && tide_any_between(&dice, 0, 1))
                break; /* it is left until its next turn: what comes then writes other pages */
            if (++tries > 50)
                fail_msg("step %u fails for ever: %s", i, err.text);
        }
        note_floor(world, i);
        recorder_step(i + 1);
    }
    printf("%llu writes and syncs failed\n", (unsigned long long)recorder.failed);
    assert_true(recorder.failed > 20);
    compare_now(world);
}

static void i1_i2_i3_i12_hold_in_every_image_around_failed_writes_and_syncs(void **state)
{
    struct world world;
    struct count count;

    (void)state;
    life_make(&life, seed, 70);
    life_prepare(&world);
    life_learn(&world, &life, NULL);
    world_end(&world);
    record_troubled_life(&world);
    count = explore(&life, DISK_HONEST, 2 * effort, 0);
    assert_int_equal(count.broken, 0);
    assert_true(count.images > 800);
    world_end(&world);
}

static void a_disk_that_forgets_syncs_is_found_out(void **state)
{
    struct world world;
    struct count count;

    (void)state;
    record_life(&world, 60);
    count = explore(&life, DISK_FORGETS_SYNCS, 1, 300);
    assert_true(count.images > 100 && count.broken > count.images / 5);
    world_end(&world);
}

static void a_disk_that_forgets_the_meta_page_loses_acked_chunks_and_is_found_out(void **state)
{
    struct world world;
    struct count count;

    (void)state;
    record_life(&world, 60);
    count = explore(&life, DISK_FORGETS_META_WRITES, 1, 600);
    assert_true(count.images > 100 && count.broken > 10);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i1_i2_i3_i7_i9_hold_in_every_image_that_a_power_cut_may_leave),
        cmocka_unit_test(i1_i2_i3_i12_hold_in_every_image_around_failed_writes_and_syncs),
        cmocka_unit_test(a_disk_that_forgets_syncs_is_found_out),
        cmocka_unit_test(a_disk_that_forgets_the_meta_page_loses_acked_chunks_and_is_found_out),
    };

    seed = tide_test_seed();
    effort = getenv("TIDE_LONG") ? 20 : 1;
    if (access("/dev/shm", W_OK) == 0) /* the disk is simulated: real syncs would only cost time */
        setenv("TMPDIR", "/dev/shm", 0);
    verdict =
        mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdict == MAP_FAILED)
        return 1;
    tide_log_set_level(TIDE_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
