#include "load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "proc.h"
#include "taker.h"
#include "tidemark.h"
#include "tidemark/wire.h"

static struct tide_load_cfg cfg_for(const struct tide_taker *taker)
{
    return (struct tide_load_cfg){.address = tide_taker_address(taker),
                                  .connections = 1,
                                  .chunks = 10,
                                  .per_chunk = 20,
                                  .window = 3,
                                  .modules = 5,
                                  .seed = 7,
                                  .timeout_ms = 5000};
}

/* Entries of a request, and how many of them are requests or responses, by the daemon's own
 * decoder. */
static void decoded(const struct tide_taken *taken, unsigned *ret_entries, unsigned *ret_operations)
{
    struct tide_request request;
    size_t at = 0;

    *ret_entries = *ret_operations = 0;
    assert_int_equal(tide_request_parse(taken->bytes, taken->len, &request), TIDE_OK);
    assert_int_equal(request.mode, TIDE_MODE_PACKED);
    while (at < request.entries_len) {
        struct tide_event ev;
        size_t used;
        int reason;

        assert_memory_equal(request.entries + at, "\x92\xd7\x00", 3);
        at += 11;
        assert_int_equal(tide_entry_decode(request.entries + at, request.entries_len - at,
                                           &request.tag, false, &ev, &used, &reason),
                         TIDE_OK);
        assert_int_equal(reason, -1);
        at += used;
        *ret_entries += 1;
        *ret_operations += tide_event_is_operation(&ev);
    }
}

static void what_was_sent_is_what_is_reported(void **state)
{
    (void)state;
    for (int lean = 0; lean < 2; lean++) {
        struct tide_taker *taker = tide_taker_new();
        struct tide_load_cfg cfg;
        struct tide_load_result result;
        struct tide_err err = {""};
        unsigned entries = 0, operations = 0;
        uint64_t bytes = 0;

        tide_taker_start(taker);
        cfg = cfg_for(taker);
        cfg.lean = lean;
        if (tide_load_run(&cfg, &result, &err) != TIDE_OK)
            fail_msg("%s", err.text);
        tide_taker_stop(taker);
        assert_int_equal(taker->count, 10);
        for (size_t i = 0; i < taker->count; i++) {
            unsigned e, o;

            decoded(&taker->taken[i], &e, &o);
            entries += e;
            operations += o;
            bytes += taker->taken[i].len;
            for (size_t k = 0; k < i; k++)
                assert_string_not_equal(taker->taken[i].chunk, taker->taken[k].chunk);
        }
        assert_int_equal(result.chunks, 10);
        assert_int_equal(result.events, 200);
        assert_int_equal(entries, 200);
        assert_int_equal(result.operations, operations);
        assert_int_equal(result.bytes, bytes);
        assert_true(result.seconds > 0);
        assert_true(tide_load_latency_us(&result, .5) <= tide_load_latency_us(&result, .99));
        assert_true(tide_load_latency_us(&result, .99) <= tide_load_latency_us(&result, 1));
        tide_load_result_fini(&result);
        assert_null(result.latency_us);
        tide_taker_free(taker);
    }
}

static void the_same_seed_makes_the_same_events(void **state)
{
    struct tide_taker *taker[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct tide_load_cfg cfg;
        struct tide_load_result result;
        struct tide_err err;

        taker[i] = tide_taker_new();
        tide_taker_start(taker[i]);
        cfg = cfg_for(taker[i]);
        cfg.chunks = 1;
        assert_int_equal(tide_load_run(&cfg, &result, &err), TIDE_OK);
        tide_load_result_fini(&result);
        tide_taker_stop(taker[i]);
    }
    assert_string_not_equal(taker[0]->taken[0].chunk, taker[1]->taken[0].chunk);
    assert_int_equal(taker[0]->taken[0].len, taker[1]->taken[0].len);
    /* behind the first entry's time, up to the next entry's: the record */
    assert_memory_equal(taker[0]->taken[0].bytes + 30, taker[1]->taken[0].bytes + 30, 150);
    tide_taker_free(taker[0]);
    tide_taker_free(taker[1]);
}

static void a_lost_connection_ends_the_run(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_load_cfg cfg;
    struct tide_load_result result;
    struct tide_err err = {""};

    (void)state;
    taker->drop_at = 4;
    tide_taker_start(taker);
    cfg = cfg_for(taker);
    assert_int_equal(tide_load_run(&cfg, &result, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "connection 0: "));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void a_wrong_ack_ends_the_run(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_load_cfg cfg;
    struct tide_load_result result;
    struct tide_err err = {""};

    (void)state;
    taker->nonsense = "\x81\xa3"
                      "ack\xb8"
                      "012345678901234567890123";
    tide_taker_start(taker);
    cfg = cfg_for(taker);
    assert_int_equal(tide_load_run(&cfg, &result, &err), TIDE_MALFORMED);
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

static void silence_ends_the_run(void **state)
{
    struct tide_taker *taker = tide_taker_new();
    struct tide_load_cfg cfg;
    struct tide_load_result result;
    struct tide_err err = {""};

    (void)state;
    taker->mute = true;
    tide_taker_start(taker);
    cfg = cfg_for(taker);
    cfg.timeout_ms = 50;
    assert_int_equal(tide_load_run(&cfg, &result, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "no ack in time"));
    tide_taker_stop(taker);
    tide_taker_free(taker);
}

/* A shell script that plays tidemarkd. */
static void script_write(char *path, size_t size, const char *dir, const char *body)
{
    FILE *file;

    snprintf(path, size, "%s/daemon.sh", dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", body);
    fclose(file);
    assert_int_equal(chmod(path, 0700), 0);
}

static void a_child_is_started_measured_stopped_and_removed(void **state)
{
    char dir[512], path[600], own[TIDE_CHILD_PATH];
    struct tide_child child;
    struct tide_cpu cpu;
    struct tide_err err = {""};

    (void)state;
    tide_test_dir(dir, sizeof dir);
    script_write(path, sizeof path, dir,
                 "trap 'exit 0' TERM\nmkdir -p \"$2\"\necho \"$*\" > \"$2/words\"\n"
                 "echo 'forward listening on 127.0.0.1:111'\necho 'http listening on [::1]:222'\n"
                 "while :; do sleep 0.02; done");
    if (tide_child_start(path, dir, "ingest.threads=2", &child, &err) != TIDE_OK)
        fail_msg("%s", err.text);
    assert_string_equal(child.forward, "127.0.0.1:111");
    assert_string_equal(child.http, "[::1]:222");
    snprintf(own, sizeof own, "%.4000s", child.dir);
    assert_true(tide_disk_bytes(child.dir) > 0);
    assert_int_equal(tide_cpu_read(child.pid, &cpu), TIDE_OK);
    assert_true(cpu.threads >= 1 && cpu.source[0]);
    assert_true(tide_memory_peak(child.pid) > 0);
    assert_int_equal(tide_child_stop(&child, &err), TIDE_OK);
    assert_int_equal(child.pid, 0);
    assert_int_equal(access(own, F_OK), 0);
    tide_child_clean(&child);
    assert_int_not_equal(access(own, F_OK), 0);
    assert_int_equal(tide_child_stop(&child, &err), TIDE_OK); /* there is none: fine */
    tide_test_dir_remove(dir);
}

static void a_child_that_fails_says_its_last_words(void **state)
{
    char dir[512], path[600];
    struct tide_child child;
    struct tide_err err = {""};

    (void)state;
    tide_test_dir(dir, sizeof dir);
    script_write(path, sizeof path, dir,
                 "echo first >&2; echo 'no space for a store' >&2; exit 74");
    assert_int_equal(tide_child_start(path, dir, NULL, &child, &err), TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "did not get ready: no space for a store"));
    assert_int_equal(tide_child_start("/nonexistent/tidemarkd", dir, NULL, &child, &err),
                     TIDE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(tide_child_start(path, "/nonexistent", NULL, &child, &err), TIDE_IO);
    tide_test_dir_remove(dir);
}

static void a_child_that_ends_badly_is_reported(void **state)
{
    char dir[512], path[600];
    struct tide_child child;
    struct tide_err err = {""};

    (void)state;
    tide_test_dir(dir, sizeof dir);
    script_write(path, sizeof path, dir,
                 "trap 'exit 3' TERM\necho 'forward listening on a:1'\n"
                 "echo 'http listening on b:2'\nwhile :; do sleep 0.02; done");
    assert_int_equal(tide_child_start(path, dir, NULL, &child, &err), TIDE_OK);
    assert_int_equal(tide_child_stop(&child, &err), TIDE_IO);
    assert_non_null(strstr(err.text, "exit code 3"));
    tide_child_clean(&child);
    tide_test_dir_remove(dir);
}

static void nobody_is_measured_as_nobody(void **state)
{
    struct tide_cpu cpu;

    (void)state;
    assert_int_equal(tide_cpu_read(0x7fffffff, &cpu), TIDE_NOT_FOUND);
    assert_int_equal(tide_memory_peak(0x7fffffff), 0);
    assert_int_equal(tide_disk_bytes("/nonexistent"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sent_is_what_is_reported),
        cmocka_unit_test(the_same_seed_makes_the_same_events),
        cmocka_unit_test(a_lost_connection_ends_the_run),
        cmocka_unit_test(a_wrong_ack_ends_the_run),
        cmocka_unit_test(silence_ends_the_run),
        cmocka_unit_test(a_child_is_started_measured_stopped_and_removed),
        cmocka_unit_test(a_child_that_fails_says_its_last_words),
        cmocka_unit_test(a_child_that_ends_badly_is_reported),
        cmocka_unit_test(nobody_is_measured_as_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
