#include "config.h"
#include "show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cert.h"
#include "dir.h"
#include "reader.h"
#include "tidemark/log.h"

#define ARGS_MAX 16

static char file_name[64];

/* Everything that one test hands to the loader; strings end with NULL. */
struct sources {
    const char *file; /* its text; NULL: none */
    const char *env[ARGS_MAX];
    const char *args[ARGS_MAX];
};

static void write_file(const char *text, size_t len)
{
    FILE *file;

    snprintf(file_name, sizeof(file_name), "/tmp/tidemark-test-config-%d.json", (int)getpid());
    file = fopen(file_name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static enum tide_rc load(const struct sources *sources, struct tide_config *config,
                         struct tide_err *err)
{
    char *argv[ARGS_MAX + 4] = {(char *)"tidemarkd"};
    enum tide_rc rc;
    int argc = 1;

    if (sources->file) {
        write_file(sources->file, strlen(sources->file));
        argv[argc++] = (char *)"--config";
        argv[argc++] = file_name;
    }
    for (size_t i = 0; sources->args[i]; i++)
        argv[argc++] = (char *)(uintptr_t)sources->args[i];
    rc = tide_config_load(argc, argv, (char **)(uintptr_t)sources->env, config, err);
    if (sources->file)
        unlink(file_name);
    return rc;
}

static struct tide_config loaded(const struct sources *sources)
{
    struct tide_config config;
    struct tide_err err = {""};

    if (load(sources, &config, &err))
        fail_msg("refused: %s", err.text);
    tide_settings_fini(&config.settings); /* where each value came from is shown elsewhere */
    return config;
}

/* wanted stands for FILE where the file's name does. */
static void refused(const struct sources *sources, enum tide_rc wanted_rc, const char *wanted)
{
    struct tide_config config;
    struct tide_err err = {""};
    char text[2 * TIDE_ERR_SIZE];
    const char *at = strstr(wanted, "FILE");
    enum tide_rc rc = load(sources, &config, &err);

    if (rc == TIDE_OK)
        fail_msg("accepted what should be: %s", wanted);
    if (at && strlen(file_name))
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - wanted), wanted, file_name, at + 4);
    else
        snprintf(text, sizeof(text), "%s", wanted);
    assert_string_equal(err.text, text);
    assert_int_equal(rc, wanted_rc);
}

static void defaults_are_the_documented_ones(void **state)
{
    struct tide_config config = loaded(&(struct sources){0});
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);

    (void)state;
    assert_string_equal(config.data_dir, "./tidemark-data");
    assert_string_equal(config.forward, "127.0.0.1:24224");
    assert_string_equal(config.http, "127.0.0.1:8640");
    assert_int_equal(config.interval_s, 30);
    assert_int_equal(config.window_s, 300);
    assert_int_equal(config.grace_s, 5);
    assert_int_equal(config.lateness_s, 73 * 3600);
    assert_int_equal(config.future_s, 60);
    assert_int_equal(config.max_modules, 100000);
    assert_int_equal(config.raw_s, 7 * 86400);
    assert_int_equal(config.five_min_s, 90 * 86400);
    assert_int_equal(config.hour_s, 3 * 365 * 86400);
    assert_int_equal(config.day_s, 0);
    assert_int_equal(config.retention.rules, 0);
    assert_int_equal(config.fold_after_s, 3600);
    assert_int_equal(config.max_bytes, 0);
    assert_true(config.map_bytes == INT64_C(1) << 40);
    assert_int_equal(config.ingest_threads, processors > 1 ? processors - 1 : 1);
    assert_int_equal(config.http_threads, 1);
    assert_int_equal(config.http_max_connections, 1024);
    assert_int_equal(config.http_max_connections_per_address, 256);
    assert_int_equal(config.http_request_timeout_s, 10);
    assert_int_equal(config.http_max_waiting_bytes, 256 << 20);
    assert_string_equal(config.http_cors_origins, "");
    assert_string_equal(config.http_tokens_file, "");
    assert_int_equal(config.max_frame_bytes, 16 << 20);
    assert_int_equal(config.max_unpacked_bytes, 64 << 20);
    assert_int_equal(config.max_unpacked_ratio, 1000);
    assert_int_equal(config.max_entries, 2000000);
    assert_int_equal(config.max_depth, 32);
    assert_int_equal(config.max_input_bytes, 128 << 20);
    assert_int_equal(config.gather_max_ms, 20);
    assert_int_equal(config.dedup_window_s, 73 * 3600);
    assert_int_equal(config.dedup_max_chunks, 4000000);
    assert_int_equal(config.dedup_max_event_ids, 1000000);
    assert_true(config.prometheus);
    assert_false(config.allow_open);
    assert_int_equal(config.log_level, TIDE_INFO);
    assert_int_equal(config.health.rules, 0);
    assert_true(config.health.defaults.signal[TIDE_SIGNAL_ERROR_RATE].warning == 0.05);
    assert_true(config.health.defaults.signal[TIDE_SIGNAL_P95].critical == 5000);
    assert_true(isnan(config.health.defaults.signal[TIDE_SIGNAL_MEMORY].warning));
    tide_config_fini(&config);
}

static void file_with_comments_sets_keys(void **state)
{
    struct tide_config config = loaded(&(struct sources){
        .file = "\xef\xbb\xbf// the whole line\r\n"
                "{ # and the rest of one\n"
                "  \"aggregation\": {\"interval_s\": 10, \"window_s\": 60}, // \"grace_s\": 1\n"
                "  \"prometheus\": {\"enabled\": false},\n"
                "  \"log\": {\"l\\u0065vel\": \"deb\\u0075g\"},\n"
                "  \"health\": {\n"
                "    \"default\": {\"p95\": {\"warning\": 100, \"critical\": 2.5e2},\n"
                "                \"cpu_percent\": {\"warning\": null, \"critical\": null}},\n"
                "    \"modules\": {\n"
                "      \"pay.*\": {\"p95_response_time_ms\": {\"warning\": 50}},\n"
                "      \"*\": {\"throughput\": {\"warning\": 5, \"critical\": 1}}\n"
                "    }\n"
                "  }\n"
                "}\n"
                "# done"});
    const struct tide_health_rule *rule = config.health.rule;

    (void)state;
    assert_int_equal(config.interval_s, 10);
    assert_int_equal(config.window_s, 60);
    assert_int_equal(config.grace_s, 5);
    assert_false(config.prometheus);
    assert_int_equal(config.log_level, TIDE_DEBUG);
    assert_true(config.health.defaults.signal[TIDE_SIGNAL_P95].critical == 250);
    assert_true(isnan(config.health.defaults.signal[TIDE_SIGNAL_CPU].critical));
    assert_int_equal(config.health.rules, 2);
    assert_string_equal(rule[0].glob, "pay.*");
    assert_true(rule[0].set[TIDE_SIGNAL_P95]);
    assert_false(rule[0].set[TIDE_SIGNAL_CPU]);
    assert_true(rule[0].thresholds.signal[TIDE_SIGNAL_P95].warning == 50);
    assert_true(rule[0].thresholds.signal[TIDE_SIGNAL_P95].critical == 250); /* of the defaults */
    assert_string_equal(rule[1].glob, "*");
    assert_true(rule[1].thresholds.signal[TIDE_SIGNAL_THROUGHPUT].critical == 1);
    tide_config_fini(&config);
}

static void stronger_source_wins(void **state)
{
    struct sources sources = {.file = "{\"aggregation\": {\"grace_s\": 1}}"};
    struct tide_config config;

    (void)state;
    config = loaded(&sources);
    assert_int_equal(config.grace_s, 1);
    sources.env[0] = "TIDEMARK_AGGREGATION_GRACE_S=2";
    config = loaded(&sources);
    assert_int_equal(config.grace_s, 2);
    sources.args[0] = "--set";
    sources.args[1] = "aggregation.grace_s=3";
    config = loaded(&sources);
    assert_int_equal(config.grace_s, 3);
    sources.args[2] = "--set=aggregation.grace_s=4";
    config = loaded(&sources);
    assert_int_equal(config.grace_s, 4);
}

static void environment_names_every_key(void **state)
{
    struct tide_config config = loaded(&(struct sources){
        .env = {"PATH=/bin", "TIDEMARK=/usr/bin/tidemark", "TIDEMARKD=x", "TIDE_SEED=1",
                "TIDEMARK_INGEST_MAX_FRAME_BYTES=65536", "TIDEMARK_SECURITY_ALLOW_OPEN=true",
                "TIDEMARK_LOG_LEVEL=warning", "TIDEMARK_HEALTH_DEFAULT_ERROR_RATE_CRITICAL=0.5",
                "TIDEMARK_HEALTH_DEFAULT_CPU_WARNING=50",
                "TIDEMARK_HEALTH_MODULES={\"a\": {\"cpu\": {\"critical\": 90}}}"}});

    (void)state;
    assert_int_equal(config.max_frame_bytes, 65536);
    assert_true(config.allow_open);
    assert_int_equal(config.log_level, TIDE_WARNING);
    assert_true(config.health.defaults.signal[TIDE_SIGNAL_ERROR_RATE].critical == 0.5);
    assert_int_equal(config.health.rules, 1);
    assert_true(config.health.rule[0].thresholds.signal[TIDE_SIGNAL_CPU].warning == 50);
    tide_config_fini(&config);
}

static void rules_of_a_stronger_source_replace_the_list(void **state)
{
    struct tide_config config = loaded(&(struct sources){
        .file = "{\"health\": {\"modules\": {\"a\": {}, \"b\": {}}}}",
        .args = {"--set", "health.modules={\"c\": {\"p95\": {\"warning\": 1}}}"}});

    (void)state;
    assert_int_equal(config.health.rules, 1);
    assert_string_equal(config.health.rule[0].glob, "c");
    tide_config_fini(&config);
}

static void threshold_may_lean_on_another_source(void **state)
{
    struct sources sources = {.file =
                                  "{\"health\": {\"default\": {\"p95\": {\"warning\": 9000}}}}"};
    struct tide_config config;

    (void)state;
    refused(
        &sources, TIDE_CONFIG,
        "FILE:1:44: health.default: p95_response_time_ms: critical (5000) must lie above warning "
        "(9000)");
    sources.args[0] = "--set=health.default.p95_response_time_ms.critical=10000";
    config = loaded(&sources);
    assert_true(config.health.defaults.signal[TIDE_SIGNAL_P95].critical == 10000);
}

static void bad_file_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *file, *error;
    } bad[] = {
        {"", "FILE:1:1: expected a value, got the end"},
        {"// nothing\n", "FILE:2:1: expected a value, got the end"},
        {"[{}]", "FILE:1:1: expected an object, got a list"},
        {"{", "FILE:1:2: expected a key in double quotes, got the end"},
        {"{\n  \"log\" {}}", "FILE:2:9: log: expected ':', got '{'"},
        {"{\"log\": {}} x", "FILE:1:13: expected nothing more, got 'x'"},
        {"{\"log\": {},}", "FILE:1:12: expected another key after ',', got '}'"},
        {"{\"log\": {} \"http\": {}}", "FILE:1:12: expected ',' or '}', got '\"'"},
        {"{'log': {}}", "FILE:1:2: expected a key in double quotes, got '''"},
        {"{\"log\": {}, \"log\": {}}",
         "FILE:1:13: log: expected one value, but the key is here for the second time"},
        {"{\"log\n\": {}}", "FILE:1:6: expected the rest of a string and its '\"', got byte 0x0a"},
        {"{\"log", "FILE:1:6: expected the rest of a string and its '\"', got the end"},
        {"{\"l\\xog\": {}}", "FILE:1:5: expected one of \"\\/bfnrtu after a backslash, got 'x'"},
        {"{\"l\\u12\": {}}", "FILE:1:8: expected four hexadecimal digits, got '\"'"},
        {"{\"l\\ud800\": {}}", "FILE:1:10: expected a pair of surrogates, got '\"'"},
        {"{\"l\\u0000\": {}}", "FILE:1:10: expected text without a zero character, got '\"'"},
        {"{\"log\": 1}", "FILE:1:9: log: expected an object, got 1"},
        {"{\"log\": nul}", "FILE:1:9: log: expected a value, got nul"},
        {"{\"log\": }", "FILE:1:9: log: expected a value, got '}'"},
        {"{\"lgo\": {}}", "FILE:1:2: lgo: unknown key; did you mean log?"},
        {"{\"alerts\": {}}",
         "FILE:1:2: alerts: unknown key; `tidemarkd --help` lists the known ones"},
        {"{\"log.level\": \"info\"}", "FILE:1:2: log.level: unknown key; sections are objects: "
                                      "{ \"section\": { \"key\": ... } }"},
        {"{\"--http\": 1}", "FILE:1:2: --http: unknown key; sections are objects: "
                            "{ \"section\": { \"key\": ... } }"},
        {"{\n\"aggregation\": {\n  \"windw_s\": 3}}",
         "FILE:3:3: aggregation.windw_s: unknown key; did you mean aggregation.window_s?"},
        {"{\"aggregation\": {\"interval_s\": 7}}",
         "FILE:1:32: aggregation.interval_s: expected one of 1, 2, 5, 10, 15, 20, 30, 60, 100, "
         "150, 300 (divides 5 min), got 7"},
        {"{\"aggregation\": {\"interval_s\": \"30\"}}",
         "FILE:1:32: aggregation.interval_s: expected one of 1, 2, 5, 10, 15, 20, 30, 60, 100, "
         "150, 300 (divides 5 min), got \"30\""},
        {"{\"aggregation\": {\"grace_s\": 301}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got 301"},
        {"{\"aggregation\": {\"grace_s\": -1}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got -1"},
        {"{\"aggregation\": {\"grace_s\": 1.5}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got 1.5"},
        {"{\"aggregation\": {\"grace_s\": 99999999999999999999}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got "
         "99999999999999999999"},
        {"{\"aggregation\": {\"grace_s\": 007}}",
         "FILE:1:29: aggregation.grace_s: expected a value, got 007"},
        {"{\"aggregation\": {\"grace_s\": +7}}",
         "FILE:1:29: aggregation.grace_s: expected a value, got +7"},
        {"{\"aggregation\": {\"grace_s\": null}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got null"},
        {"{\"aggregation\": {\"grace_s\": [1]}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got a list"},
        {"{\"aggregation\": {\"grace_s\": {}}}",
         "FILE:1:29: aggregation.grace_s: expected a whole number from 0 to 300 (s), got an "
         "object"},
        {"{\"prometheus\": {\"enabled\": 1}}",
         "FILE:1:28: prometheus.enabled: expected true or false, got 1"},
        {"{\"log\": {\"level\": \"verbose\"}}",
         "FILE:1:19: log.level: expected one of: error warning info debug, got \"verbose\""},
        {"{\"log\": {\"level\": \"\"}}",
         "FILE:1:19: log.level: expected one of: error warning info debug, got \"\""},
        {"/* no */ {}", "FILE:1:1: expected a value, got '/'"},
        {"{\"aggregation\": {\"window_s\": 20}}",
         "aggregation.window_s 20 (FILE:1:30): expected at least aggregation.interval_s 30 "
         "(default)"},
        {"{\"retention\": {\"raw_s\": 100}}",
         "retention.raw_s 100 (FILE:1:25): expected 0 or at least aggregation.window_s 300 "
         "(default)"},
        {"{\"retention\": {\"five_min_s\": 100}}",
         "retention.five_min_s 100 (FILE:1:30): expected 0 (for ever) or at least "
         "retention.raw_s 604800 (default)"},
        {"{\"retention\": {\"raw_s\": 0}}",
         "retention.five_min_s 7776000 (default): expected 0 (for ever) as retention.raw_s 0 "
         "(FILE:1:25)"},
        {"{\"retention\": {\"day_s\": 3600}}",
         "retention.day_s 3600 (FILE:1:25): expected 0 (for ever) or at least retention.hour_s "
         "94608000 (default)"},
        {"{\"retention\": {\"week_s\": 3600}}",
         "FILE:1:16: retention.week_s: unknown key; did you mean retention.raw_s?"},
        {"{\"retention\": {\"modules\": 7}}",
         "FILE:1:27: retention.modules: expected an object, got 7"},
        {"{\"retention\": {\"modules\": {\"a*\": 7}}}",
         "FILE:1:34: retention.modules.a*: expected an object, got 7"},
        {"{\"retention\": {\"modules\": {\"\": {}}}}",
         "FILE:1:28: retention.modules.: expected a module name or glob of 1 to 128 bytes"},
        {"{\"retention\": {\"modules\": {\"a*\": {\"raw\": 7}}}}",
         "FILE:1:35: retention.modules.a*.raw: unknown key; expected raw_s, five_min_s, hour_s or "
         "day_s"},
        {"{\"retention\": {\"modules\": {\"a*\": {\"raw_s\": -1}}}}",
         "FILE:1:44: retention.modules.a*.raw_s: expected a whole number from 0 to 2147483648 (s), "
         "got -1"},
        {"{\"retention\": {\"modules\": {\"a*\": {\"raw_s\": 10}}}}",
         "FILE:1:28: retention.modules.a*: raw_s 10: expected 0 or at least aggregation.window_s "
         "300"},
        {"{\"retention\": {\"modules\": {\"a*\": {\"raw_s\": 31536000}}}}",
         "FILE:1:28: retention.modules.a*: five_min_s 7776000: expected 0 or at least raw_s "
         "31536000"},
        {"{\"retention\": {\"modules\": {\"a*\": {\"hour_s\": 0, \"day_s\": 1000000000}}}}",
         "FILE:1:28: retention.modules.a*: day_s 1000000000: expected 0, because hour_s is 0 (for "
         "ever)"},
        {"{\"storage\": {\"max_bytes\": 1000000}}",
         "FILE:1:27: storage.max_bytes: expected 0 (no cap) or a whole number from 67108864 (64 "
         "MiB) to 70368744177664 (bytes), got 1000000"},
        {"{\"storage\": {\"fold_after_s\": 604801}}",
         "FILE:1:30: storage.fold_after_s: expected a whole number from 0 to 604800 (s), got "
         "604801"},
        {"{\"health\": {\"default\": {\"p96\": {}}}}",
         "FILE:1:25: health.default.p96: unknown signal; expected one of: error_rate, "
         "p95_response_time_ms, cpu_percent, goroutines, memory_bytes, throughput_rps"},
        {"{\"health\": {\"default\": {\"p95\": {\"warn\": 1}}}}",
         "FILE:1:33: health.default.p95.warn: unknown key; expected warning or critical"},
        {"{\"health\": {\"default\": {\"error_rate\": {\"warning\": 5}}}}",
         "FILE:1:51: health.default.error_rate.warning: expected a share from 0 to 1, or null, "
         "got 5"},
        {"{\"health\": {\"default\": {\"p95\": {\"warning\": -5}}}}",
         "FILE:1:44: health.default.p95.warning: expected a number >= 0, or null, got -5"},
        {"{\"health\": {\"default\": {\"p95\": {\"warning\": 1e999}}}}",
         "FILE:1:44: health.default.p95.warning: expected a number >= 0, or null, got 1e999"},
        {"{\"health\": {\"default\": {\"p95\": {\"warning\": {\"a\": 1}}}}}",
         "FILE:1:44: health.default.p95.warning: expected a number >= 0, or null, got an object"},
        {"{\"sampling\": {\"modules\": []}}",
         "FILE:1:26: sampling.modules: expected an object, got a list"},
        {"{\"sampling\": {\"modules\": {\"\": 1}}}",
         "FILE:1:27: sampling.modules.: expected a module name or glob of 1 to 128 bytes"},
        {"{\"sampling\": {\"modules\": {\"a.*\": 0}}}",
         "FILE:1:34: sampling.modules.a.*: expected a share from 0.000001 to 1, got 0"},
        {"{\"sampling\": {\"modules\": {\"a\": 0.1, \"b\": 1.01}}}",
         "FILE:1:42: sampling.modules.b: expected a share from 0.000001 to 1, got 1.01"},
        {"{\"sampling\": {\"modules\": {\"a\": {\"b\": 1}}}}",
         "FILE:1:32: sampling.modules.a: expected a share from 0.000001 to 1, got an object"},
        {"{\"sampling\": {\"module\": {}}}",
         "FILE:1:15: sampling.module: unknown key; did you mean sampling.modules?"},
        {"{\"health\": {\"modules\": []}}",
         "FILE:1:24: health.modules: expected an object, got a list"},
        {"{\"health\": {\"modules\": {\"\": {}}}}",
         "FILE:1:25: health.modules.: expected a module name or glob of 1 to 128 bytes"},
        {"{\"health\": {\"modules\": {\"\xc3\xa9\": {\"cpu\": {\"warning\": 99}}}}}",
         "FILE:1:25: health.modules.\xc3\xa9: cpu_percent: critical (95) must lie above warning "
         "(99)"},
        {"{\"health\": {\"default\": {\"throughput\": {\"warning\": 1, \"critical\": 2}}}}",
         "FILE:1:66: health.default: throughput_rps: critical (2) must lie below warning (1)"},
        {"{\"a\":{\"a\":1}}", "FILE:1:2: a: unknown key; `tidemarkd --help` lists the known ones"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(&(struct sources){.file = bad[i].file}, TIDE_CONFIG, bad[i].error);
}

static void bad_environment_and_set_are_refused(void **state)
{
    (void)state;
    refused(&(struct sources){.env = {"TIDEMARK_AGGREGATION_GRACE=1"}}, TIDE_CONFIG,
            "environment: TIDEMARK_AGGREGATION_GRACE: no configuration key has this name");
    refused(&(struct sources){.env = {"TIDEMARK_aggregation_grace_s=1"}}, TIDE_CONFIG,
            "environment: TIDEMARK_aggregation_grace_s: no configuration key has this name");
    refused(&(struct sources){.env = {"TIDEMARK_HEALTH_DEFAULT_P96_WARNING=1"}}, TIDE_CONFIG,
            "environment: TIDEMARK_HEALTH_DEFAULT_P96_WARNING: no configuration key has this name");
    refused(&(struct sources){.env = {"TIDEMARK_AGGREGATION_GRACE_S="}}, TIDE_CONFIG,
            "environment: TIDEMARK_AGGREGATION_GRACE_S: expected a whole number from 0 to 300 (s), "
            "got \"\"");
    refused(&(struct sources){.args = {"--set", "log.level=loud"}}, TIDE_CONFIG,
            "--set log.level: expected one of: error warning info debug, got \"loud\"");
    refused(&(struct sources){.args = {"--set", "log=loud"}}, TIDE_CONFIG,
            "--set log: this is a section; expected a key of it, as section.key");
    refused(&(struct sources){.args = {"--set", "agregation.grace_s=1"}}, TIDE_CONFIG,
            "--set agregation.grace_s: unknown key; did you mean aggregation.grace_s?");
    refused(&(struct sources){.args = {"--set", "--http=1"}}, TIDE_CONFIG,
            "--set --http: unknown key; sections are objects: { \"section\": { \"key\": ... } }");
    refused(&(struct sources){.args = {"--set", "sampling.modules={\"a\": null}"}}, TIDE_CONFIG,
            "--set sampling.modules: --set sampling.modules:1:7: sampling.modules.a: expected a "
            "share from 0.000001 to 1, got null");
    refused(&(struct sources){.args = {"--set", "health.modules=1"}}, TIDE_CONFIG,
            "--set health.modules: --set health.modules:1:1: health.modules: expected an object, "
            "got 1");
    refused(&(struct sources){.args = {"--set", "health.default.cpu.warning=null"}}, TIDE_CONFIG,
            "--set: health.default: cpu_percent: set both warning and critical, or neither");
    refused(&(struct sources){.args = {"--set", "aggregation.window_s=10"}}, TIDE_CONFIG,
            "aggregation.window_s 10 (--set): expected at least aggregation.interval_s 30 "
            "(default)");
}

static void bad_command_line_is_a_usage_error(void **state)
{
    (void)state;
    refused(&(struct sources){.args = {"--htp", "x"}}, TIDE_USAGE,
            "unknown flag --htp: did you mean --http?");
    refused(&(struct sources){.args = {"--ehlp"}}, TIDE_USAGE,
            "unknown flag --ehlp: did you mean --help?");
    refused(&(struct sources){.args = {"--frobnicate"}}, TIDE_USAGE,
            "unknown flag --frobnicate: `tidemarkd --help` lists the known ones");
    refused(&(struct sources){.args = {"-x"}}, TIDE_USAGE,
            "unknown flag -x: `tidemarkd --help` lists the known ones");
    refused(&(struct sources){.args = {"log.level"}}, TIDE_USAGE,
            "unexpected argument log.level: `tidemarkd --help` shows the usage");
    refused(&(struct sources){.args = {""}}, TIDE_USAGE,
            "unexpected argument : `tidemarkd --help` shows the usage");
    refused(&(struct sources){.args = {"--http"}}, TIDE_USAGE,
            "--http: expected ADDR:PORT behind it");
    refused(&(struct sources){.args = {"--version=1"}}, TIDE_USAGE, "--version takes no argument");
    refused(&(struct sources){.args = {"--set", "x"}}, TIDE_USAGE,
            "--set x: expected section.key=value");
    refused(&(struct sources){.args = {"--set", "=x"}}, TIDE_USAGE,
            "--set =x: expected section.key=value");
    refused(&(struct sources){.args = {"--data-dir", ""}}, TIDE_USAGE,
            "--data-dir: expected 1 to 1023 characters");
}

static void help_and_version_look_at_nothing_else(void **state)
{
    struct tide_config config =
        loaded(&(struct sources){.env = {"TIDEMARK_NONSENSE=1"}, .args = {"-h"}});

    (void)state;
    assert_true(config.help);
    config = loaded(&(struct sources){.env = {"TIDEMARK_NONSENSE=1"}, .args = {"--version"}});
    assert_true(config.version);
}

static void only_this_machine_may_speak_unless_told(void **state)
{
    static const char *const fine[][2] = {
        {"127.0.0.1:0", "127.0.0.1:0"},     {"127.9.8.7:65535", "127.9.8.7:65535"},
        {"[::1]:24224", "[::1]:24224"},     {"localhost:8640", "127.0.0.1:8640"},
        {"[0:0:0:0:0:0:0:1]:5", "[::1]:5"}, {"[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:5"},
    };
    static const char *const open[] = {"0.0.0.0:24224", "[::]:24224", "10.1.2.3:1",
                                       "[::ffff:10.0.0.1]:1", "128.0.0.1:1"};
    static const char *const bad[] = {
        "127.0.0.1",
        "127.0.0.1:",
        ":24224",
        "24224",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1x",
        "127.0.0.1: 1",
        "127.0.1:1",
        "[::1]",
        "[::1:1",
        "::1:24224",
        "[::g]:1",
        "example:1",
        "127.0.0.1:000001",
        "[127.0.0.1]:1",
        "LOCALHOST:1",
        "localhost",
        "a b:1",
        "1234567890123456789012345678901234567890123456789012345678901234567890.0.0.1:1"};
    struct tide_config config;
    struct tide_err err;

    (void)state;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        config = loaded(&(struct sources){.args = {"--forward", fine[i][0]}});
        assert_string_equal(config.forward, fine[i][1]);
    }
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        assert_int_equal(load(&(struct sources){.args = {"--http", open[i]}}, &config, &err),
                         TIDE_CONFIG);
        assert_non_null(strstr(err.text, "security.allow_open=true"));
        config = loaded(
            &(struct sources){.args = {"--http", open[i], "--set", "security.allow_open=true"}});
        assert_string_equal(config.http, open[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (load(&(struct sources){.args = {"--http", bad[i]}}, &config, &err) != TIDE_USAGE)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void unreadable_file_says_why(void **state)
{
    (void)state;
    refused(&(struct sources){.args = {"--config", "/nonexistent/x.json"}}, TIDE_CONFIG,
            "/nonexistent/x.json: No such file or directory");
    refused(&(struct sources){.args = {"--config", "/tmp"}}, TIDE_CONFIG, "/tmp: Is a directory");
    refused(&(struct sources){.args = {"--config", "/dev/zero"}}, TIDE_CONFIG,
            "/dev/zero: expected a file of at most 1048576 bytes");
}

static void depth_and_members_are_bounded(void **state)
{
    char *text = malloc(1 << 20);
    size_t len;
    struct sources sources = {.file = text};
    struct tide_config config;
    struct tide_err err;

    (void)state;
    len = (size_t)sprintf(text, "{\"health\": {\"modules\": {");
    for (int i = 0; i < TIDE_READER_MEMBERS + 1; i++)
        len += (size_t)sprintf(text + len, "%s\"m%d\": {}", i ? "," : "", i);
    strcpy(text + len, "}}}");
    assert_int_equal(load(&sources, &config, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, "health.modules: expected at most 1024 keys in one object"));
    memset(text, '{', 100000);
    text[100000] = '\0';
    assert_int_equal(load(&sources, &config, &err), TIDE_CONFIG);
    free(text);
}

/* The stronger source's list replaces the weaker one's, and its order is kept. */
static void sampling_is_a_list_of_globs_and_shares(void **state)
{
    struct tide_config config = loaded(&(struct sources){
        .file = "{\"sampling\": {\"modules\": {\"a\": 0.5, \"b\": 0.25, \"c\": 0.125}}}",
        .args = {"--set", "sampling.modules={\"web-*\": 1e-6, \"*\": 1}"}});

    (void)state;
    assert_int_equal(config.sample.rules, 2);
    assert_string_equal(config.sample.rule[0].glob, "web-*");
    assert_true(config.sample.rule[0].share == 1e-6);
    assert_string_equal(config.sample.rule[1].glob, "*");
    assert_true(config.sample.rule[1].share == 1);
    tide_config_fini(&config);
    assert_null(config.sample.rule);
}

static void retention_rules_take_from_the_defaults_what_they_leave_open(void **state)
{
    const int64_t day_s = 86400;
    struct tide_config config = loaded(&(struct sources){
        .file = "{\"retention\": {\"modules\": {\"a\": {}, \"b\": {}, \"c\": {}}}}",
        .env = {"TIDEMARK_RETENTION_RAW_S=3600"},
        .args = {"--set",
                 "retention.modules={\"a-keep\": {\"day_s\": 0, \"hour_s\": 0}, \"a-*\": "
                 "{\"five_min_s\": 7200}}",
                 "--set", "retention.day_s=315360000", "--set", "storage.max_bytes=67108864"}});

    (void)state;
    assert_int_equal(config.retention.rules, 2); /* a stronger source replaces the list */
    assert_int_equal(tide_retention_find(&config.retention, "a-keep"), 0);
    assert_int_equal(tide_retention_find(&config.retention, "a-other"), 1);
    assert_int_equal(tide_retention_find(&config.retention, "b"), 2);
    assert_memory_equal(tide_retention_keep_s(&config.retention, 0),
                        ((int64_t[]){3600, 90 * day_s, 0, 0}), 4 * sizeof(int64_t));
    assert_memory_equal(tide_retention_keep_s(&config.retention, 1),
                        ((int64_t[]){3600, 7200, 1095 * day_s, 3650 * day_s}), 4 * sizeof(int64_t));
    assert_memory_equal(tide_retention_keep_s(&config.retention, 2),
                        ((int64_t[]){3600, 90 * day_s, 1095 * day_s, 3650 * day_s}),
                        4 * sizeof(int64_t));
    assert_int_equal(config.max_bytes, 64 << 20);
    tide_config_fini(&config);
    assert_null(config.retention.rule);
}

/* Any bytes are refused or understood, never a crash; the sanitizers watch. */
static void a_certificate_comes_with_its_key_and_both_are_tried(void **state)
{
    char dir[64], cert[96], key[96], set_cert[128], set_key[128], missing[192];
    struct tide_config config;

    (void)state;
    tide_test_dir(dir, sizeof(dir));
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    snprintf(set_cert, sizeof(set_cert), "tls.cert_file=%s", cert);
    snprintf(set_key, sizeof(set_key), "tls.key_file=%s", key);
    refused(&(struct sources){.args = {"--set", set_cert}}, TIDE_CONFIG,
            "tls.cert_file and tls.key_file: expected both or neither, only tls.cert_file is set");
    refused(&(struct sources){.args = {"--set", set_key}}, TIDE_CONFIG,
            "tls.cert_file and tls.key_file: expected both or neither, only tls.key_file is set");
    snprintf(missing, sizeof(missing), "tls: certificate %s: No such file or directory", cert);
    refused(&(struct sources){.args = {"--set", set_key, "--set", set_cert}}, TIDE_CONFIG, missing);
    cert_write(cert, key, "x", NULL);
    config = loaded(&(struct sources){.args = {"--set", set_key, "--set", set_cert}});
    assert_string_equal(config.cert_file, cert);
    assert_string_equal(config.key_file, key);
    tide_config_fini(&config);
    config = loaded(&(struct sources){.args = {"--set", "tls.key_file=null"}});
    assert_string_equal(config.key_file, "");
    tide_config_fini(&config);
    refused(&(struct sources){.args = {"--set", "tls.key_file=7"}}, TIDE_CONFIG,
            "--set tls.key_file: expected the name of a file, 1 to 1023 bytes, got 7");
    tide_test_dir_remove(dir);
}

static void origins_are_words_or_a_star(void **state)
{
    static const char *const good[] = {"*", "https://a.example", "http://[::1]:80 app://x"};
    static const char *const bad[] = {
        "a.example",    "https://",    "https://a/", "https://a https://b ",
        "https://a  b", "* https://a", "://a",       "https://a,b"};
    struct tide_config config;
    char set[128], wanted[256];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(set, sizeof(set), "http.cors_origins=%s", good[i]);
        config = loaded(&(struct sources){.args = {"--set", set}});
        assert_string_equal(config.http_cors_origins, good[i]);
        tide_config_fini(&config);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(set, sizeof(set), "http.cors_origins=%s", bad[i]);
        snprintf(wanted, sizeof(wanted),
                 "--set http.cors_origins: expected \"*\" or origins such as "
                 "\"https://a.example\", one blank between them, 1023 bytes in all, got \"%s\"",
                 bad[i]);
        refused(&(struct sources){.args = {"--set", set}}, TIDE_CONFIG, wanted);
    }
}

static void mutated_files_never_crash(void **state)
{
    static const char good[] =
        "{ // c\n \"aggregation\": {\"interval_s\": 10, \"grace_s\": 1e0}, # d\n"
        " \"log\": {\"level\": \"d\\u0065\\ud83c\\udf0abug\", \"requests\": true},\n"
        " \"health\": {\"default\": {\"p95\": {\"warning\": 1.5, \"critical\": null}},\n"
        " \"modules\": {\"a.*\": {\"cpu\": {\"warning\": 5}}, \"b\": {}}},\n"
        " \"retention\": {\"raw_s\": 7200, \"modules\": {\"a\": {\"day_s\": 0}, \"b\": {}}},\n"
        " \"sampling\": {\"modules\": {\"a.*\": 0.5, \"b\": 1e-3}}}";
    static const char splice[] = "{}[]\":,\\u#/ntf0-.e1\n\xff\xc3";
    const char *seed_text = getenv("TIDE_SEED");
    unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 10) : (unsigned)time(NULL);
    char *argv[] = {(char *)"tidemarkd", (char *)"--config", file_name, NULL};

    (void)state;
    print_message("TIDE_SEED=%u\n", seed);
    for (int round = 0; round < 4000; round++) {
        char text[2 * sizeof(good)];
        size_t len = sizeof(good) - 1;
        struct tide_config config;
        struct tide_err err = {""};
        int edits = 1 + rand_r(&seed) % 4;

        memcpy(text, good, len);
        while (edits--) {
            size_t at = (size_t)rand_r(&seed) % (len + 1);

            switch (rand_r(&seed) % 4) {
            case 0: /* cut */
                len = at;
                break;
            case 1: /* change */
                if (at < len)
                    text[at] = splice[(size_t)rand_r(&seed) % (sizeof(splice) - 1)];
                break;
            case 2: /* put in */
                memmove(text + at + 1, text + at, len - at);
                text[at] = (char)rand_r(&seed);
                len++;
                break;
            default: /* take out */
                if (at < len) {
                    memmove(text + at, text + at + 1, len - at - 1);
                    len--;
                }
            }
        }
        write_file(text, len);
        if (tide_config_load(3, argv, NULL, &config, &err)) {
            assert_memory_equal(err.text, file_name, strlen(file_name)); /* says where */
        } else {
            tide_config_fini(&config);
        }
    }
    unlink(file_name);
}

static void help_tells_every_row(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    tide_option_help(out);
    fclose(out);
    for (size_t i = 0; i < tide_options; i++) {
        assert_non_null(strstr(text, tide_option[i].name));
        assert_non_null(strstr(text, tide_option[i].help));
    }
    free(text);
}

static void same_tells_what_changed(void **state)
{
    struct tide_config a = loaded(&(struct sources){0});
    struct tide_config b =
        loaded(&(struct sources){.args = {"--http", "127.0.0.1:1", "--set", "log.level=debug"}});

    (void)state;
    for (size_t i = 0; i < tide_options; i++) {
        bool changed =
            !strcmp(tide_option[i].name, "--http") || !strcmp(tide_option[i].name, "log.level");

        assert_int_equal(tide_option_same(&tide_option[i], &a, &b), !changed);
    }
}

/* Only a part of what is said matters. */
static void refused_with(const struct sources *sources, enum tide_rc wanted_rc, const char *wanted)
{
    struct tide_config config;
    struct tide_err err = {""};

    assert_int_equal(load(sources, &config, &err), wanted_rc);
    if (!strstr(err.text, wanted))
        fail_msg("%s", err.text);
}

static void files_are_named_from_every_source(void **state)
{
    char longest[108 + sizeof("ingest.unix_socket=")] = "ingest.unix_socket=";
    struct tide_config config;

    (void)state;
    config = loaded(&(struct sources){
        .file = "{\"auth\": {\"shared_key_file\": \"/k\", \"users_file\": \"/u\"},"
                " \"ingest\": {\"unix_socket\": \"/s\"}}",
        .env = {"TIDEMARK_AUTH_USERS_FILE=/other"},
        .args = {"--set", "ingest.unix_socket=null"}});
    assert_string_equal(config.access.shared_key_file, "/k");
    assert_string_equal(config.access.users_file, "/other");
    assert_string_equal(config.access.client_ca_file, "");
    assert_string_equal(config.unix_socket, "");

    refused_with(&(struct sources){.file = "{\"auth\": {\"shared_key_file\": 1}}"}, TIDE_CONFIG,
                 ":1:30: auth.shared_key_file: expected the name of a file");
    memset(longest + strlen("ingest.unix_socket="), 'p', 107);
    config = loaded(&(struct sources){.args = {"--set", longest}});
    assert_int_equal(strlen(config.unix_socket), 107);
    strcat(longest, "p");
    refused_with(&(struct sources){.args = {"--set", longest}}, TIDE_CONFIG, "1 to 107 bytes");
    refused_with(&(struct sources){.args = {"--set", "tls.client_ca_file=/ca"}}, TIDE_CONFIG,
                 "expected tls.cert_file and tls.key_file, too");
}

static void open_address_is_fine_when_clients_show_a_key(void **state)
{
    static const char key[] = "auth.shared_key_file=/k";
    struct tide_config config;

    (void)state;
    config = loaded(&(struct sources){.args = {"--forward", "0.0.0.0:1", "--set", key}});
    assert_string_equal(config.forward, "0.0.0.0:1");
    refused_with(&(struct sources){.args = {"--http", "0.0.0.0:1", "--set", key}}, TIDE_CONFIG,
                 "security.allow_open");
    refused_with(&(struct sources){.args = {"--forward", "0.0.0.0:1"}}, TIDE_CONFIG,
                 "auth.shared_key_file, tls.client_ca_file, or");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(file_with_comments_sets_keys),
        cmocka_unit_test(stronger_source_wins),
        cmocka_unit_test(environment_names_every_key),
        cmocka_unit_test(rules_of_a_stronger_source_replace_the_list),
        cmocka_unit_test(threshold_may_lean_on_another_source),
        cmocka_unit_test(bad_file_is_refused_with_its_place),
        cmocka_unit_test(bad_environment_and_set_are_refused),
        cmocka_unit_test(bad_command_line_is_a_usage_error),
        cmocka_unit_test(help_and_version_look_at_nothing_else),
        cmocka_unit_test(only_this_machine_may_speak_unless_told),
        cmocka_unit_test(unreadable_file_says_why),
        cmocka_unit_test(depth_and_members_are_bounded),
        cmocka_unit_test(sampling_is_a_list_of_globs_and_shares),
        cmocka_unit_test(retention_rules_take_from_the_defaults_what_they_leave_open),
        cmocka_unit_test(a_certificate_comes_with_its_key_and_both_are_tried),
        cmocka_unit_test(origins_are_words_or_a_star),
        cmocka_unit_test(mutated_files_never_crash),
        cmocka_unit_test(help_tells_every_row),
        cmocka_unit_test(files_are_named_from_every_source),
        cmocka_unit_test(open_address_is_fine_when_clients_show_a_key),
        cmocka_unit_test(same_tells_what_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
