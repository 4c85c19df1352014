/* The table of everything that can be set: the flags of tidemarkd and the keys of its
 * configuration. */
#ifndef TIDEMARK_DAEMON_OPTIONS_H
#define TIDEMARK_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "tidemark/err.h"
#include "tidemark/health.h"
#include "tidemark/retention.h"
#include "tidemark/ingest.h"
#include "tidemark/sample.h"

/* Where keys were set: see show.h. */
struct tide_setting;
struct tide_settings {
    struct tide_setting *item;
    size_t count, capacity;
};

/* What the daemon runs on: every field is one row of the table. */
struct tide_config {
    bool help, version, check, show;
    struct tide_settings settings; /* noted only if they are to be shown */
    char file[1024];               /* "" = none */
    char data_dir[1024];
    char forward[256], http[256]; /* numeric "127.0.0.1:24224" or "[::1]:0" */

    int64_t interval_s, window_s, grace_s, lateness_s, future_s, max_modules;
    int64_t raw_s, five_min_s, hour_s, day_s;
    int64_t fold_after_s, max_bytes, map_bytes, retry_s;
    int64_t ingest_threads, max_frame_bytes, max_unpacked_bytes, gather_max_ms;
    int64_t max_unpacked_ratio, max_entries, max_depth, max_input_bytes;
    char unix_socket[108]; /* "" = none, as for the files of access */
    bool udp_heartbeat;
    struct tide_access_cfg access;
    int64_t max_connections, max_connections_per_address, max_unread_ack_bytes;
    int64_t handshake_timeout_s, idle_timeout_s, stall_timeout_s;
    int64_t http_threads, http_max_connections, http_max_connections_per_address;
    int64_t http_request_timeout_s, http_max_waiting_bytes;
    char http_cors_origins[1024]; /* blank-separated, "*" = all, "" = none */
    char http_tokens_file[1024];  /* "" = none */
    int64_t dedup_window_s, dedup_max_chunks, dedup_max_event_ids;
    char cert_file[1024], key_file[1024]; /* "" = none */
    bool migrate;
    bool prometheus;
    bool allow_open;
    int64_t log_level; /* enum tide_level */
    bool log_requests;
    struct tide_health_rules health;       /* owns rule */
    struct tide_sample_rules sample;       /* likewise */
    struct tide_retention_rules retention; /* likewise; its defaults are the keys above */
};

enum tide_option_type {
    TIDE_OPTION_SWITCH,    /* flag without argument -> bool */
    TIDE_OPTION_TEXT,      /* flag with one, or key -> char[size] */
    TIDE_OPTION_PAIR,      /* --set section.key=value, any number of times */
    TIDE_OPTION_WHOLE,     /* whole number in [min, max] -> int64_t */
    TIDE_OPTION_BOOL,      /* -> bool */
    TIDE_OPTION_WORD,      /* one of words -> int64_t, its index */
    TIDE_OPTION_PATH,      /* key with the name of a file, null for none -> char[size] */
    TIDE_OPTION_ORIGINS,   /* web origins, blank-separated, or "*" -> char[size] */
    TIDE_OPTION_THRESHOLD, /* stands for one key per signal and bound */
    TIDE_OPTION_RULES,     /* health.modules */
    TIDE_OPTION_SHARES,    /* sampling.modules */
    TIDE_OPTION_KEEPS      /* retention.modules */
};

#define TIDE_PRESET_FROM_CPUS INT64_C(-1) /* preset: processors - 1, within the range */

struct tide_option {
    const char *name; /* "--http" or "ingest.threads" */
    enum tide_option_type type;
    size_t at, size; /* in struct tide_config */
    int64_t min, max, preset;
    bool (*fits)(int64_t value); /* narrower than the range; NULL: the range is all */
    const char *argument;        /* flags: as the help shows it */
    const char *preset_text;     /* as the help shows it; NULL: preset */
    const char *expected;        /* for messages; NULL: made from type and range */
    const char *words;           /* blank-separated */
    const char *unit;
    const char *help;
    bool reload; /* SIGHUP applies it */
};

extern const struct tide_option tide_option[];
extern const size_t tide_options;

/* A value as it was written, before it is known whether it fits. */
enum tide_value_type {
    TIDE_VALUE_NULL,
    TIDE_VALUE_BOOL,
    TIDE_VALUE_NUMBER,
    TIDE_VALUE_STRING,
    TIDE_VALUE_OBJECT,
    TIDE_VALUE_ARRAY
};

struct tide_value {
    enum tide_value_type type;
    bool boolean;
    const char *text; /* number: as written; string: decoded; terminated */
};

/* The row of a flag or key, NULL when there is none. */
const struct tide_option *tide_option_find(const char *name);

/* The flag, key or section that was probably meant by `name`; false when nothing is near. */
bool tide_option_nearest(const char *name, char *ret, size_t size);

/* Puts every row's default into its field; leaves no pointer in config. */
void tide_option_defaults(struct tide_config *config);

/* Sets the field of a WHOLE, BOOL, WORD, PATH or ORIGINS row. TIDE_CONFIG says what was expected.
 */
enum tide_rc tide_option_assign(struct tide_config *config, const struct tide_option *option,
                                const struct tide_value *value, struct tide_err *err);

/* Sets err to "expected <expected>, got <value>"; returns TIDE_CONFIG. */
enum tide_rc tide_option_expected(const char *expected, const struct tide_value *value,
                                  struct tide_err *err);

/* True when both configurations agree on this row. */
bool tide_option_same(const struct tide_option *option, const struct tide_config *a,
                      const struct tide_config *b);

/* The text of --help, from the table. */
void tide_option_help(FILE *out);

#endif
