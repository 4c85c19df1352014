/* `tidemark send`: standard input -> chunks -> Forward, and success only when everything is acked.
 *
 * A chunk's id is `v1:<producer>:<epoch>:<seq>` and its bytes never change once it has one. Without
 * --producer the producer is random: ids are stable over lost connections, a new run is new events.
 * With --producer everything that goes into a chunk is a function of the input alone: chunks are
 * cut by count and size, never by time; an entry without a time of its own carries 0 ("when it
 * arrives"); the last, short chunk is sent only at the end of the input. So the same input sent
 * again is, chunk by chunk, a duplicate.
 */
#include "tidemark.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credentials.h"
#include "intake.h"
#include "progress.h"
#include "sender.h"
#include "tidemark/clock.h"
#include "tidemark/wire.h"

#define CHUNK_BYTES_MAX (4 * 1024 * 1024) /* a chunk is closed before it grows beyond this */
#define BAD_LINES_SAID  10                /* with --skip-bad: the rest is only counted */

struct job {
    const struct tide_args *args;
    struct tide_sender *sender;
    struct tide_forward_writer *writer;
    struct tide_intake intake;
    struct tide_progress progress;
    char producer[33];
    bool stable; /* --producer */
    uint64_t epoch, seq;
    const char *tag;
    size_t chunk_events;
    int64_t flush_ms;
    int64_t chunk_began_us; /* when the first event of the open chunk came */
    uint64_t bad;
    uint64_t read_bytes, input_bytes; /* input_bytes 0: unknown */
};

static void show(struct job *job)
{
    double share = job->input_bytes ? (double)job->read_bytes / (double)job->input_bytes : -1.0;

    tide_progress_show(&job->progress, tide_sender_counts(job->sender)->acked_entries, share);
}

/* Closes the open chunk and hands it to the sender, waiting for room. */
static enum tide_rc chunk_close(struct job *job, struct tide_err *err)
{
    size_t entries = tide_forward_writer_entries(job->writer), len;
    char id[TIDE_CHUNK_TEXT_SIZE];
    const void *frame;
    enum tide_rc rc = TIDE_OK;

    if (entries == 0)
        return TIDE_OK;
    while (!tide_sender_room(job->sender) && rc == TIDE_OK) {
        show(job);
        rc = tide_sender_step(job->sender, -1, 200, NULL, err);
    }
    if (rc != TIDE_OK)
        return rc;
    tide_chunk_text(id, job->producer, job->epoch, job->seq++);
    frame = tide_forward_writer_finish(job->writer, job->tag, id, &len);
    tide_sender_put(job->sender, frame, len, id, (uint32_t)entries);
    return TIDE_OK;
}

static enum tide_rc record_add(struct job *job, const struct tide_intake_record *record,
                               struct tide_err *err)
{
    int64_t time_us = record->has_time ? record->time_us : job->stable ? 0 : tide_clock_wall_us();
    enum tide_rc rc = TIDE_OK;

    if (tide_forward_writer_size(job->writer) + record->len > CHUNK_BYTES_MAX)
        rc = chunk_close(job, err);
    if (rc != TIDE_OK)
        return rc;
    if (tide_forward_writer_entries(job->writer) == 0)
        job->chunk_began_us = tide_clock_mono_us();
    tide_forward_writer_add(job->writer, time_us, record->map, record->len);
    if (tide_forward_writer_entries(job->writer) >= job->chunk_events)
        rc = chunk_close(job, err);
    return rc;
}

/* Says what is wrong with a record; TIDE_OK when the command goes on behind it. */
static enum tide_rc bad_record(struct job *job, enum tide_rc rc, struct tide_err *err)
{
    const char *noun = job->intake.format == TIDE_INTAKE_JSON ? "line" : "record";

    tide_err_wrap(err, "%s %" PRIu64, noun, job->intake.number);
    job->bad++;
    if (rc == TIDE_DAMAGED || !tide_args_flag(job->args, "skip-bad"))
        return TIDE_MALFORMED;
    if (job->bad <= BAD_LINES_SAID) {
        tide_progress_end(&job->progress);
        tide_say("send: %s; skipped%s", err->text,
                 job->bad == BAD_LINES_SAID ? " (further ones are only counted)" : "");
    }
    return TIDE_OK;
}

/* Takes every whole record that has come. TIDE_AGAIN: more is needed; TIDE_NOT_FOUND: that was all.
 */
static enum tide_rc take_records(struct job *job, struct tide_err *err)
{
    struct tide_intake_record record;
    enum tide_rc rc;

    for (;;) {
        rc = tide_intake_next(&job->intake, &record, err);
        if (rc == TIDE_MALFORMED || rc == TIDE_DAMAGED)
            rc = bad_record(job, rc, err);
        else if (rc == TIDE_OK)
            rc = record_add(job, &record, err);
        if (rc != TIDE_OK)
            return rc;
    }
}

static enum tide_rc read_input(struct job *job, struct tide_err *err)
{
    size_t size;
    void *room = tide_intake_room(&job->intake, &size);
    ssize_t got = read(STDIN_FILENO, room, size);

    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return TIDE_OK;
    if (got < 0) {
        tide_err_set(err, "read standard input: %s", strerror(errno));
        return TIDE_IO;
    }
    job->read_bytes += (uint64_t)got;
    tide_intake_poured(&job->intake, (size_t)got);
    return TIDE_OK;
}

/* Milliseconds until the open chunk is to be sent although it is not full; -1: it waits for more.
 */
static int flush_wait_ms(const struct job *job)
{
    int64_t left_ms;

    if (job->stable || tide_forward_writer_entries(job->writer) == 0)
        return -1;
    left_ms = job->flush_ms - (tide_clock_mono_us() - job->chunk_began_us) / 1000;
    return left_ms > 0 ? (int)left_ms : 0;
}

/* Until the end of the input, a bad record, or trouble. */
static enum tide_rc pump(struct job *job, struct tide_err *err)
{
    enum tide_rc rc;
    bool readable;

    while ((rc = take_records(job, err)) == TIDE_AGAIN) {
        int wait_ms = flush_wait_ms(job);

        show(job);
        if (wait_ms == 0)
            rc = chunk_close(job, err);
        else
            rc = tide_sender_step(job->sender, STDIN_FILENO, wait_ms, &readable, err);
        if (rc == TIDE_OK && wait_ms != 0 && readable)
            rc = read_input(job, err);
        if (rc != TIDE_OK)
            return rc;
    }
    return rc == TIDE_NOT_FOUND ? TIDE_OK : rc;
}

static enum tide_rc drain(struct job *job, struct tide_err *err)
{
    enum tide_rc rc = TIDE_OK;

    while (rc == TIDE_OK && tide_sender_waiting(job->sender) > 0) {
        show(job);
        rc = tide_sender_step(job->sender, -1, 200, NULL, err);
    }
    return rc;
}

/* Sends the input. A bad record stops the reading, but what came before it is still brought home.
 */
static enum tide_rc send_all(struct job *job, struct tide_err *err)
{
    struct tide_err after = {""};
    enum tide_rc rc = pump(job, err), rest = TIDE_OK;

    if (rc != TIDE_OK && rc != TIDE_MALFORMED && rc != TIDE_IO)
        return rc; /* the sender itself failed, or a signal came */
    if (rc == TIDE_OK || !job->stable)
        rest = chunk_close(job, &after);
    if (rest == TIDE_OK)
        rest = drain(job, &after);
    if (rc == TIDE_OK && rest != TIDE_OK)
        *err = after;
    return rc == TIDE_OK ? rest : rc;
}

static void report(const struct job *job, enum tide_rc rc, double seconds)
{
    const struct tide_sender_counts *counts = tide_sender_counts(job->sender);
    uint64_t left = counts->entries - counts->acked_entries +
                    (uint64_t)tide_forward_writer_entries(job->writer);

    if (tide_args_flag(job->args, "json")) {
        printf("{\"acked_events\": %" PRIu64 ", \"acked_chunks\": %" PRIu64
               ", \"unacked_events\": %" PRIu64 ", \"resent_chunks\": %" PRIu64
               ", \"bad_records\": %" PRIu64 ", \"producer\": \"%s\", \"epoch\": %" PRIu64
               ", \"complete\": %s, \"duration_ms\": %.1f}\n",
               counts->acked_entries, counts->acked_chunks, left, counts->resent, job->bad,
               job->producer, job->epoch, rc == TIDE_OK ? "true" : "false", seconds * 1e3);
        return;
    }
    tide_say("send: %" PRIu64 " events acked in %" PRIu64 " chunks, %.1f s%s",
             counts->acked_entries, counts->acked_chunks, seconds,
             counts->resent ? ", some of them sent again" : "");
    if (job->bad && rc == TIDE_OK)
        tide_say("send: %" PRIu64 " bad records left out", job->bad);
    if (left && job->stable)
        tide_say("send: %" PRIu64 " events not acked; send the same input with the same --producer "
                 "again, nothing is counted twice",
                 left);
    else if (left)
        tide_say("send: %" PRIu64 " events not acked", left);
}

static int run(const struct tide_args *args)
{
    const char *format = tide_args_text(args, "format");
    struct tide_credentials credentials;
    struct tide_sender_cfg cfg = {
        .address = tide_args_text(args, "forward"),
        .credentials = &credentials,
        .window = (uint32_t)tide_args_number(args, "window"),
        .retries = (uint32_t)tide_args_number(args, "retry"),
        .timeout_ms = (int)tide_args_number(args, "timeout"),
    };
    struct job job = {.args = args,
                      .stable = tide_args_given(args, "producer"),
                      .epoch = (uint64_t)tide_args_number(args, "epoch"),
                      .tag = tide_args_text(args, "tag"),
                      .chunk_events = (size_t)tide_args_number(args, "chunk-events"),
                      .flush_ms = tide_args_number(args, "flush")};
    int64_t start_us = tide_clock_mono_us();
    struct tide_err err = {""};
    struct stat input;
    enum tide_rc rc;

    if (isatty(STDIN_FILENO))
        tide_say("send: reading JSON lines from the terminal; Ctrl-D ends");
    if (job.stable)
        tide_producer_from(tide_args_text(args, "producer"), job.producer);
    else
        tide_producer_random(job.producer);
    if (fstat(STDIN_FILENO, &input) == 0 && S_ISREG(input.st_mode) && input.st_size > 0)
        job.input_bytes = (uint64_t)input.st_size;
    rc = tide_credentials_init(&credentials, args, &err);
    if (rc != TIDE_OK)
        return tide_tool_fail(args, rc, &err);
    tide_stop_catch();
    rc = tide_sender_open(&cfg, &job.sender, &err);
    if (rc != TIDE_OK) {
        tide_credentials_fini(&credentials);
        return tide_tool_fail(args, rc, &err);
    }
    job.writer = tide_forward_writer_new();
    tide_intake_init(&job.intake,
                     strcmp(format, "json") == 0 ? TIDE_INTAKE_JSON : TIDE_INTAKE_MSGPACK);
    tide_progress_start(&job.progress, tide_args_text(args, "progress"), "events");
    rc = send_all(&job, &err);
    tide_progress_end(&job.progress);
    if (rc == TIDE_STOPPED)
        tide_err_set(&err, "interrupted");
    report(&job, rc, (double)(tide_clock_mono_us() - start_us) / 1e6);
    tide_intake_fini(&job.intake);
    tide_forward_writer_free(job.writer);
    tide_sender_close(job.sender);
    tide_credentials_fini(&credentials);
    return rc == TIDE_OK ? 0 : tide_tool_fail(args, rc, &err);
}

static const struct tide_option options[] = {
    {"forward", "ADDR:PORT", "127.0.0.1:24224", "where the daemon takes events", TIDE_OPTION_TEXT,
     3, 300},
    {"format", "json|msgpack", "json", "JSON lines, or msgpack maps one after another",
     TIDE_OPTION_CHOICE, 0, 0},
    {"tag", "TAG", "tidemark", "tag of the chunks; its last part names a module that does not",
     TIDE_OPTION_TEXT, 1, 256},
    {"producer", "NAME", NULL, "32 hex digits or a name: makes a rerun of the same input harmless",
     TIDE_OPTION_TEXT, 1, 256},
    {"epoch", "N", "0", "with --producer: a higher epoch is another input", TIDE_OPTION_NUMBER, 0,
     INT32_MAX},
    {"chunk-events", "N", "1000", "events in a chunk", TIDE_OPTION_NUMBER, 1, 100000},
    {"window", "N", "4", "chunks on their way at once", TIDE_OPTION_NUMBER, 1, TIDE_WINDOW_MAX},
    {"flush", "TIME", "1s", "send a chunk that is not full after this long (not with --producer)",
     TIDE_OPTION_DURATION, 1, 3600000},
    {"retry", "N", "10", "connections tried in a row before giving up", TIDE_OPTION_NUMBER, 0,
     1000000},
    {"timeout", "TIME", "30s", "connect, and wait for an ack, this long", TIDE_OPTION_DURATION, 10,
     3600000},
    {"skip-bad", NULL, NULL, "leave bad records out instead of stopping at the first",
     TIDE_OPTION_FLAG, 0, 0},
    TIDE_OPTIONS_CREDENTIALS,
    TIDE_OPTION_PROGRESS,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_send = {
    .name = "send",
    .summary = "events from standard input to the daemon, each acked",
    .detail =
        "Reads one JSON object per line (or msgpack maps), sends them in chunks over the Forward\n"
        "protocol and ends with 0 only when every chunk is acked: on disk, counted once. A lost\n"
        "connection is made again and what was not acked is sent again, byte for byte.\n"
        "\n"
        "The time of an event is its field `timestamp` (RFC 3339, seconds, or milliseconds above\n"
        "10^11), else `time` if that reads as one, else now; with --producer else 0, which the\n"
        "daemon takes as the moment of arrival.\n"
        "\n"
        "With --producer the same input may be sent again after any failure: chunks that were\n"
        "counted are not counted again. The input must be the same from its first byte, and the\n"
        "options --tag, --chunk-events and --format too; a changed or longer input needs a higher\n"
        "--epoch: under the same one its chunks are refused as `id_reuse` and acked, under a "
        "lower\n"
        "one they are taken for old ones and acked. The daemon remembers a producer for\n"
        "dedup.window_s (73 hours) after it was last heard.\n"
        "\n" TIDE_HELP_CREDENTIALS "\n"
        "Exit: 0 all acked; 1 a bad record, not all acked, or not let in; 2 usage; 69 nobody "
        "takes\n"
        "events.\n"
        "Events the daemon rejects are acked too; GET /api/v3/ingest/rejected shows them.",
    .option = options,
    .run = run,
};
