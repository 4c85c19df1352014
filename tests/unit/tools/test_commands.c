/* The reading commands against canned answers: what they ask, what they print, how they exit. */
#include "tidemark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

#define REQUESTS 16

/* Answers by path: the first row whose start matches. */
struct canned {
    const char *path;
    int status;
    const char *body;
};

struct server {
    const struct canned *canned;
    char asked[REQUESTS][512]; /* request lines */
    size_t count;
};

static void play(int fd, unsigned nth, void *context)
{
    struct server *server = context;
    const struct canned *row = server->canned;
    char request[4096], head[256];
    const char *path;

    (void)nth;
    tide_peer_read_until(fd, request, sizeof request, "\r\n\r\n");
    if (server->count == REQUESTS)
        return;
    snprintf(server->asked[server->count++], sizeof server->asked[0], "%.*s",
             (int)strcspn(request, "\r"), request);
    path = strchr(request, ' ');
    while (path && row->path && strncmp(path + 1, row->path, strlen(row->path)) != 0)
        row++;
    if (!path || !row->path)
        return;
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
             row->status, strlen(row->body));
    tide_peer_write(fd, head, strlen(head));
    tide_peer_write(fd, row->body, strlen(row->body));
}

struct ran {
    int code;
    char out[16384], err[4096];
};

static void capture(FILE *file, int fd, int *ret_saved)
{
    fflush(stdout);
    fflush(stderr);
    *ret_saved = dup(fd);
    dup2(fileno(file), fd);
}

static void release(FILE *file, int fd, int saved, char *text, size_t size)
{
    fflush(stdout);
    fflush(stderr);
    dup2(saved, fd);
    close(saved);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* tidemark <words> --url <server>; words are separated by blanks. */
static struct ran tool(const struct canned *canned, const char *words, struct server *ret_server)
{
    struct server server = {.canned = canned};
    struct tide_peer *peer = tide_peer_start(play, &server);
    char copy[512], *argv[32] = {(char *)"tidemark"};
    FILE *out = tmpfile(), *err = tmpfile();
    int argc = 1, saved_out, saved_err;
    struct ran ran;

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    argv[argc++] = (char *)"--url";
    argv[argc++] = (char *)(uintptr_t)tide_peer_url(peer);
    capture(out, STDOUT_FILENO, &saved_out);
    capture(err, STDERR_FILENO, &saved_err);
    ran.code = tide_tool_main(argc, argv);
    release(err, STDERR_FILENO, saved_err, ran.err, sizeof ran.err);
    release(out, STDOUT_FILENO, saved_out, ran.out, sizeof ran.out);
    tide_peer_stop(peer);
    if (ret_server)
        *ret_server = server;
    return ran;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in\n%s", part, text);
}

static const char summary[] =
    "{\"metrics\":{\"overall_health\":\"degraded\",\"health_score\":81.5,\"total_modules\":3,"
    "\"healthy_modules\":1,\"degraded_modules\":1,\"critical_modules\":0,\"no_data_modules\":1,"
    "\"total_requests\":12345678,\"window_requests\":4200,\"overall_error_rate\":0.0123,"
    "\"average_response_time_ms\":12.3,\"p95_response_time_ms\":null,\"p99_response_time_ms\":1500,"
    "\"overall_throughput_rps\":14,\"last_updated\":\"2026-11-23T17:00:00Z\",\"window_s\":300}}";
static const char ledger[] =
    "{\"ledger\":{\"received\":10,\"stored\":6,\"late\":1,\"duplicate\":0,\"rejected\":3,"
    "\"rejected_by_reason\":{\"bad_time\":3,\"no_module\":0}}}";

static void status_tells_daemon_fleet_and_books(void **state)
{
    static const struct canned canned[] = {{"/api/v3/metrics/summary", 200, summary},
                                           {"/api/v3/health/status", 503,
                                            "{\"status\":\"failing\",\"checks\":{\"store\":{"
                                            "\"status\":\"failing\",\"detail\":\"disk full\"},"
                                            "\"commit\":{\"status\":\"ok\",\"detail\":\"fine\"}}}"},
                                           {"/api/v3/ingest/ledger", 200, ledger},
                                           {NULL, 0, NULL}};
    struct ran ran = tool(canned, "status", NULL);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "daemon     failing at http://127.0.0.1:");
    assert_has(ran.out, "store: failing, disk full");
    assert_null(strstr(ran.out, "fine"));
    assert_has(ran.out, "fleet      degraded, score 82");
    assert_has(ran.out, "3: 1 healthy, 1 degraded, 0 critical, 1 without data");
    assert_has(ran.out, "12.3 M ever, 4200 in the last 5.00 min, now 14.0/s, 1.23 % failed");
    assert_has(ran.out, "mean 12.3 ms, p95 -, p99 1.50 s");
    assert_has(ran.out, "10 received: 6 stored, 0 duplicate, 1 late, 3 rejected");
    assert_has(ran.out, "3 rejected as bad_time");
    assert_null(strstr(ran.out, "no_module"));
    assert_string_equal(ran.err, "");
}

static void json_passes_the_answer_through(void **state)
{
    static const struct canned canned[] = {{"/api/v3/metrics/summary", 200, summary},
                                           {"/api/v3/metrics/health", 200, "{\"odd\":  1}\n"},
                                           {NULL, 0, NULL}};
    struct server server;
    struct ran ran = tool(canned, "status --json", &server);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_int_equal(server.count, 1);
    assert_int_equal(strlen(ran.out), strlen(summary) + 1);
    assert_memory_equal(ran.out, summary, strlen(summary));
    assert_string_equal(tool(canned, "health --json", NULL).out, "{\"odd\":  1}\n");
}

static void modules_follows_the_cursor(void **state)
{
    static const struct canned canned[] = {
        {"/api/v3/metrics/modules?limit=3&sort=name&status=healthy&prefix=a%2Fb&cursor=n%3D2", 200,
         "{\"modules\":[{\"module_id\":\"third\",\"status\":\"healthy\"}],\"count\":3,\"next_"
         "cursor\":null}"},
        {"/api/v3/metrics/modules?limit=5&sort=name&status=healthy&prefix=a%2Fb", 200,
         "{\"modules\":[{\"module_id\":\"first\",\"status\":\"healthy\",\"health_score\":97,"
         "\"total_requests\":10,\"throughput_rps\":2.5,\"p95_response_time_ms\":12,\"error_rate\":"
         "0.1,"
         "\"last_updated\":\"x\"},{\"module_id\":\"\\u001b[2Jsecond\",\"status\":\"no_data\"}],"
         "\"count\":3,\"next_cursor\":\"n=2\"}"},
        {NULL, 0, NULL}};
    struct ran ran = tool(canned, "modules --limit 5 --status healthy --prefix a/b", NULL);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "first       healthy     97        10  2.50/s  12.0 ms  10.0 %  x\n");
    assert_has(ran.out, "?[2Jsecond  no_data      -         -");
    assert_has(ran.out, "third");
    assert_null(strchr(ran.out, '\033'));
    assert_string_equal(ran.err, "");
}

static void modules_says_when_rows_were_left_out(void **state)
{
    static const struct canned canned[] = {
        {"/api/v3/metrics/modules?limit=1", 200,
         "{\"modules\":[{\"module_id\":\"a\"}],\"count\":7,\"next_cursor\":\"c\"}"},
        {NULL, 0, NULL}};
    struct server server;
    struct ran ran = tool(canned, "modules --limit 1", &server);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_int_equal(server.count, 1);
    assert_has(ran.err, "1 of 7 modules shown");
}

static void health_gives_every_reason(void **state)
{
    static const struct canned canned[] = {
        {"/api/v3/metrics/health", 200,
         "{\"health\":{\"overall_health\":\"critical\",\"health_score\":40,\"failed_requests\":5,"
         "\"total_requests\":50,\"modules\":[{\"module_id\":\"pay\",\"status\":\"critical\","
         "\"health_score\":10,\"reasons\":[{\"signal\":\"error_rate\",\"value\":0.25,\"warning\":0."
         "05,"
         "\"critical\":0.1,\"penalty\":50},{\"signal\":\"p95_response_time_ms\",\"value\":6000,"
         "\"warning\":2000,\"critical\":5000,\"penalty\":30},{\"signal\":\"self_reported\","
         "\"value\":null,"
         "\"warning\":null,\"critical\":null,\"penalty\":10}]},{\"module_id\":\"bare\",\"status\":"
         "\"degraded\","
         "\"reasons\":[]}]}}"},
        {NULL, 0, NULL}};
    struct ran ran = tool(canned, "health", NULL);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "fleet critical, score 40: 5 of 50 requests failed");
    assert_has(
        ran.out,
        "pay     critical     10  error_rate            25.0 %   5.00 %    10.0 %   -50.0\n");
    assert_has(ran.out, "p95_response_time_ms  6.00 s   2.00 s    5.00 s   -30.0\n");
    assert_has(ran.out, "self_reported              -        -         -   -10.0\n");
    assert_has(ran.out, "bare    degraded");
}

static const char history[] =
    "{\"module_id\":\"pay\",\"from\":\"2026-11-23T17:00:00Z\",\"to\":\"2026-11-23T17:02:30Z\","
    "\"step_s\":30,"
    "\"tier\":\"raw\",\"next_cursor\":null,\"history\":["
    "{\"interval_start\":\"2026-11-23T17:00:00Z\",\"requests\":10,\"failed\":1,\"throughput_rps\":"
    "0.333,"
    "\"p95_response_time_ms\":10,\"note\":\"a,\\\"b\\\"\",\"complete\":true,\"corrected\":2},"
    "{\"interval_start\":\"2026-11-23T17:00:30Z\",\"requests\":20,\"failed\":0,\"throughput_rps\":"
    "0.667,"
    "\"p95_response_time_ms\":80,\"note\":null,\"complete\":true,\"corrected\":0},"
    "{\"interval_start\":\"2026-11-23T17:02:00Z\",\"requests\":5,\"failed\":0,\"throughput_rps\":0."
    "167,"
    "\"p95_response_time_ms\":null,\"note\":\"x\",\"complete\":false,\"corrected\":0}]}";

static void history_draws_gaps_and_marks_open_intervals(void **state)
{
    static const struct canned canned[] = {{"/api/v3/metrics/history", 200, history},
                                           {NULL, 0, NULL}};
    struct server server;
    struct ran ran;

    (void)state;
    setenv("LC_ALL", "C", 1);
    ran = tool(canned, "history pay --from -1h --to 2026-11-23T17:02:30Z --step 30s --limit 9",
               &server);
    assert_int_equal(ran.code, 0);
    assert_string_equal(
        server.asked[0],
        "GET /api/v3/metrics/history?module_id=pay&from=-1h&to=2026-11-23T17%3A02%3A30Z&"
        "step=30s&limit=9 HTTP/1.1");
    assert_has(ran.out, "pay, 2026-11-23T17:00:00Z to 2026-11-23T17:02:30Z, step 30 s, tier raw\n");
    assert_has(ran.out, "2026-11-23 17:00:00        10  0.33/s  10.0 %");
    assert_has(ran.out, "+2 late\n");
    assert_has(ran.out, "open\n");
    /* five intervals: two bars, two gaps, and a point without a p95 */
    assert_has(ran.out, "p95   _#     up to 80.0 ms\n");
    assert_has(ran.out, "rate  -#  ,  up to 0.67/s\n");
    unsetenv("LC_ALL");
}

static void history_csv_has_every_field(void **state)
{
    static const struct canned canned[] = {{"/api/v3/metrics/history", 200, history},
                                           {NULL, 0, NULL}};
    struct ran ran = tool(canned, "history --csv", NULL);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_string_equal(ran.out, "interval_start,requests,failed,throughput_rps,p95_response_time_"
                                 "ms,note,complete,corrected\n"
                                 "2026-11-23T17:00:00Z,10,1,0.333,10,\"a,\"\"b\"\"\",true,2\n"
                                 "2026-11-23T17:00:30Z,20,0,0.667,80,,true,0\n"
                                 "2026-11-23T17:02:00Z,5,0,0.167,,x,false,0\n");
}

static void an_empty_history_says_so(void **state)
{
    static const struct canned canned[] = {{"/api/v3/metrics/history", 200,
                                            "{\"module_id\":\"\",\"from\":\"a\",\"to\":\"b\","
                                            "\"step_s\":30,\"tier\":\"raw\",\"history\":[],"
                                            "\"next_cursor\":\"older\"}"},
                                           {NULL, 0, NULL}};
    struct ran ran = tool(canned, "history", NULL);

    (void)state;
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "fleet, a to b");
    assert_has(ran.err, "nothing in this range");
    assert_has(ran.err, "older points were left out");
    assert_string_equal(tool(canned, "history --csv", NULL).out, "interval_start\n");
}

static void refusals_become_exit_codes_and_the_daemons_words(void **state)
{
    static const struct {
        int status;
        const char *body;
        int code;
        const char *says;
    } cases[] = {
        {404, "{\"title\":\"Module not found\",\"status\":404}", 1, "history: Module not found"},
        {400, "{\"title\":\"Bad Request\",\"detail\":\"step is off\"}", 2, "history: step is off"},
        {503, "{\"title\":\"Store is full\"}", 69, "Store is full"},
        {500, "<html>", 1, "answered 500 to /api/v3/metrics/history"},
        {200, "[1]", 1, "no JSON object"},
        {200, "{\"a\":", 1, "no JSON object"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct canned canned[] = {{"/", cases[i].status, cases[i].body}, {NULL, 0, NULL}};
        struct ran ran = tool(canned, "history x", NULL);

        assert_int_equal(ran.code, cases[i].code);
        assert_has(ran.err, cases[i].says);
        assert_string_equal(ran.out, "");
    }
}

static void answers_without_the_expected_fields_do_no_harm(void **state)
{
    static const char *const words[] = {"status", "modules", "health", "history", "history --csv"};
    static const char *const bodies[] = {
        "{}",
        "{\"metrics\":7,\"modules\":{\"a\":1},\"health\":[],\"history\":\"x\",\"ledger\":null}",
        "{\"modules\":[1,null,\"x\"],\"history\":[1,null,{}],\"health\":{\"modules\":[1,{"
        "\"reasons\":7}]},"
        "\"step_s\":-1,\"count\":\"many\"}",
        "{\"history\":[{\"interval_start\":\"2026-11-23T17:00:00Z\"},{\"interval_start\":\"1970-01-"
        "01T00:00:00Z\"}],"
        "\"step_s\":1e300}"};

    (void)state;
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
            struct canned canned[] = {{"/", 200, bodies[b]}, {NULL, 0, NULL}};

            assert_int_equal(tool(canned, words[w], NULL).code, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_tells_daemon_fleet_and_books),
        cmocka_unit_test(json_passes_the_answer_through),
        cmocka_unit_test(modules_follows_the_cursor),
        cmocka_unit_test(modules_says_when_rows_were_left_out),
        cmocka_unit_test(health_gives_every_reason),
        cmocka_unit_test(history_draws_gaps_and_marks_open_intervals),
        cmocka_unit_test(history_csv_has_every_field),
        cmocka_unit_test(an_empty_history_says_so),
        cmocka_unit_test(refusals_become_exit_codes_and_the_daemons_words),
        cmocka_unit_test(answers_without_the_expected_fields_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
