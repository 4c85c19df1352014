/* One row per flag and key: adding an option is adding a row and a field. Reading, checking, help
 * and reload all walk this table; what a row cannot say (one key per signal, rules by glob) is in
 * config.c.
 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidemark/log.h"
#include "tidemark/tier.h"

#define KIB       INT64_C(1024)
#define MIB       (1024 * KIB)
#define TIB       (1024 * 1024 * MIB)
#define DAY_S     INT64_C(86400)
#define SOME_S    (INT64_C(1) << 31)
#define FROM_CPUS INT64_C(-1) /* preset: processors - 1, at least 1 */

#define FIELD(name) \
    .at = offsetof(struct tide_config, name), .size = sizeof(((struct tide_config *)0)->name)

/* A store has to hold its journal and what it knows of committed chunks, whatever goes early. */
static bool cap_fits(int64_t bytes)
{
    return bytes == 0 || bytes >= 64 * MIB;
}

const struct tide_option tide_option[] = {
    {.name = "--config",
     .type = TIDE_OPTION_TEXT,
     FIELD(file),
     .argument = "FILE",
     .help = "read keys from FILE: JSON, // and # comments allowed"},
    {.name = "--data-dir",
     .type = TIDE_OPTION_TEXT,
     FIELD(data_dir),
     .argument = "DIR",
     .preset_text = "./tidemark-data",
     .help = "where the store lives"},
    {.name = "--forward",
     .type = TIDE_OPTION_TEXT,
     FIELD(forward),
     .argument = "ADDR:PORT",
     .preset_text = "127.0.0.1:24224",
     .help = "take events here; port 0: the kernel picks"},
    {.name = "--http",
     .type = TIDE_OPTION_TEXT,
     FIELD(http),
     .argument = "ADDR:PORT",
     .preset_text = "127.0.0.1:8640",
     .help = "answer here; port 0: the kernel picks"},
    {.name = "--set",
     .type = TIDE_OPTION_PAIR,
     .argument = "section.key=value",
     .help = "set one key; may be repeated"},
    {.name = "--check-config",
     .type = TIDE_OPTION_SWITCH,
     FIELD(check),
     .help = "print ok, or what is wrong, and leave"},
    {.name = "--show-config",
     .type = TIDE_OPTION_SWITCH,
     FIELD(show),
     .help = "print what is in effect, with origins, as JSON, and leave"},
    {.name = "--version",
     .type = TIDE_OPTION_SWITCH,
     FIELD(version),
     .help = "print the version and leave"},
    {.name = "--help", .type = TIDE_OPTION_SWITCH, FIELD(help), .help = "print this and leave"},

    {.name = "aggregation.interval_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(interval_s),
     .min = 1,
     .max = 300,
     .preset = 30,
     .fits = tide_interval_valid,
     .unit = "s",
     .expected = "one of 1, 2, 5, 10, 15, 20, 30, 60, 100, 150, 300 (divides 5 min)",
     .help = "width of an interval; fixed when the store is created"},
    {.name = "aggregation.window_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(window_s),
     .min = 1,
     .max = DAY_S,
     .preset = 300,
     .unit = "s",
     .help = "what \"current\" means; at least one interval"},
    {.name = "aggregation.grace_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(grace_s),
     .min = 0,
     .max = 300,
     .preset = 5,
     .unit = "s",
     .help = "how long after its end an interval stays open"},
    {.name = "aggregation.lateness_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(lateness_s),
     .min = 0,
     .max = SOME_S,
     .preset = 73 * 3600,
     .unit = "s",
     .help = "older events are counted as late and not stored"},
    {.name = "aggregation.future_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(future_s),
     .min = 0,
     .max = 3600,
     .preset = 60,
     .unit = "s",
     .help = "events dated further ahead are booked at arrival"},
    {.name = "aggregation.max_modules",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_modules),
     .min = 1,
     .max = 10000000,
     .preset = 100000,
     .help = "events of further modules are booked to __overflow__"},
    {.name = "retention.raw_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(raw_s),
     .min = 0,
     .max = SOME_S,
     .preset = 7 * DAY_S,
     .unit = "s",
     .help = "how long intervals are kept, and the longest window=; 0: for ever"},
    {.name = "retention.five_min_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(five_min_s),
     .min = 0,
     .max = SOME_S,
     .preset = 90 * DAY_S,
     .unit = "s",
     .help = "how long 5 min records are kept; at least as long as intervals"},
    {.name = "retention.hour_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(hour_s),
     .min = 0,
     .max = SOME_S,
     .preset = 3 * 365 * DAY_S,
     .unit = "s",
     .help = "how long 1 h records are kept; at least as long as those of 5 min"},
    {.name = "retention.day_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(day_s),
     .min = 0,
     .max = SOME_S,
     .preset = 0,
     .unit = "s",
     .help = "how long 1 day records are kept; at least as long as those of 1 h"},
    {.name = "retention.modules",
     .type = TIDE_OPTION_KEEPS,
     .preset_text = "{}",
     .help = "{glob: {raw_s, five_min_s, hour_s, day_s}}: other keep times for some modules"},
    {.name = "storage.fold_after_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(fold_after_s),
     .min = 0,
     .max = 7 * DAY_S,
     .preset = 3600,
     .unit = "s",
     .help = "age at which finished intervals move into chunks"},
    {.name = "storage.max_bytes",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_bytes),
     .min = 0,
     .max = 64 * TIB,
     .preset = 0,
     .fits = cap_fits,
     .unit = "bytes",
     .expected = "0 (no cap) or a whole number from 67108864 (64 MiB) to 70368744177664 (bytes)",
     .help = "the store grows no larger: oldest intervals go early; 0: no cap"},
    {.name = "storage.migrate",
     .type = TIDE_OPTION_BOOL,
     FIELD(migrate),
     .preset = false,
     .help = "bring a store of an older schema to this one's at the start, with a backup"},
    {.name = "storage.map_bytes",
     .type = TIDE_OPTION_WHOLE,
     FIELD(map_bytes),
     .min = MIB,
     .max = 64 * TIB,
     .preset = TIB,
     .unit = "bytes",
     .help = "address space of the store: the most it can grow to"},
    {.name = "ingest.threads",
     .type = TIDE_OPTION_WHOLE,
     FIELD(ingest_threads),
     .min = 1,
     .max = 64,
     .preset = FROM_CPUS,
     .preset_text = "processors - 1",
     .help = "threads that read events"},
    {.name = "ingest.max_frame_bytes",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_frame_bytes),
     .min = 64 * KIB,
     .max = 256 * MIB,
     .preset = 16 * MIB,
     .unit = "bytes",
     .help = "larger requests close their connection; keep the senders' chunks below"},
    {.name = "ingest.max_unpacked_bytes",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_unpacked_bytes),
     .min = 64 * KIB,
     .max = 256 * MIB,
     .preset = 64 * MIB,
     .unit = "bytes",
     .help = "larger unpacked chunks are rejected"},
    {.name = "ingest.gather_max_ms",
     .type = TIDE_OPTION_WHOLE,
     FIELD(gather_max_ms),
     .min = 0,
     .max = 1000,
     .preset = 20,
     .unit = "ms",
     .help = "cap on gathering one group commit under load"},
    {.name = "ingest.unix_socket",
     .type = TIDE_OPTION_PATH,
     FIELD(unix_socket),
     .preset_text = "none",
     .help = "path of a Unix socket to take events on as well; its mode says who may"},
    {.name = "ingest.udp_heartbeat",
     .type = TIDE_OPTION_BOOL,
     FIELD(udp_heartbeat),
     .preset = true,
     .help = "answer UDP heartbeats on the port of --forward"},
    {.name = "ingest.max_connections",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_connections),
     .min = 1,
     .max = 1000000,
     .preset = 16384,
     .help = "further ones are closed at once"},
    {.name = "ingest.max_connections_per_address",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_connections_per_address),
     .min = 1,
     .max = 1000000,
     .preset = 12288,
     .help = "likewise, from one address"},
    {.name = "ingest.max_unread_ack_bytes",
     .type = TIDE_OPTION_WHOLE,
     FIELD(max_unread_ack_bytes),
     .min = 4 * KIB + 64,
     .max = 16 * MIB,
     .preset = 256 * KIB,
     .unit = "bytes",
     .help = "a client that leaves more acks unread gets no further ones"},
    {.name = "ingest.handshake_timeout_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(handshake_timeout_s),
     .min = 1,
     .max = 300,
     .preset = 10,
     .unit = "s",
     .help = "time for TLS and the shared key together"},
    {.name = "ingest.idle_timeout_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(idle_timeout_s),
     .min = 0,
     .max = SOME_S,
     .preset = 0,
     .unit = "s",
     .help = "silence after which a connection is closed; 0: never"},
    {.name = "ingest.stall_timeout_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(stall_timeout_s),
     .min = 0,
     .max = SOME_S,
     .preset = 60,
     .unit = "s",
     .help = "the same in the middle of a request; 0: never"},
    {.name = "http.threads",
     .type = TIDE_OPTION_WHOLE,
     FIELD(http_threads),
     .min = 1,
     .max = 64,
     .preset = 1,
     .help = "threads that answer"},
    {.name = "dedup.window_s",
     .type = TIDE_OPTION_WHOLE,
     FIELD(dedup_window_s),
     .min = 1,
     .max = SOME_S,
     .preset = 73 * 3600,
     .unit = "s",
     .help = "how long a chunk, an event id and a silent producer are remembered"},
    {.name = "dedup.max_chunks",
     .type = TIDE_OPTION_WHOLE,
     FIELD(dedup_max_chunks),
     .min = 1,
     .max = 1000000000,
     .preset = 4000000,
     .help = "how many chunks are remembered at most"},
    {.name = "dedup.max_event_ids",
     .type = TIDE_OPTION_WHOLE,
     FIELD(dedup_max_event_ids),
     .min = 1,
     .max = 1000000000,
     .preset = 1000000,
     .help = "how many event ids are remembered at most"},
    {.name = "prometheus.enabled",
     .type = TIDE_OPTION_BOOL,
     FIELD(prometheus),
     .preset = true,
     .help = "serve /api/v3/metrics/prometheus"},
    {.name = "auth.shared_key_file",
     .type = TIDE_OPTION_PATH,
     FIELD(access.shared_key_file),
     .preset_text = "none",
     .reload = true,
     .help = "its one line is the key that Forward clients must have"},
    {.name = "auth.users_file",
     .type = TIDE_OPTION_PATH,
     FIELD(access.users_file),
     .preset_text = "none",
     .reload = true,
     .help = "lines name:password; clients must be one of them, too"},
    {.name = "tls.cert_file",
     .type = TIDE_OPTION_PATH,
     FIELD(cert_file),
     .preset_text = "none",
     .help = "PEM certificate chain: both ports speak TLS; SIGHUP reads it again"},
    {.name = "tls.key_file",
     .type = TIDE_OPTION_PATH,
     FIELD(key_file),
     .preset_text = "none",
     .help = "its PEM key, without a passphrase; SIGHUP reads it again"},
    {.name = "tls.client_ca_file",
     .type = TIDE_OPTION_PATH,
     FIELD(access.client_ca_file),
     .preset_text = "none",
     .reload = true,
     .help = "PEM: clients must show a certificate of these authorities"},
    {.name = "security.allow_open",
     .type = TIDE_OPTION_BOOL,
     FIELD(allow_open),
     .preset = false,
     .help = "listen beyond this machine although nobody has to prove who he is"},
    {.name = "log.level",
     .type = TIDE_OPTION_WORD,
     FIELD(log_level),
     .words = "error warning info debug",
     .preset = TIDE_INFO,
     .preset_text = "info",
     .reload = true,
     .help = "error, warning, info or debug"},
    {.name = "log.requests",
     .type = TIDE_OPTION_BOOL,
     FIELD(log_requests),
     .preset = true,
     .help = "one info line for each HTTP request"},
    {.name = "health.default.SIGNAL.warning",
     .type = TIDE_OPTION_THRESHOLD,
     .reload = true,
     .preset_text = "by signal",
     .help = "from here on a module is degraded; null: off"},
    {.name = "health.default.SIGNAL.critical",
     .type = TIDE_OPTION_THRESHOLD,
     .reload = true,
     .preset_text = "by signal",
     .help = "from here on it is critical; beyond warning"},
    {.name = "health.modules",
     .type = TIDE_OPTION_RULES,
     .reload = true,
     .preset_text = "{}",
     .help = "{glob: {SIGNAL: {warning, critical}}}: other thresholds for some modules"},
    {.name = "sampling.modules",
     .type = TIDE_OPTION_SHARES,
     .preset_text = "{}",
     .help = "{glob: share}: of some modules keep only this share, weighted"},
};

const size_t tide_options = sizeof(tide_option) / sizeof(tide_option[0]);

const struct tide_option *tide_option_find(const char *name)
{
    for (size_t i = 0; i < tide_options; i++) {
        if (!strcmp(tide_option[i].name, name))
            return &tide_option[i];
    }
    return NULL;
}

#define NEAR_SIZE 64 /* longer names than any of ours are near to none */

/* How many letters must be put in, taken out, changed or swapped with their neighbour to make b of
 * a. */
static size_t distance(const char *a, const char *b)
{
    size_t row[3][NEAR_SIZE]; /* the row before the last, the last, this one */
    const size_t a_len = strlen(a), b_len = strlen(b);

    if (a_len >= NEAR_SIZE || b_len >= NEAR_SIZE)
        return NEAR_SIZE;
    for (size_t k = 0; k <= b_len; k++)
        row[1][k] = k;
    for (size_t i = 1; i <= a_len; i++) {
        row[2][0] = i;
        for (size_t k = 1; k <= b_len; k++) {
            size_t best = row[1][k - 1] + (a[i - 1] != b[k - 1]);

            if (row[1][k] + 1 < best)
                best = row[1][k] + 1;
            if (row[2][k - 1] + 1 < best)
                best = row[2][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                row[0][k - 2] + 1 < best)
                best = row[0][k - 2] + 1;
            row[2][k] = best;
        }
        memcpy(row[0], row[1], sizeof(row[0]));
        memcpy(row[1], row[2], sizeof(row[1]));
    }
    return row[1][b_len];
}

bool tide_option_nearest(const char *name, char *ret, size_t size)
{
    size_t best = strlen(name) / 4 + 1;
    bool found = false;

    if (best > 4)
        best = 4;
    for (size_t i = 0; i < tide_options; i++) {
        const char *known = tide_option[i].name;
        char section[NEAR_SIZE];
        size_t d;

        /* a flag is never meant by a key, nor a key by a flag */
        if ((name[0] == '-') != (known[0] == '-'))
            continue;
        snprintf(section, sizeof(section), "%.*s", (int)strcspn(known, "."), known);
        if (!strchr(name, '.'))
            known = section;
        d = distance(name, known);
        if (d < best || (d == best && !found)) {
            best = d;
            found = true;
            snprintf(ret, size, "%s", known);
        }
    }
    return found;
}

static int64_t *whole_field(struct tide_config *config, const struct tide_option *option)
{
    assert(option->size == sizeof(int64_t));
    return (int64_t *)((char *)config + option->at);
}

static bool *bool_field(struct tide_config *config, const struct tide_option *option)
{
    assert(option->size == sizeof(bool));
    return (bool *)((char *)config + option->at);
}

static int64_t preset_of(const struct tide_option *option)
{
    long processors;

    if (option->preset != FROM_CPUS)
        return option->preset;
    processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (processors - 1 < option->min)
        return option->min;
    return processors - 1 > option->max ? option->max : processors - 1;
}

void tide_option_defaults(struct tide_config *config)
{
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < tide_options; i++) {
        const struct tide_option *option = &tide_option[i];

        switch (option->type) {
        case TIDE_OPTION_WHOLE:
        case TIDE_OPTION_WORD:
            *whole_field(config, option) = preset_of(option);
            break;
        case TIDE_OPTION_BOOL:
            *bool_field(config, option) = option->preset;
            break;
        case TIDE_OPTION_TEXT:
            snprintf((char *)config + option->at, option->size, "%s",
                     option->preset_text ? option->preset_text : "");
            break;
        case TIDE_OPTION_SWITCH:
        case TIDE_OPTION_PAIR:
        case TIDE_OPTION_PATH:
        case TIDE_OPTION_THRESHOLD:
        case TIDE_OPTION_RULES:
        case TIDE_OPTION_SHARES:
        case TIDE_OPTION_KEEPS:
            break;
        }
    }
    tide_thresholds_default(&config->health.defaults);
}

enum tide_rc tide_option_expected(const char *expected, const struct tide_value *value,
                                  struct tide_err *err)
{
    switch (value->type) {
    case TIDE_VALUE_NULL:
        tide_err_set(err, "expected %s, got null", expected);
        break;
    case TIDE_VALUE_BOOL:
        tide_err_set(err, "expected %s, got %s", expected, value->boolean ? "true" : "false");
        break;
    case TIDE_VALUE_NUMBER:
        tide_err_set(err, "expected %s, got %.40s", expected, value->text);
        break;
    case TIDE_VALUE_STRING:
        tide_err_set(err, "expected %s, got \"%.40s\"", expected, value->text);
        break;
    case TIDE_VALUE_OBJECT:
        tide_err_set(err, "expected %s, got an object", expected);
        break;
    case TIDE_VALUE_ARRAY:
        tide_err_set(err, "expected %s, got a list", expected);
        break;
    }
    return TIDE_CONFIG;
}

static enum tide_rc assign_whole(struct tide_config *config, const struct tide_option *option,
                                 const struct tide_value *value, struct tide_err *err)
{
    char expected[128];
    char *end = NULL;
    long long number = 0;

    errno = 0;
    if (value->type == TIDE_VALUE_NUMBER)
        number = strtoll(value->text, &end, 10);
    if (end && end != value->text && *end == '\0' && errno == 0 && number >= option->min &&
        number <= option->max && (!option->fits || option->fits(number))) {
        *whole_field(config, option) = number;
        return TIDE_OK;
    }
    snprintf(expected, sizeof(expected), "a whole number from %" PRId64 " to %" PRId64 "%s%s%s",
             option->min, option->max, option->unit ? " (" : "", option->unit ? option->unit : "",
             option->unit ? ")" : "");
    return tide_option_expected(option->expected ? option->expected : expected, value, err);
}

static enum tide_rc assign_word(struct tide_config *config, const struct tide_option *option,
                                const struct tide_value *value, struct tide_err *err)
{
    char expected[128];
    const char *word = option->words;

    for (int64_t i = 0; value->type == TIDE_VALUE_STRING && *word; i++) {
        size_t len = strcspn(word, " ");

        if (strlen(value->text) == len && !memcmp(word, value->text, len)) {
            *whole_field(config, option) = i;
            return TIDE_OK;
        }
        word += len + (word[len] == ' ');
    }
    snprintf(expected, sizeof(expected), "one of: %s", option->words);
    return tide_option_expected(expected, value, err);
}

static enum tide_rc assign_path(struct tide_config *config, const struct tide_option *option,
                                const struct tide_value *value, struct tide_err *err)
{
    char expected[64];
    char *field = (char *)config + option->at;

    if (value->type == TIDE_VALUE_NULL) {
        field[0] = '\0';
        return TIDE_OK;
    }
    if (value->type == TIDE_VALUE_STRING && value->text[0] && strlen(value->text) < option->size) {
        strcpy(field, value->text);
        return TIDE_OK;
    }
    snprintf(expected, sizeof(expected), "the name of a file, 1 to %zu bytes", option->size - 1);
    return tide_option_expected(expected, value, err);
}

enum tide_rc tide_option_assign(struct tide_config *config, const struct tide_option *option,
                                const struct tide_value *value, struct tide_err *err)
{
    switch (option->type) {
    case TIDE_OPTION_WHOLE:
        return assign_whole(config, option, value, err);
    case TIDE_OPTION_WORD:
        return assign_word(config, option, value, err);
    case TIDE_OPTION_BOOL:
        if (value->type != TIDE_VALUE_BOOL)
            return tide_option_expected("true or false", value, err);
        *bool_field(config, option) = value->boolean;
        return TIDE_OK;
    case TIDE_OPTION_PATH:
        return assign_path(config, option, value, err);
    case TIDE_OPTION_SWITCH:
    case TIDE_OPTION_TEXT:
    case TIDE_OPTION_PAIR:
    case TIDE_OPTION_THRESHOLD:
    case TIDE_OPTION_RULES:
    case TIDE_OPTION_SHARES:
    case TIDE_OPTION_KEEPS:
        break;
    }
    abort(); /* the caller handles the kinds above itself */
}

static bool same_shares(const struct tide_sample_rules *a, const struct tide_sample_rules *b)
{
    if (a->rules != b->rules)
        return false;
    for (size_t i = 0; i < a->rules; i++)
        if (strcmp(a->rule[i].glob, b->rule[i].glob) != 0 || a->rule[i].share != b->rule[i].share)
            return false;
    return true;
}

static bool same_keeps(const struct tide_retention_rules *a, const struct tide_retention_rules *b)
{
    if (a->rules != b->rules)
        return false;
    for (size_t i = 0; i < a->rules; i++)
        if (strcmp(a->rule[i].glob, b->rule[i].glob) != 0 ||
            memcmp(a->rule[i].keep_s, b->rule[i].keep_s, sizeof(a->rule[i].keep_s)) != 0)
            return false;
    return true;
}

bool tide_option_same(const struct tide_option *option, const struct tide_config *a,
                      const struct tide_config *b)
{
    const char *a_field = (const char *)a + option->at, *b_field = (const char *)b + option->at;

    switch (option->type) {
    case TIDE_OPTION_WHOLE:
    case TIDE_OPTION_WORD:
    case TIDE_OPTION_BOOL:
        return !memcmp(a_field, b_field, option->size);
    case TIDE_OPTION_TEXT:
    case TIDE_OPTION_PATH:
        return !strcmp(a_field, b_field);
    case TIDE_OPTION_SHARES:
        return same_shares(&a->sample, &b->sample);
    case TIDE_OPTION_KEEPS:
        return same_keeps(&a->retention, &b->retention);
    case TIDE_OPTION_SWITCH:
    case TIDE_OPTION_PAIR:
    case TIDE_OPTION_THRESHOLD:
    case TIDE_OPTION_RULES:
        break;
    }
    return true;
}

static void help_row(FILE *out, const struct tide_option *option)
{
    char left[64], preset[64] = "";

    snprintf(left, sizeof(left), "%s%s%s", option->name, option->argument ? " " : "",
             option->argument ? option->argument : "");
    if (option->preset_text)
        snprintf(preset, sizeof(preset), " [%s]", option->preset_text);
    else if (option->type == TIDE_OPTION_WHOLE)
        snprintf(preset, sizeof(preset), " [%" PRId64 "%s%s]", option->preset,
                 option->unit ? " " : "", option->unit ? option->unit : "");
    else if (option->type == TIDE_OPTION_BOOL)
        snprintf(preset, sizeof(preset), " [%s]", option->preset ? "true" : "false");
    fprintf(out, "  %-31s %s%s\n", left, option->help, preset);
}

void tide_option_help(FILE *out)
{
    fputs("usage: tidemarkd [--config FILE] [--data-dir DIR] [--forward ADDR:PORT] [--http "
          "ADDR:PORT]\n"
          "                 [--set section.key=value]... [--check-config] [--show-config] "
          "[--version] "
          "[--help]\n\n"
          "Takes module log events in the Fluentd Forward protocol, rolls them up, keeps the "
          "roll-ups\n"
          "on disk and answers questions about them over HTTP.\n\n",
          out);
    for (size_t i = 0; i < tide_options; i++) {
        if (i && tide_option[i - 1].name[0] == '-' && tide_option[i].name[0] != '-')
            fputs("\nKeys, for the file (sections are objects in it), for --set, and for the "
                  "environment as\n"
                  "TIDEMARK_SECTION_KEY. A flag beats --set, that the environment, that the "
                  "file.\n\n",
                  out);
        help_row(out, &tide_option[i]);
    }
    fputs("\nSIGNAL:", out);
    for (int i = 0; i < TIDE_SIGNAL_COUNT; i++)
        fprintf(out, " %s", tide_signal_info[i].name);
    fputs("\n\nSIGTERM and SIGINT stop it in order, SIGHUP reads the file again.\n"
          "Exit: 0 ok, 1 failed, 2 usage, 69 unavailable, 74 I/O error, 78 bad configuration.\n",
          out);
}
