/* prom - see prom.h. One function per group of families; a family is its HELP and TYPE and then its
 * samples, all together, as both formats demand. A value that does not exist has no sample.
 */
#include "prom.h"

#include <math.h>
#include <string.h>

#include "stats.h"

struct writer {
    struct tide_body *body;
    bool openmetrics;
};

/* ---- lines ---- */

/* name: as sampled; a counter's ends in _total, which OpenMetrics leaves out of the family's name.
 */
static void family(struct writer *writer, const char *name, const char *type, const char *help)
{
    size_t len = strlen(name);

    if (writer->openmetrics && strcmp(type, "counter") == 0 && len > 6 &&
        strcmp(name + len - 6, "_total") == 0)
        len -= 6;
    tide_body_format(writer->body, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)len, name, help,
                     (int)len, name, type);
}

static void begin(struct writer *writer, const char *name)
{
    tide_body_text(writer->body, name);
}

/* Backslash, quote and newline are escaped; module names hold no other control characters. */
static void label(struct writer *writer, char opener, const char *name, const char *value)
{
    struct tide_body *body = writer->body;

    tide_body_add(body, &opener, 1);
    tide_body_text(body, name);
    tide_body_add(body, "=\"", 2);
    while (*value) {
        size_t plain = strcspn(value, "\\\"\n");

        tide_body_add(body, value, plain);
        value += plain;
        if (!*value)
            break;
        tide_body_text(body, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\");
        value++;
    }
    tide_body_add(body, "\"", 1);
}

static void end_uint(struct writer *writer, const char *before, uint64_t value)
{
    tide_body_text(writer->body, before);
    tide_body_uint(writer->body, value);
    tide_body_add(writer->body, "\n", 1);
}

static void end_real(struct writer *writer, const char *before, double value)
{
    tide_body_text(writer->body, before);
    if (fabs(value) < 1e6)
        tide_body_real(writer->body, value, 9);
    else
        tide_body_real(writer->body, value, 6);
    tide_body_add(writer->body, "\n", 1);
}

static void plain_uint(struct writer *writer, const char *name, const char *type, const char *help,
                       uint64_t value)
{
    family(writer, name, type, help);
    begin(writer, name);
    end_uint(writer, " ", value);
}

static void labelled(struct writer *writer, const char *name, const char *key, const char *value,
                     uint64_t count)
{
    begin(writer, name);
    label(writer, '{', key, value);
    end_uint(writer, "} ", count);
}

/* le as OpenMetrics wants it: always with a point. */
static void end_le(struct writer *writer, uint64_t us, uint64_t count)
{
    struct tide_body *body = writer->body;

    tide_body_text(body, "le=\"");
    tide_body_real(body, (double)us / 1e6, 6);
    if (us % 1000000 == 0)
        tide_body_text(body, ".0");
    end_uint(writer, "\"} ", count);
}

/* ---- modules ---- */

static void write_requests(struct writer *writer, const struct tide_series_view *view)
{
    family(writer, "tidemark_requests_total", "counter", "Operations of a module by outcome");
    for (size_t i = 0; i < view->count; i++) {
        const struct tide_figures *figures = &view->series[i].line.figures;
        const char *name = view->series[i].line.name;

        begin(writer, "tidemark_requests_total");
        label(writer, '{', "module", name);
        end_uint(writer, ",outcome=\"success\"} ", figures->total - figures->failed);
        begin(writer, "tidemark_requests_total");
        label(writer, '{', "module", name);
        end_uint(writer, ",outcome=\"failure\"} ", figures->failed);
    }
    family(writer, "tidemark_errors_total", "counter", "Errors a module reported");
    for (size_t i = 0; i < view->count; i++)
        labelled(writer, "tidemark_errors_total", "module", view->series[i].line.name,
                 view->series[i].line.figures.errors);
}

static void write_durations(struct writer *writer, const struct tide_series_view *view)
{
    family(writer, "tidemark_request_duration_seconds", "histogram",
           "Response time of a module's operations");
    for (size_t i = 0; i < view->count; i++) {
        const struct tide_series *series = &view->series[i];

        for (unsigned le = 0; le < TIDE_SERIES_LES; le++) {
            begin(writer, "tidemark_request_duration_seconds_bucket");
            label(writer, '{', "module", series->line.name);
            tide_body_add(writer->body, ",", 1);
            end_le(writer, UINT64_C(1) << (TIDE_SERIES_LE_FIRST + le), series->le[le]);
        }
        begin(writer, "tidemark_request_duration_seconds_bucket");
        label(writer, '{', "module", series->line.name);
        end_uint(writer, ",le=\"+Inf\"} ", series->samples);
        begin(writer, "tidemark_request_duration_seconds_sum");
        label(writer, '{', "module", series->line.name);
        end_real(writer, "} ", (double)series->sum_us / 1e6);
        labelled(writer, "tidemark_request_duration_seconds_count", "module", series->line.name,
                 series->samples);
    }
}

static void write_gauge(struct writer *writer, const struct tide_series_view *view,
                        const char *name, const char *help, enum tide_gauge gauge, double unit)
{
    family(writer, name, "gauge", help);
    for (size_t i = 0; i < view->count; i++) {
        double value = view->series[i].line.figures.gauge[gauge];

        if (isnan(value))
            continue;
        begin(writer, name);
        label(writer, '{', "module", view->series[i].line.name);
        end_real(writer, "} ", value * unit);
    }
}

static void write_module_health(struct writer *writer, const struct tide_series_view *view)
{
    family(writer, "tidemark_in_flight_requests", "gauge",
           "Requests without a response within the current window");
    for (size_t i = 0; i < view->count; i++)
        labelled(writer, "tidemark_in_flight_requests", "module", view->series[i].line.name,
                 view->series[i].line.figures.in_flight);
    family(writer, "tidemark_module_health_score_ratio", "gauge", "Health of a module, 1 is best");
    for (size_t i = 0; i < view->count; i++) {
        double score = view->series[i].line.health.score;

        if (isnan(score))
            continue;
        begin(writer, "tidemark_module_health_score_ratio");
        label(writer, '{', "module", view->series[i].line.name);
        end_real(writer, "} ", score / 100);
    }
    family(writer, "tidemark_module_status", "gauge", "1 for the status a module has");
    for (size_t i = 0; i < view->count; i++)
        for (int status = 0; status < TIDE_STATUS_COUNT; status++) {
            begin(writer, "tidemark_module_status");
            label(writer, '{', "module", view->series[i].line.name);
            label(writer, ',', "status", tide_status_name((enum tide_status)status));
            end_uint(writer, "} ", (int)view->series[i].line.health.status == status);
        }
}

static void write_fleet(struct writer *writer, const struct tide_series_view *view)
{
    family(writer, "tidemark_modules", "gauge", "Modules by status");
    for (int status = 0; status < TIDE_STATUS_COUNT; status++)
        labelled(writer, "tidemark_modules", "status", tide_status_name((enum tide_status)status),
                 view->fleet.by_status[status]);
    plain_uint(writer, "tidemark_modules_without_series", "gauge",
               "Modules beyond the bound on modules with series of their own",
               view->fleet.modules - view->count);
    family(writer, "tidemark_health_score_ratio", "gauge", "Health of the fleet, 1 is best");
    if (!isnan(view->fleet.score)) {
        begin(writer, "tidemark_health_score_ratio");
        end_real(writer, " ", view->fleet.score / 100);
    }
}

/* ---- the daemon ---- */

static void write_books(struct writer *writer, const struct tide_ledger *books)
{
    const char *name = "tidemark_ingest_events_total";

    family(writer, name, "counter", "Entries received, by what became of them");
    labelled(writer, name, "result", "stored", books->stored);
    labelled(writer, name, "result", "late", books->late);
    labelled(writer, name, "result", "duplicate", books->duplicate);
    labelled(writer, name, "result", "sampled", books->sampled);
    labelled(writer, name, "result", "rejected", tide_ledger_rejected(books));
    name = "tidemark_ingest_rejected_total";
    family(writer, name, "counter", "Rejected entries and chunks, by reason");
    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        labelled(writer, name, "reason", tide_entry_reason_name((enum tide_entry_reason)i),
                 books->rejected[i]);
    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        labelled(writer, name, "reason", tide_chunk_reason_name((enum tide_chunk_reason)i),
                 books->chunks_rejected[i]);
    name = "tidemark_ingest_chunks_total";
    family(writer, name, "counter", "Chunks, by what became of them");
    labelled(writer, name, "result", "committed", books->chunks_committed);
    labelled(writer, name, "result", "duplicate", books->chunks_duplicate);
    labelled(writer, name, "result", "rejected", tide_ledger_chunks_rejected(books));
}

/* The buckets and the count are read while others add: the count is taken from the buckets, so that
 * they agree. */
static void write_timing(struct writer *writer, const char *name, const char *path,
                         struct tide_timing *timing)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i <= TIDE_TIMING_BOUNDS; i++) {
        sum += atomic_load_explicit(&timing->bucket[i], memory_order_relaxed);
        tide_body_format(writer->body, "%s_bucket", name);
        if (path)
            label(writer, '{', "path", path);
        tide_body_text(writer->body, path ? "," : "{");
        if (i < TIDE_TIMING_BOUNDS)
            end_le(writer, tide_timing_bound_us[i], sum);
        else
            end_uint(writer, "le=\"+Inf\"} ", sum);
    }
    tide_body_format(writer->body, "%s_sum", name);
    if (path)
        label(writer, '{', "path", path);
    end_real(writer, path ? "} " : " ",
             (double)atomic_load_explicit(&timing->sum_us, memory_order_relaxed) / 1e6);
    tide_body_format(writer->body, "%s_count", name);
    if (path)
        label(writer, '{', "path", path);
    end_uint(writer, path ? "} " : " ", sum);
}

static void write_store(struct writer *writer, const struct tide_self_view *self)
{
    family(writer, "tidemark_commit_duration_seconds", "histogram",
           "Time of a group commit, its sync included");
    write_timing(writer, "tidemark_commit_duration_seconds", NULL, &tide_commit_timing);
    plain_uint(writer, "tidemark_store_bytes", "gauge", "Size of the store's file",
               self->stats.file_bytes);
    plain_uint(writer, "tidemark_store_used_bytes", "gauge",
               "Bytes of the store's file that are in use", self->stats.used_bytes);
    plain_uint(writer, "tidemark_store_max_bytes", "gauge",
               "Bytes that the store's file may take, 0 for any number", self->stats.max_bytes);
    plain_uint(writer, "tidemark_store_ballast_bytes", "gauge",
               "Bytes of disk set aside for deleting when it is full", self->stats.ballast_bytes);
    family(writer, "tidemark_store_state", "gauge", "1 for the state the store is in");
    for (int state = TIDE_STORE_OK; state <= TIDE_STORE_FAILED; state++)
        labelled(writer, "tidemark_store_state", "state",
                 tide_store_state_name((enum tide_store_state)state), (int)self->state == state);
    family(writer, "tidemark_reader_age_seconds", "gauge", "Age of the oldest open snapshot");
    begin(writer, "tidemark_reader_age_seconds");
    end_real(writer, " ", (double)self->stats.oldest_reader_us / 1e6);
    plain_uint(writer, "tidemark_dedup_chunks", "gauge", "Chunk identities remembered",
               self->stats.identities);
    plain_uint(writer, "tidemark_dedup_event_ids", "gauge", "Event ids remembered",
               self->stats.event_ids);
    plain_uint(writer, "tidemark_dedup_producers", "gauge",
               "Producers of structured chunk ids remembered", self->stats.producers);
    family(writer, "tidemark_dedup_bound", "gauge",
           "1 for the bound that limits the memory of chunks");
    for (unsigned i = 0; i < 2; i++) {
        const char *bound = i ? "count" : "window";
        const char *active = self->stats.identity_bound ? self->stats.identity_bound : "";

        labelled(writer, "tidemark_dedup_bound", "bound", bound, strcmp(active, bound) == 0);
    }
}

static void write_http(struct writer *writer)
{
    family(writer, "tidemark_http_requests_total", "counter", "HTTP answers by path and status");
    for (size_t route = 0; route <= TIDE_ROUTE_COUNT; route++)
        for (unsigned code = 0; code < TIDE_HTTP_CODE_COUNT; code++) {
            uint64_t count =
                atomic_load_explicit(&tide_http_requests[route][code], memory_order_relaxed);

            if (count == 0)
                continue;
            begin(writer, "tidemark_http_requests_total");
            label(writer, '{', "path", tide_http_path(route));
            tide_body_format(writer->body, ",code=\"%d\"", tide_http_code_value[code]);
            end_uint(writer, "} ", count);
        }
    family(writer, "tidemark_http_request_duration_seconds", "histogram",
           "Time to answer an HTTP request");
    for (size_t route = 0; route <= TIDE_ROUTE_COUNT; route++)
        if (atomic_load_explicit(&tide_http_timing[route].count, memory_order_relaxed) > 0)
            write_timing(writer, "tidemark_http_request_duration_seconds", tide_http_path(route),
                         &tide_http_timing[route]);
}

static void write_counters(struct writer *writer)
{
    for (int i = 0; i < TIDE_COUNTER_COUNT; i++)
        plain_uint(writer, tide_counter_info[i].name, tide_counter_info[i].type,
                   tide_counter_info[i].help, tide_counted((enum tide_counter)i));
    family(writer, "tidemark_build_info", "gauge", "1, with the version of the daemon");
    labelled(writer, "tidemark_build_info", "version", TIDEMARK_VERSION, 1);
}

void tide_prom_write(struct tide_body *body, bool openmetrics, const struct tide_series_view *view,
                     const struct tide_self_view *self)
{
    struct writer writer = {body, openmetrics};

    write_requests(&writer, view);
    write_durations(&writer, view);
    write_gauge(&writer, view, "tidemark_memory_bytes", "Memory a module uses", TIDE_GAUGE_MEMORY,
                1);
    write_gauge(&writer, view, "tidemark_cpu_usage_ratio",
                "CPU a module uses, mean of the window, 1 is one core", TIDE_GAUGE_CPU, 0.01);
    write_gauge(&writer, view, "tidemark_goroutines", "Goroutines or threads of a module",
                TIDE_GAUGE_GOROUTINES, 1);
    write_gauge(&writer, view, "tidemark_db_connections", "Database connections of a module",
                TIDE_GAUGE_DB_CONNECTIONS, 1);
    write_module_health(&writer, view);
    write_fleet(&writer, view);
    write_books(&writer, &view->ledger);
    write_store(&writer, self);
    write_http(&writer);
    write_counters(&writer);
    if (openmetrics)
        tide_body_text(body, "# EOF\n");
}
