/* `tidemark demo`: once a second, what the fleet logged in that second goes out as one acked chunk,
 * and what the daemon makes of it comes back as a table. The loop never stops for the daemon: when
 * it is gone, chunks wait in the sender's window (and when that is full, events are left out and
 * counted), until it is back.
 */
#include "tidemark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ask.h"
#include "credentials.h"
#include "fleet.h"
#include "human.h"
#include "sender.h"
#include "table.h"
#include "tidemark/clock.h"
#include "tidemark/hash.h"
#include "tidemark/wire.h"

#define WINDOW          60      /* seconds of events kept while nobody takes them */
#define CATCH_UP_US     5000000 /* after a stall no more than this is made up for */
#define HEAD_LINES      3       /* two of words, one of column heads */
#define SCREEN_COLUMNS  84      /* the widest line in ordinary weather */
#define GOODBYE_MS      5000
#define ASK_MS          2000
#define CHUNK_BYTES_MAX (4 * 1024 * 1024) /* more in one second goes out as several chunks */

struct demo {
    const struct tide_args *args;
    struct tide_fleet *fleet;
    struct tide_sender *sender;
    struct tide_forward_writer *writer;
    char producer[33];
    uint64_t seq;
    uint64_t left_out; /* events */
    bool live;         /* stdout is a terminal: draw over */
    int lines;         /* drawn last time */
};

/* Closes the open chunk and hands it to the sender; without room its events are given up and
 * counted. */
static void chunk_close(struct demo *demo)
{
    uint32_t entries = (uint32_t)tide_forward_writer_entries(demo->writer);
    bool room = tide_sender_room(demo->sender);
    char id[TIDE_CHUNK_TEXT_SIZE];
    const void *frame;
    size_t len;

    if (entries == 0)
        return;
    tide_chunk_text(id, demo->producer, 0, demo->seq);
    frame = tide_forward_writer_finish(demo->writer, "demo", id, &len);
    if (!room) {
        demo->left_out += entries;
        return;
    }
    demo->seq++;
    tide_sender_put(demo->sender, frame, len, id, entries);
}

static void emit(void *to, int64_t time_us, const void *map, size_t len)
{
    struct demo *demo = to;

    tide_forward_writer_add(demo->writer, time_us, map, len);
    if (tide_forward_writer_size(demo->writer) > CHUNK_BYTES_MAX)
        chunk_close(demo);
}

static void row_add(struct tide_table *table, const char *name, const json_t *metrics)
{
    const char *status = tide_word(metrics, "status");
    char text[TIDE_HUMAN_SIZE];

    tide_table_row(table);
    tide_table_cell(table, name);
    tide_table_cell(table, status[0] ? status : "-");
    tide_table_colour(table, tide_status_colour(status));
    tide_table_cell(table, tide_human_score(text, tide_figure(metrics, "health_score")));
    tide_table_cell(table, tide_human_rate(text, tide_figure(metrics, "throughput_rps")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(metrics, "p50_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(metrics, "p95_response_time_ms")));
    tide_table_cell(table, tide_human_ms(text, tide_figure(metrics, "p99_response_time_ms")));
    tide_table_cell(table, tide_human_share(text, tide_figure(metrics, "error_rate")));
}

/* Asks for every module and fills the table. A module the daemon does not know yet is no trouble.
 */
static enum tide_rc table_fill(const struct demo *demo, struct tide_table *table, json_t *rows,
                               struct tide_err *err)
{
    const char *url = tide_args_text(demo->args, "url");

    for (size_t i = 0; i < tide_fleet_size(demo->fleet); i++) {
        const char *name = tide_fleet_name(demo->fleet, i);
        char path[256] = "/api/v3/metrics/module";
        json_t *answer = NULL;
        enum tide_rc rc;

        tide_path_parameter(path, sizeof path, "module_id", name);
        rc = tide_ask(url, path, ASK_MS, &answer, err);
        if (rc != TIDE_OK && rc != TIDE_NOT_FOUND)
            return rc;
        if (table)
            row_add(table, name, json_object_get(answer, "metrics"));
        if (rows && answer)
            json_array_append(rows, answer);
        json_decref(answer);
    }
    return TIDE_OK;
}

static void print_line(const struct demo *demo, const char *text)
{
    char clean[512];

    tide_text_clean(clean, sizeof clean, text);
    printf("%s%s", clean, demo->live ? "\033[K\n" : "\n");
}

static void head_print(const struct demo *demo, const json_t *metrics)
{
    const struct tide_sender_counts *counts = tide_sender_counts(demo->sender);
    char line[512], score[TIDE_HUMAN_SIZE], rate[TIDE_HUMAN_SIZE], time[TIDE_TIME_TEXT_SIZE];

    tide_time_text(time, tide_clock_wall_us());
    snprintf(line, sizeof line, "%.19sZ  fleet %s, score %s, %s", time,
             tide_word(metrics, "overall_health"),
             tide_human_score(score, tide_figure(metrics, "health_score")),
             tide_human_rate(rate, tide_figure(metrics, "overall_throughput_rps")));
    print_line(demo, line);
    snprintf(line, sizeof line,
             "events acked %" PRIu64 " of %" PRIu64 ", chunks waiting %" PRIu32
             ", connections lost %" PRIu64 "%s",
             counts->acked_entries, counts->entries, tide_sender_waiting(demo->sender),
             counts->lost, tide_sender_connected(demo->sender) ? "" : " (connecting again)");
    print_line(demo, line);
}

static void draw_table(struct demo *demo)
{
    static const char *const heads[] = {"module", "status", "score", "rate",
                                        "p50",    "p95",    "p99",   "failed"};
    struct tide_table *table = tide_table_new();
    struct tide_err err = {""};
    json_t *summary = NULL;
    enum tide_rc rc;

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        tide_table_column(table, heads[i], i < 2 ? TIDE_LEFT : TIDE_RIGHT, 0);
    rc = tide_ask(tide_args_text(demo->args, "url"), "/api/v3/metrics/summary", ASK_MS, &summary,
                  &err);
    if (rc == TIDE_OK)
        rc = table_fill(demo, table, NULL, &err);
    if (demo->live && demo->lines)
        printf("\033[%dA", demo->lines);
    head_print(demo, json_object_get(summary, "metrics"));
    demo->lines = 2;
    if (rc == TIDE_OK) {
        tide_table_print(table, stdout, tide_wants_colour(stdout), demo->live ? "\033[K\n" : "\n");
        demo->lines += 1 + (int)tide_fleet_size(demo->fleet);
    } else {
        print_line(demo, err.text);
        demo->lines++;
    }
    fputs(demo->live ? "\033[J" : "\n", stdout);
    fflush(stdout);
    json_decref(summary);
    tide_table_free(table);
}

static void draw_json(const struct demo *demo)
{
    const struct tide_sender_counts *counts = tide_sender_counts(demo->sender);
    struct tide_err err = {""};
    json_t *rows = json_array(), *line;
    enum tide_rc rc = table_fill(demo, NULL, rows, &err);

    line = json_pack("{s:I, s:I, s:I, s:I, s:o}", "sent_events", (json_int_t)counts->entries,
                     "acked_events", (json_int_t)counts->acked_entries, "waiting_chunks",
                     (json_int_t)tide_sender_waiting(demo->sender), "lost_connections",
                     (json_int_t)counts->lost, "modules", rows);
    if (line && rc != TIDE_OK)
        json_object_set_new(line, "trouble", json_string(err.text));
    if (line)
        json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static void urls_print(const struct tide_args *args, FILE *out)
{
    static const char *const paths[] = {
        "/api/v3/metrics/summary", "/api/v3/metrics/modules?sort=trouble",
        "/api/v3/metrics/health",  "/api/v3/metrics/module?module_id=checkout",
        "/api/v3/metrics/history", "/api/v3/metrics/prometheus",
        "/api/v3/ingest/ledger",
    };

    fprintf(out, "a demo fleet sends to %s; look at it with\n", tide_args_text(args, "forward"));
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        fprintf(out, "  %s%s\n", tide_args_text(args, "url"), paths[i]);
    fprintf(out, "  tidemark status | modules | health | history checkout\n\n");
    fflush(out);
}

/* Steps the sender until `until_us` on the monotonic clock. */
static enum tide_rc wait_until(struct demo *demo, int64_t until_us, struct tide_err *err)
{
    enum tide_rc rc = TIDE_OK;
    int64_t left_us;

    while (rc == TIDE_OK && (left_us = until_us - tide_clock_mono_us()) > 0)
        rc = tide_sender_step(demo->sender, -1, (int)((left_us + 999) / 1000), NULL, err);
    return rc;
}

static enum tide_rc run_loop(struct demo *demo, int64_t start_us, struct tide_err *err)
{
    int64_t duration_us = tide_args_number(demo->args, "duration") * 1000;
    int64_t every_us = tide_args_given(demo->args, "every")
                           ? tide_args_number(demo->args, "every") * 1000
                           : (demo->live ? 1 : 10) * INT64_C(1000000);
    int64_t begun_us = tide_clock_mono_us(), next_us = begun_us, draw_us = begun_us + every_us;
    int64_t done_us = start_us;
    enum tide_rc rc;

    for (;;) {
        int64_t wall_us, now_us;

        next_us += 1000000;
        rc = wait_until(demo, next_us, err);
        if (rc != TIDE_OK)
            return rc;
        wall_us = tide_clock_wall_us();
        if (wall_us - done_us > CATCH_UP_US || wall_us < done_us)
            done_us = wall_us - 1000000; /* the machine slept, or its clock was set */
        tide_fleet_log(demo->fleet, done_us, wall_us, emit, demo);
        chunk_close(demo);
        done_us = wall_us;
        now_us = tide_clock_mono_us();
        if (now_us - next_us > 1000000)
            next_us = now_us; /* an answer took long: no hurry afterwards */
        if (duration_us && now_us - begun_us >= duration_us)
            return TIDE_OK;
        if (now_us >= draw_us) {
            draw_us =
                now_us + every_us - 500000; /* due at a tick: half of one early is that tick */
            if (tide_args_flag(demo->args, "json"))
                draw_json(demo);
            else
                draw_table(demo);
        }
    }
}

/* The last chunks are brought home, for a while. */
static void say_goodbye(struct demo *demo)
{
    const struct tide_sender_counts *counts = tide_sender_counts(demo->sender);
    int64_t until_us = tide_clock_mono_us() + GOODBYE_MS * 1000;
    struct tide_err err = {""};

    tide_stopping = 0; /* the next Ctrl-C ends the process */
    while (tide_sender_waiting(demo->sender) > 0 && tide_clock_mono_us() < until_us)
        if (tide_sender_step(demo->sender, -1, 100, NULL, &err) != TIDE_OK)
            break;
    tide_say("demo: %" PRIu64 " of %" PRIu64 " events acked", counts->acked_entries,
             counts->entries);
    if (demo->left_out)
        tide_say("demo: %" PRIu64 " events left out while nobody took them", demo->left_out);
}

/* A terminal that holds the whole table: drawing over a longer or wider one would leave its upper
 * part standing. */
static bool screen_fits(const struct demo *demo)
{
    struct winsize size = {.ws_row = 0};

    if (!isatty(STDOUT_FILENO))
        return false;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return true; /* it does not say */
    return size.ws_row > tide_fleet_size(demo->fleet) + HEAD_LINES && size.ws_col >= SCREEN_COLUMNS;
}

static int run(const struct tide_args *args)
{
    struct tide_credentials credentials;
    struct tide_sender_cfg cfg = {.address = tide_args_text(args, "forward"),
                                  .credentials = &credentials,
                                  .window = WINDOW,
                                  .retries = TIDE_RETRY_FOR_EVER,
                                  .timeout_ms = 10000};
    struct demo demo = {.args = args};
    int64_t start_us = tide_clock_wall_us();
    uint64_t seed = (uint64_t)tide_args_number(args, "seed");
    struct tide_err err = {""};
    enum tide_rc rc;

    demo.live = !tide_args_flag(args, "json") && screen_fits(&demo);
    cfg.quiet = demo.live; /* the table says it */
    if (!tide_args_given(args, "seed"))
        tide_random(&seed, sizeof seed);
    tide_producer_random(demo.producer);
    rc = tide_credentials_init(&credentials, args, &err);
    if (rc != TIDE_OK)
        return tide_tool_fail(args, rc, &err);
    tide_stop_catch();
    rc = tide_sender_open(&cfg, &demo.sender, &err);
    if (rc != TIDE_OK) {
        tide_credentials_fini(&credentials);
        return tide_tool_fail(args, rc, &err);
    }
    demo.writer = tide_forward_writer_new();
    demo.fleet = tide_fleet_new(seed, (double)tide_args_number(args, "rate"),
                                (uint32_t)(tide_args_number(args, "cycle") / 1000), start_us);
    urls_print(args, tide_args_flag(args, "json") ? stderr : stdout);
    rc = run_loop(&demo, start_us, &err);
    if (rc == TIDE_OK || rc == TIDE_STOPPED) {
        say_goodbye(&demo);
        rc = TIDE_OK;
    }
    tide_fleet_free(demo.fleet);
    tide_forward_writer_free(demo.writer);
    tide_sender_close(demo.sender);
    tide_credentials_fini(&credentials);
    return rc == TIDE_OK ? 0 : tide_tool_fail(args, rc, &err);
}

static const struct tide_option options[] = {
    {"forward", "ADDR:PORT", "127.0.0.1:24224", "where the daemon takes events", TIDE_OPTION_TEXT,
     3, 300},
    TIDE_OPTION_URL,
    TIDE_OPTION_TOKEN,
    {"rate", "N", "400", "requests per second of the whole fleet", TIDE_OPTION_NUMBER, 1, 50000},
    {"duration", "TIME", "0", "stop after this long; 0: run until Ctrl-C", TIDE_OPTION_DURATION, 0,
     INT64_C(31536000000)},
    {"cycle", "TIME", "10m", "the module `checkout` degrades once in this time",
     TIDE_OPTION_DURATION, 10000, 86400000},
    {"every", "TIME", NULL, "show the table this often (1s on a terminal, else 10s)",
     TIDE_OPTION_DURATION, 1000, 3600000},
    {"seed", "N", NULL, "make the same fleet again", TIDE_OPTION_NUMBER, 0, INT64_MAX},
    TIDE_OPTIONS_CREDENTIALS,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_demo = {
    .name = "demo",
    .summary = "a believable fleet of a dozen modules, and what the daemon makes of it",
    .detail =
        "Sends what the fleet would log, one acked chunk a second, and shows each module as the\n"
        "daemon's REST port answers it. Ctrl-C ends it. The daemon may be restarted meanwhile:\n"
        "what it did not ack is sent again under the same id.\n"
        "\n" TIDE_HELP_CREDENTIALS "\n"
        "--json prints one object per --every: the counts and every module's answer.",
    .option = options,
    .run = run,
};
