/* The REST port over a plain socket: the exact keys of every endpoint, nulls, errors, headers,
 * HEAD, paging, ETag, and what Prometheus thinks of our metrics. The store is a fake, the clock
 * stands still.
 */
#include "../query/fake_store.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <jansson.h>
#include <zlib.h>

#include "tidemark/api.h"
#include "tidemark/counter.h"

#define NOW_US   INT64_C(1700000115000000)
#define OPEN_US  INT64_C(1700000100000000)
#define BODY_MAX (4 * 1024 * 1024)

static struct tide_query *query;
static struct tide_api *api;

static int setup(void **state)
{
    struct tide_query_cfg cfg = {.window_s = 300, .grace_s = 5, .raw_s = 604800};
    struct tide_api_cfg api_cfg = {.address = "127.0.0.1:0",
                                   .threads = 2,
                                   .prometheus = true,
                                   .max_connections = 100,
                                   .max_connections_per_address = 100,
                                   .request_timeout_s = 10,
                                   .max_waiting_bytes = 1 << 20};
    struct tide_event slow = {.kind = TIDE_EVENT_RESPONSE,
                              .success = true,
                              .has_duration = true,
                              .duration_us = 81000,
                              .correlation = {"id-\xff", 4}};

    struct tide_event metric = {
        .kind = TIDE_EVENT_METRIC, .success = true, .metric = {"queue \"depth\"", 13}};

    (void)state;
    fake_init(30);
    FAKE.sealed_upto_s = OPEN_US / 1000000;
    tide_clock_fake(NOW_US);
    tide_thresholds_default(&cfg.health.defaults);
    assert_int_equal(tide_query_open(&cfg, NULL, &query, NULL), TIDE_OK);
    assert_int_equal(tide_api_start(&api_cfg, query, &api, NULL), TIDE_OK);
    fake_responses("web", OPEN_US, 20, 1, 5000);
    fake_responses("web", OPEN_US - INT64_C(90000000), 20, 1, 7000);
    fake_responses("web", OPEN_US - INT64_C(900000000), 20, 9, 7000);
    fake_event("web", OPEN_US, &slow);
    fake_gauge("web", OPEN_US, TIDE_GAUGE_MEMORY, 12345);
    metric.value = 2500000;
    fake_event("web", OPEN_US - INT64_C(90000000), &metric);
    metric.value = -7;
    fake_event("web", OPEN_US, &metric);
    fake_event("web", OPEN_US - INT64_C(900000000), &metric); /* not in the window */
    strcpy(FAKE.last_error[0], "no \xfe"
                               "way");
    fake_kind("a \"quoted\\\" one", OPEN_US - INT64_C(7200000000), TIDE_EVENT_DEBUG);
    FAKE.ledger.received = FAKE.ledger.stored = 62;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_api_stop(api);
    tide_query_close(query);
    fake_fini();
    tide_clock_fake(0);
    return 0;
}

/* ---- a client ---- */

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    const char *colon = strrchr(tide_api_address(api), ':');
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

struct answer {
    int status;
    char head[4096];
    char *body; /* terminated */
    size_t len;
};

/* Reads one answer; its length must be told by Content-Length or be 0. */
static struct answer read_answer(int fd, bool head_only)
{
    struct answer answer = {0};
    size_t used = 0;
    char *at;

    while (!strstr(answer.head, "\r\n\r\n")) {
        assert_true(used + 1 < sizeof(answer.head));
        if (recv(fd, answer.head + used, 1, 0) != 1)
            fail_msg("connection ended in '%s'", answer.head);
        answer.head[++used] = '\0';
    }
    assert_int_equal(sscanf(answer.head, "HTTP/1.1 %d", &answer.status), 1);
    at = strstr(answer.head, "Content-Length: ");
    assert_true(at || answer.status == 304);
    answer.len = at && !head_only ? strtoul(at + 16, NULL, 10) : 0;
    answer.body = calloc(1, answer.len + 1);
    for (size_t got = 0; got < answer.len;) {
        ssize_t n = recv(fd, answer.body + got, answer.len - got, 0);

        assert_true(n > 0);
        got += (size_t)n;
    }
    return answer;
}

static void ask(int fd, const char *method, const char *target, const char *headers)
{
    char text[8192];
    int len = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target,
                       headers);

    assert_int_equal(send(fd, text, (size_t)len, MSG_NOSIGNAL), len);
}

static struct answer get(const char *target)
{
    int fd = dial();
    struct answer answer;

    ask(fd, "GET", target, "");
    answer = read_answer(fd, false);
    close(fd);
    return answer;
}

static json_t *get_json(const char *target, int status)
{
    struct answer answer = get(target);
    json_t *json = json_loadb(answer.body, answer.len, JSON_REJECT_DUPLICATES, NULL);

    if (answer.status != status || !json)
        fail_msg("%s: %d, %s", target, answer.status, answer.body);
    assert_non_null(strstr(answer.head, "X-Content-Type-Options: nosniff\r\n"));
    assert_non_null(strstr(answer.head, status == 200
                                            ? "Content-Type: application/json\r\n"
                                            : "Content-Type: application/problem+json\r\n"));
    free(answer.body);
    return json;
}

/* The keys must be exactly these, blank-separated. */
static void assert_keys(const json_t *object, const char *names)
{
    char copy[2048], *rest = copy, *name;
    size_t count = 0;

    assert_true(json_is_object(object));
    assert_true(strlen(names) < sizeof(copy));
    strcpy(copy, names);
    while ((name = strsep(&rest, " "))) {
        if (!json_object_get(object, name))
            fail_msg("no key %s", name);
        count++;
    }
    if (json_object_size(object) != count)
        fail_msg("%zu keys, expected %zu: %s", json_object_size(object), count, names);
}

#define SUMMARY                                                                                  \
    "overall_health health_score total_modules active_modules healthy_modules degraded_modules " \
    "critical_modules no_data_modules total_requests window_requests overall_success_rate "      \
    "overall_error_rate average_response_time_ms p95_response_time_ms p99_response_time_ms "     \
    "overall_throughput_rps last_updated window_s"

static void every_endpoint_has_exactly_its_keys(void **state)
{
    static const struct {
        const char *target, *top, *inner, *keys;
    } row[] = {
        {"/api/v3/metrics/summary", "metrics", "metrics", SUMMARY},
        {"/api/v3/metrics/summary?window=1h", "metrics", "metrics", SUMMARY},
        {"/api/v3/metrics/aggregated", "metrics", "metrics",
         SUMMARY " successful_requests failed_requests p50_response_time_ms min_response_time_ms "
                 "max_response_time_ms total_memory_usage_bytes average_cpu_usage_percent "
                 "total_goroutines database_connections in_flight latency_samples "
                 "percentile_relative_error"},
        {"/api/v3/metrics/module?module_id=web", "module_id metrics", "metrics",
         "status health_score reasons judged_window_s total_requests successful_requests "
         "failed_requests errors window_requests success_rate error_rate average_response_time_ms "
         "p50_response_time_ms p95_response_time_ms p99_response_time_ms min_response_time_ms "
         "max_response_time_ms throughput_rps memory_usage_bytes cpu_usage_percent goroutines "
         "database_connections in_flight restarts first_seen last_updated last_error slowest "
         "custom "
         "latency_samples percentile_relative_error"},
        {"/api/v3/metrics/modules", "modules count next_cursor", "modules",
         "module_id status health_score total_requests error_rate p95_response_time_ms "
         "throughput_rps last_updated"},
        {"/api/v3/metrics/health", "health", "health",
         "overall_health health_score degraded_modules critical_modules overall_success_rate "
         "overall_error_rate total_requests successful_requests failed_requests timestamp modules"},
        {"/api/v3/metrics/performance", "performance", "performance",
         "average_response_time_ms p50_response_time_ms p95_response_time_ms p99_response_time_ms "
         "overall_throughput_rps total_memory_usage_bytes average_cpu_usage_percent "
         "total_goroutines database_connections timestamp slowest_modules"},
        {"/api/v3/metrics/history?format=json&limit=1000",
         "module_id from to step_s tier limit percentile_relative_error next_cursor history",
         "history",
         "interval_start requests successful failed errors average_response_time_ms "
         "min_response_time_ms p50_response_time_ms p95_response_time_ms p99_response_time_ms "
         "max_response_time_ms throughput_rps memory_usage_bytes memory_usage_bytes_max "
         "cpu_usage_percent cpu_usage_percent_max goroutines database_connections complete "
         "corrected"},
        {"/api/v3/metrics/history?fields=requests,failed&quantiles=0.5,0.999&histogram=true",
         "module_id from to step_s tier limit percentile_relative_error next_cursor history",
         "history", "interval_start requests failed p50 p99_9 histogram"},
        {"/api/v3/metrics/history?fields=requests,failed&quantiles=0.5&format=columns",
         "module_id from to step_s tier limit percentile_relative_error next_cursor columns",
         "columns", "t requests failed p50"},
        {"/api/v3/health/live", "status checks", "checks", "loop"},
        {"/livez", "status checks", "checks", "loop"},
        {"/api/v3/health/ready", "status checks", "checks", "store commit"},
        {"/readyz", "status checks", "checks", "store commit"},
        {"/api/v3/health/status", "status checks", "checks",
         "loop store commit ingest readers data"},
        {"/healthz", "status checks", "checks", "loop store commit ingest readers data"},
        {"/api/v3/ingest/ledger", "ledger", "ledger",
         "received stored late duplicate sampled rejected rejected_by_reason skewed chunks dedup"},
        {"/api/v3/ingest/rejected", "rejected count", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        json_t *json = get_json(row[i].target, 200), *inner;
        char top[512];

        print_message("%s\n", row[i].target);
        snprintf(top, sizeof(top), "endpoint timestamp duration_ms %s", row[i].top);
        assert_keys(json, top);
        assert_string_equal(json_string_value(json_object_get(json, "timestamp")),
                            "2023-11-14T22:15:15Z");
        assert_true(json_is_number(json_object_get(json, "duration_ms")));
        if (row[i].inner) {
            inner = json_object_get(json, row[i].inner);
            if (json_is_array(inner))
                inner = json_array_get(inner, 0);
            assert_keys(inner, row[i].keys);
        }
        json_decref(json);
    }
}

static void what_does_not_exist_is_null(void **state)
{
    json_t *json = get_json("/api/v3/metrics/module?module_id=a%20%22quoted%5C%22%20one", 200);
    json_t *metrics = json_object_get(json, "metrics");
    static const char *const null[] = {"health_score",
                                       "success_rate",
                                       "error_rate",
                                       "average_response_time_ms",
                                       "p50_response_time_ms",
                                       "min_response_time_ms",
                                       "max_response_time_ms",
                                       "memory_usage_bytes",
                                       "cpu_usage_percent",
                                       "goroutines",
                                       "database_connections",
                                       "last_error",
                                       "slowest"};

    (void)state;
    assert_string_equal(json_string_value(json_object_get(json, "module_id")),
                        "a \"quoted\\\" one");
    assert_string_equal(json_string_value(json_object_get(metrics, "status")), "no_data");
    for (size_t i = 0; i < sizeof(null) / sizeof(null[0]); i++)
        assert_true(json_is_null(json_object_get(metrics, null[i])));
    json_decref(json);
}

static void a_module_tells_its_figures(void **state)
{
    json_t *json = get_json("/api/v3/metrics/module?module_id=web", 200);
    json_t *metrics = json_object_get(json, "metrics");
    json_t *slowest = json_object_get(metrics, "slowest"), *custom;

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(metrics, "total_requests")), 61);
    assert_int_equal(json_integer_value(json_object_get(metrics, "failed_requests")), 11);
    assert_int_equal(json_integer_value(json_object_get(metrics, "successful_requests")), 50);
    assert_int_equal(json_integer_value(json_object_get(metrics, "window_requests")), 41);
    assert_int_equal(json_integer_value(json_object_get(metrics, "memory_usage_bytes")), 12345);
    assert_string_equal(json_string_value(json_object_get(metrics, "last_error")),
                        "no \xef\xbf\xbdway");
    assert_string_equal(json_string_value(json_object_get(slowest, "correlation_id")),
                        "id-\xef\xbf\xbd");
    assert_true(json_number_value(json_object_get(slowest, "duration_ms")) == 81);
    assert_int_equal(json_object_size(json_object_get(metrics, "custom")), 1);
    custom = json_object_get(json_object_get(metrics, "custom"), "queue \"depth\"");
    assert_keys(custom, "count sum min max last");
    assert_int_equal(json_integer_value(json_object_get(custom, "count")), 2);
    assert_true(json_number_value(json_object_get(custom, "sum")) == 2.499993);
    assert_true(json_number_value(json_object_get(custom, "min")) == -0.000007);
    assert_true(json_number_value(json_object_get(custom, "max")) == 2.5);
    assert_true(json_number_value(json_object_get(custom, "last")) == -0.000007);
    json_decref(json);
}

static void errors_are_problems(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *detail; /* NULL: any */
    } row[] = {
        {"/api/v3/metrics/module", 400, "module_id parameter is required"},
        {"/api/v3/metrics/module?module_id=", 400, "module_id parameter is required"},
        {"/api/v3/metrics/module?module_id=nobody", 404, "Module not found"},
        {"/api/v3/metrics/history?module_id=nobody", 404, "Module not found"},
        {"/api/v3/metrics/history?from=-1h&to=-2h", 400, "from must be before to"},
        {"/api/v3/metrics/history?step=45s", 400, NULL},
        {"/api/v3/metrics/history?cursor=abc", 400, NULL},
        {"/api/v3/metrics/history?fields=requests,nope", 400, NULL},
        {"/api/v3/metrics/history?format=xml", 400, NULL},
        {"/api/v3/metrics/history?limit=100001", 400, NULL},
        {"/api/v3/metrics/modules?cursor=abc", 400, NULL},
        {"/api/v3/metrics/modules?limit=10001", 400, NULL},
        {"/api/v3/metrics/summary?window=10s", 400, NULL},
        {"/api/v3/metrics/summary?foo=1", 400, NULL},
        {"/livez?foo=1", 400, NULL},
        {"/", 404, NULL},
        {"/api/v3/metrics/summary/", 404, NULL},
        {"/api/v3/metrics/%73ummary", 404, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        json_t *json = get_json(row[i].target, row[i].status);

        assert_keys(json, "type title status detail instance code");
        assert_int_equal(json_integer_value(json_object_get(json, "status")), row[i].status);
        if (row[i].detail)
            assert_string_equal(json_string_value(json_object_get(json, "detail")), row[i].detail);
        json_decref(json);
    }
}

static void other_methods_are_405_and_the_connection_lives(void **state)
{
    static const char *const method[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"};
    int fd = dial();

    (void)state;
    for (size_t i = 0; i < sizeof(method) / sizeof(method[0]); i++) {
        struct answer answer;

        ask(fd, method[i], "/api/v3/metrics/summary", "Content-Length: 0\r\n");
        answer = read_answer(fd, false);
        assert_int_equal(answer.status, 405);
        assert_non_null(strstr(answer.head, "Allow: GET, HEAD\r\n"));
        assert_non_null(strstr(answer.body, "\"status\":405"));
        free(answer.body);
    }
    ask(fd, "GET", "/livez", "");
    free(read_answer(fd, false).body);
    ask(fd, "GET", "/nope", "");
    free(read_answer(fd, false).body);
    ask(fd, "GET", "/livez", "");
    free(read_answer(fd, false).body);
    close(fd);
}

static void head_has_the_length_and_no_body(void **state)
{
    int fd = dial();
    struct answer answer;

    (void)state;
    for (int i = 0; i < 3; i++) {
        ask(fd, "HEAD", "/api/v3/metrics/aggregated", "");
        answer = read_answer(fd, true);
        assert_int_equal(answer.status, 200);
        assert_true(strtoul(strstr(answer.head, "Content-Length: ") + 16, NULL, 10) > 500);
        free(answer.body);
    }
    ask(fd, "HEAD", "/nope", "");
    answer = read_answer(fd, true);
    assert_int_equal(answer.status, 404);
    free(answer.body);
    ask(fd, "GET", "/livez", ""); /* nothing of a body may stand before this answer */
    answer = read_answer(fd, false);
    assert_int_equal(answer.status, 200);
    free(answer.body);
    close(fd);
}

static void answers_are_not_cached(void **state)
{
    struct answer answer = get("/api/v3/metrics/summary");

    (void)state;
    assert_non_null(strstr(answer.head, "Cache-Control: no-cache, no-store, must-revalidate\r\n"));
    assert_non_null(strstr(answer.head, "Pragma: no-cache\r\n"));
    assert_non_null(strstr(answer.head, "Expires: 0\r\n"));
    assert_null(strstr(answer.head, "ETag"));
    free(answer.body);
}

static void a_closed_range_is_revalidated_and_an_open_one_is_not(void **state)
{
    const char *closed = "/api/v3/metrics/history?from=1699999200&to=1700000100&step=30s";
    int fd = dial();
    struct answer answer;
    char headers[200], etag[64] = "";

    (void)state;
    ask(fd, "GET", closed, "");
    answer = read_answer(fd, false);
    assert_int_equal(sscanf(strstr(answer.head, "ETag: "), "ETag: %63[^\r]", etag), 1);
    assert_memory_equal(etag, "W/\"", 3);
    assert_non_null(strstr(answer.head, "Cache-Control: private, no-cache\r\n"));
    assert_null(strstr(answer.head, "no-store"));
    free(answer.body);

    tide_clock_fake(NOW_US +
                    INT64_C(10000000)); /* the tag is of the points, not of the time of asking */
    snprintf(headers, sizeof(headers), "If-None-Match: \"x\", %s\r\n", etag);
    ask(fd, "GET", closed, headers);
    answer = read_answer(fd, false);
    assert_int_equal(answer.status, 304);
    assert_non_null(strstr(answer.head, etag));
    free(answer.body);

    fake_responses("web", OPEN_US - INT64_C(90000000), 1, 0, 1); /* a late event */
    ask(fd, "GET", closed, headers);
    answer = read_answer(fd, false);
    assert_int_equal(answer.status, 200);
    free(answer.body);

    ask(fd, "GET", "/api/v3/metrics/history?step=30s", "If-None-Match: *\r\n");
    answer = read_answer(fd, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(answer.head, "no-store"));
    assert_null(strstr(answer.head, "ETag"));
    free(answer.body);
    close(fd);
}

static void history_pages_hold_every_point_once_and_keep_their_range(void **state)
{
    char target[600] = "/api/v3/metrics/history?module_id=web&step=30s&limit=1", from[40] = "";
    unsigned points = 0, pages = 0, requests = 0;

    (void)state;
    for (;;) {
        json_t *json = get_json(target, 200);
        json_t *history = json_object_get(json, "history"),
               *next = json_object_get(json, "next_cursor");

        if (pages++ == 0)
            strcpy(from, json_string_value(json_object_get(json, "from")));
        assert_string_equal(json_string_value(json_object_get(json, "from")), from);
        for (size_t i = 0; i < json_array_size(history); i++, points++)
            requests += (unsigned)json_integer_value(
                json_object_get(json_array_get(history, i), "requests"));
        tide_clock_fake(NOW_US + (int64_t)pages * 40000000); /* time passes between pages */
        snprintf(target, sizeof(target),
                 "/api/v3/metrics/history?module_id=web&step=30s&limit=1&cursor=%s",
                 json_is_null(next) ? "" : json_string_value(next));
        if (json_is_null(next)) {
            json_decref(json);
            break;
        }
        json_decref(json);
    }
    assert_int_equal(points, 3);
    assert_int_equal(pages, 3);
    assert_int_equal(requests, 61);
}

static void module_pages_go_over_http(void **state)
{
    char target[700] = "/api/v3/metrics/modules?sort=trouble&limit=7";
    size_t seen = 0;

    (void)state;
    for (int i = 0; i < 50; i++) {
        char name[16];

        snprintf(name, sizeof(name), "n%d", i);
        fake_responses(name, OPEN_US, 10, (unsigned)i % 4, 1000);
    }
    for (;;) {
        json_t *json = get_json(target, 200), *next = json_object_get(json, "next_cursor");

        assert_int_equal(json_integer_value(json_object_get(json, "count")), 52);
        seen += json_array_size(json_object_get(json, "modules"));
        if (json_is_null(next)) {
            json_decref(json);
            break;
        }
        snprintf(target, sizeof(target), "/api/v3/metrics/modules?sort=trouble&limit=7&cursor=%s",
                 json_string_value(next));
        json_decref(json);
    }
    assert_int_equal(seen, 52);
}

static void csv_has_a_header_and_a_line_per_point(void **state)
{
    struct answer answer =
        get("/api/v3/metrics/history?module_id=web&step=30s&format=csv&fields=requests,complete");

    (void)state;
    assert_non_null(strstr(answer.head, "Content-Type: text/csv; charset=utf-8\r\n"));
    assert_string_equal(answer.body, "interval_start,requests,complete\r\n"
                                     "2023-11-14T22:00:00Z,20,true\r\n"
                                     "2023-11-14T22:13:30Z,20,true\r\n"
                                     "2023-11-14T22:15:00Z,21,false\r\n");
    free(answer.body);
}

static void gzip_is_sent_when_accepted(void **state)
{
    int fd = dial();
    struct answer plain, packed;
    char *unpacked = calloc(1, BODY_MAX);
    z_stream stream = {0};

    (void)state;
    ask(fd, "GET", "/api/v3/metrics/prometheus", "");
    plain = read_answer(fd, false);
    assert_null(strstr(plain.head, "Content-Encoding"));
    ask(fd, "GET", "/api/v3/metrics/prometheus", "Accept-Encoding: br, gzip\r\n");
    packed = read_answer(fd, false);
    assert_non_null(strstr(packed.head, "Content-Encoding: gzip\r\n"));
    assert_true(packed.len < plain.len / 3);
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (unsigned char *)packed.body;
    stream.avail_in = (unsigned)packed.len;
    stream.next_out = (unsigned char *)unpacked;
    stream.avail_out = BODY_MAX - 1;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    inflateEnd(&stream);
    assert_memory_equal(unpacked, plain.body, 400);
    ask(fd, "GET", "/livez", "Accept-Encoding: gzip\r\n"); /* too small to be worth it */
    free(packed.body);
    packed = read_answer(fd, false);
    assert_null(strstr(packed.head, "Content-Encoding"));
    free(packed.body);
    free(plain.body);
    free(unpacked);
    close(fd);
}

static void promtool_finds_nothing_to_say(void **state)
{
    struct answer answer;
    char path[] = "/tmp/tidemark-prom-XXXXXX", command[200];
    int fd, rc;

    (void)state;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("skipped: promtool is not installed (Debian package prometheus)\n");
        skip();
    }
    free(get("/livez").body);
    free(get("/nope").body);
    tide_timing_add(&tide_commit_timing, 700);
    answer = get("/api/v3/metrics/prometheus");
    assert_non_null(
        strstr(answer.head, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    fd = mkstemp(path);
    assert_int_equal(write(fd, answer.body, answer.len), answer.len);
    close(fd);
    snprintf(command, sizeof(command), "test -z \"$(promtool check metrics <%s 2>&1)\"", path);
    rc = system(command);
    unlink(path);
    assert_int_equal(WEXITSTATUS(rc), 0);
    free(answer.body);
}

static void no_metric_family_appears_twice(void **state)
{
    static const char *const accept[] = {"",
                                         "Accept: application/openmetrics-text;version=1.0.0\r\n"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        int fd = dial();
        struct answer answer;

        ask(fd, "GET", "/api/v3/metrics/prometheus", accept[i]);
        answer = read_answer(fd, false);
        close(fd);
        if (i == 1) {
            assert_non_null(
                strstr(answer.head, "Content-Type: application/openmetrics-text; version=1.0.0"));
            assert_string_equal(answer.body + answer.len - 6, "# EOF\n");
        }
        for (char *at = answer.body; (at = strstr(at, "# TYPE ")); at++) {
            char family[200];

            assert_int_equal(sscanf(at, "# TYPE %190s", family), 1);
            strcat(family, " ");
            for (char *other = at + 1; (other = strstr(other, "# TYPE ")); other++)
                if (strncmp(other + 7, family, strlen(family)) == 0)
                    fail_msg("%s stands there twice", family);
        }
        free(answer.body);
    }
}

static void the_daemon_is_not_ready_when_its_store_is_not(void **state)
{
    json_t *json;
    struct answer answer;

    (void)state;
    FAKE.state = TIDE_STORE_FULL;
    json = get_json("/livez", 200);
    json_decref(json);
    answer = get("/readyz");
    assert_int_equal(answer.status, 503);
    json = json_loadb(answer.body, answer.len, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json, "status")), "failing");
    json_decref(json);
    free(answer.body);
    answer = get("/healthz");
    assert_int_equal(answer.status, 503);
    free(answer.body);
}

static void a_failing_store_is_an_error_not_a_crash(void **state)
{
    struct answer answer;

    (void)state;
    FAKE.open_rc = TIDE_IO;
    answer = get("/api/v3/metrics/summary");
    assert_int_equal(answer.status, 500);
    assert_non_null(strstr(answer.body, "\"code\":\"internal\""));
    free(answer.body);
    FAKE.open_rc = TIDE_OK;
}

static void two_lengths_are_refused(void **state)
{
    int fd = dial();
    struct answer answer;

    (void)state;
    ask(fd, "GET", "/livez", "Content-Length: 0\r\nContent-Length: 5\r\n");
    answer = read_answer(fd, false);
    assert_int_equal(answer.status, 400);
    free(answer.body);
    close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    const char text[] =
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    static const int status[] = {200, 404, 200};
    int fd = dial();

    (void)state;
    assert_int_equal(send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL), sizeof(text) - 1);
    for (int i = 0; i < 3; i++) {
        struct answer answer = read_answer(fd, false);

        assert_int_equal(answer.status, status[i]);
        free(answer.body);
    }
    close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(every_endpoint_has_exactly_its_keys),
        CASE(what_does_not_exist_is_null),
        CASE(a_module_tells_its_figures),
        CASE(errors_are_problems),
        CASE(other_methods_are_405_and_the_connection_lives),
        CASE(head_has_the_length_and_no_body),
        CASE(answers_are_not_cached),
        CASE(a_closed_range_is_revalidated_and_an_open_one_is_not),
        CASE(history_pages_hold_every_point_once_and_keep_their_range),
        CASE(module_pages_go_over_http),
        CASE(csv_has_a_header_and_a_line_per_point),
        CASE(gzip_is_sent_when_accepted),
        CASE(promtool_finds_nothing_to_say),
        CASE(no_metric_family_appears_twice),
        CASE(the_daemon_is_not_ready_when_its_store_is_not),
        CASE(a_failing_store_is_an_error_not_a_crash),
        CASE(two_lengths_are_refused),
        CASE(pipelined_requests_are_answered_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
