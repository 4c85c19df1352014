/* Sources of configuration, weakest first: defaults, file, environment, --set, flags. Each writes
 * over the one before; afterwards the whole is checked once, so that a threshold from the file may
 * rely on one from --set.
 *
 * A loader remembers for each key where its value came from, because "window_s is shorter than
 * interval_s" is only of use with the two places to look at.
 */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "address.h"
#include "keeps.h"
#include "levels.h"
#include "reader.h"
#include "shares.h"
#include "show.h"
#include "tidemark/api.h"
#include "tidemark/tls.h"

#define ENV_PREFIX "TIDEMARK_"
#define NAME_SIZE  256

struct loader {
    struct tide_config *config;
    const char **pair; /* of --set, as given */
    size_t pairs;
    const char *source; /* what is being read: a file's name, "--set", "environment" */
    struct tide_levels levels;
    struct tide_keeps keeps;
    /* where the keys that are held against each other came from; "" = default */
    char window_from[TIDE_ORIGIN_SIZE], interval_from[TIDE_ORIGIN_SIZE];
    char keep_from[TIDE_TIER_COUNT][TIDE_ORIGIN_SIZE];
};

/* ---- one key ---- */

static void note_origin(const struct loader *loader, char to[TIDE_ORIGIN_SIZE],
                        struct tide_place place)
{
    if (place.line)
        snprintf(to, TIDE_ORIGIN_SIZE, "%.200s:%u:%u", loader->source, place.line, place.column);
    else
        snprintf(to, TIDE_ORIGIN_SIZE, "%.200s", loader->source);
}

static const size_t keep_at[TIDE_TIER_COUNT] = {
    offsetof(struct tide_config, raw_s), offsetof(struct tide_config, five_min_s),
    offsetof(struct tide_config, hour_s), offsetof(struct tide_config, day_s)};

static void note_option(struct loader *loader, const struct tide_option *option,
                        struct tide_place place)
{
    if (option->at == offsetof(struct tide_config, window_s))
        note_origin(loader, loader->window_from, place);
    else if (option->at == offsetof(struct tide_config, interval_s))
        note_origin(loader, loader->interval_from, place);
    for (enum tide_tier tier = 0; tier < TIDE_TIER_COUNT; tier++)
        if (option->at == keep_at[tier])
            note_origin(loader, loader->keep_from[tier], place);
}

/* Is there anything at or under this path? */
static bool is_section(const char *name)
{
    const size_t len = strlen(name);

    if (len == 0)
        return true;
    for (size_t i = 0; i < tide_options; i++) {
        if (!strncmp(tide_option[i].name, name, len) && tide_option[i].name[len] == '.')
            return true;
    }
    return false;
}

static enum tide_rc unknown_key(const char *name, struct tide_err *err)
{
    char nearest[NAME_SIZE];

    if (is_section(name))
        tide_err_set(err, "this is a section; expected a key of it, as section.key");
    else if (tide_option_find(name))
        tide_err_set(err, "unknown key; sections are objects: { \"section\": { \"key\": ... } }");
    else if (tide_option_nearest(name, nearest, sizeof(nearest)))
        tide_err_set(err, "unknown key; did you mean %s?", nearest);
    else
        tide_err_set(err, "unknown key; `tidemarkd --help` lists the known ones");
    return TIDE_CONFIG;
}

static enum tide_rc need_object(const struct tide_value *value, struct tide_err *err)
{
    if (value->type == TIDE_VALUE_OBJECT)
        return TIDE_OK;
    return tide_option_expected("an object", value, err);
}

/* A key with a dot in it is no way into a section. */
static bool has_dotted_part(const struct tide_path *path)
{
    for (size_t i = 0; i < path->depth; i++) {
        if (strchr(path->part[i], '.'))
            return true;
    }
    return false;
}

static enum tide_rc take_key(void *arg, const struct tide_path *path, struct tide_place place,
                             struct tide_err *err)
{
    struct loader *loader = arg;
    char name[NAME_SIZE], from[TIDE_ORIGIN_SIZE];

    if (tide_levels_owns(path)) {
        note_origin(loader, from, place);
        return tide_levels_key(&loader->levels, path, from, err);
    }
    if (tide_shares_owns(path))
        return tide_shares_key(&loader->config->sample, path, err);
    if (tide_keeps_owns(path)) {
        note_origin(loader, from, place);
        return tide_keeps_key(&loader->keeps, path, from, err);
    }
    tide_path_text(path, name, sizeof(name));
    if (!has_dotted_part(path) && name[0] != '-' && (tide_option_find(name) || is_section(name)))
        return TIDE_OK;
    return unknown_key(name, err);
}

static void note_shown(struct loader *loader, const struct tide_path *path, struct tide_place place,
                       const struct tide_value *value)
{
    static const char *const word[] = {
        [TIDE_VALUE_NULL] = "null", [TIDE_VALUE_OBJECT] = "{...}", [TIDE_VALUE_ARRAY] = "[...]"};
    char name[NAME_SIZE], from[TIDE_ORIGIN_SIZE];

    if (!loader->config->show || value->type == TIDE_VALUE_OBJECT)
        return;
    tide_path_text(path, name, sizeof(name));
    note_origin(loader, from, place);
    tide_settings_note(&loader->config->settings, name,
                       value->type == TIDE_VALUE_BOOL ? value->boolean ? "true" : "false"
                       : value->text                  ? value->text
                                                      : word[value->type],
                       from);
}

static enum tide_rc take_value(void *arg, const struct tide_path *path, struct tide_place place,
                               const struct tide_value *value, struct tide_err *err)
{
    struct loader *loader = arg;
    const struct tide_option *option;
    char name[NAME_SIZE], from[TIDE_ORIGIN_SIZE];
    enum tide_rc rc;

    note_shown(loader, path, place, value);
    if (tide_levels_owns(path)) {
        note_origin(loader, from, place);
        return tide_levels_value(&loader->levels, path, from, value, err);
    }
    if (tide_shares_owns(path))
        return tide_shares_value(&loader->config->sample, path, value, err);
    if (tide_keeps_owns(path))
        return tide_keeps_value(&loader->keeps, path, value, err);
    tide_path_text(path, name, sizeof(name));
    option = tide_option_find(name);
    if (!option)
        return need_object(value, err);
    if ((rc = tide_option_assign(loader->config, option, value, err)))
        return rc;
    note_option(loader, option, place);
    return TIDE_OK;
}

static const struct tide_reader_calls reader_calls = {.key = take_key, .value = take_value};

/* One key with its value as text, from the environment or --set. */
static enum tide_rc take_text(struct loader *loader, const char *name, const char *text,
                              struct tide_err *err)
{
    const struct tide_place nowhere = {0, 0};
    char parts[NAME_SIZE], source[NAME_SIZE + 16];
    struct tide_path path = {.depth = 0};
    struct tide_value value = tide_value_of(text);
    enum tide_rc rc = TIDE_OK;

    if (strlen(name) >= sizeof(parts)) {
        tide_err_set(err, "unknown key");
        return TIDE_CONFIG;
    }
    strcpy(parts, name);
    for (char *part = parts, *dot; part && path.depth < TIDE_READER_DEPTH; part = dot) {
        dot = strchr(part, '.');
        if (dot)
            *dot++ = '\0';
        path.part[path.depth++] = part;
    }
    if (!strcmp(name, "health.modules") || !strcmp(name, "sampling.modules") ||
        !strcmp(name, "retention.modules")) {
        snprintf(source, sizeof(source), "%s %s", loader->source, name);
        return tide_reader_run(source, text, strlen(text), &path, &reader_calls, loader, err);
    }
    if (!tide_levels_owns(&path)) {
        if (!tide_option_find(name) || name[0] == '-')
            return unknown_key(name, err);
    } else if (!strcmp(path.part[1], "modules")) {
        return unknown_key("health.modules", err); /* globs have dots: the list comes as a whole */
    } else {
        /* every step on the way is checked, as if it were read from a file */
        for (size_t depth = path.depth, i = 1; i <= depth && !rc; i++) {
            path.depth = i;
            rc = tide_levels_owns(&path) ? take_key(loader, &path, nowhere, err) : TIDE_OK;
        }
    }
    if (!rc)
        rc = take_value(loader, &path, nowhere, &value, err);
    return rc;
}

/* ---- sources ---- */

static enum tide_rc read_all(const char *name, char **ret, size_t *ret_len, struct tide_err *err)
{
    char *text = malloc(TIDE_READER_BYTES + 1);
    enum tide_rc rc = TIDE_CONFIG;
    size_t len = 0;
    ssize_t n = 1;
    int fd = -1;

    if (!text) {
        tide_err_set(err, "%s: out of memory", name);
        return TIDE_NO_MEMORY;
    }
    fd = open(name, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && n && len <= TIDE_READER_BYTES) {
        n = read(fd, text + len, TIDE_READER_BYTES + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        len += (size_t)n;
    }
    if (fd < 0 || n < 0)
        tide_err_set(err, "%s: %s", name, strerror(errno));
    else if (len > TIDE_READER_BYTES)
        tide_err_set(err, "%s: expected a file of at most %d bytes", name, TIDE_READER_BYTES);
    else
        rc = TIDE_OK;
    if (fd >= 0)
        close(fd);
    if (rc) {
        free(text);
        return rc;
    }
    *ret = text;
    *ret_len = len;
    return TIDE_OK;
}

static enum tide_rc load_file(struct loader *loader, struct tide_err *err)
{
    const char *name = loader->config->file;
    char *text;
    size_t len;
    enum tide_rc rc;

    if (!name[0])
        return TIDE_OK;
    if ((rc = read_all(name, &text, &len, err)))
        return rc;
    loader->source = name;
    rc = tide_reader_run(name, text, len, NULL, &reader_calls, loader, err);
    free(text);
    return rc;
}

/* health.default.SIGNAL.BOUND for HEALTH_DEFAULT_SIGNAL_BOUND; any name of a signal will do. */
static bool env_level(const char *name, char *ret, size_t size)
{
    static const char front[] = "HEALTH_DEFAULT_";
    char signal[64];
    char *tail;

    if (strncmp(name, front, sizeof(front) - 1) ||
        strlen(name) - (sizeof(front) - 1) >= sizeof(signal))
        return false;
    strcpy(signal, name + sizeof(front) - 1);
    for (char *p = signal; *p; p++) {
        if (islower((unsigned char)*p))
            return false;
        *p = (char)tolower((unsigned char)*p);
    }
    tail = strrchr(signal, '_');
    if (!tail || (strcmp(tail + 1, tide_bound_name[TIDE_BOUND_WARNING]) &&
                  strcmp(tail + 1, tide_bound_name[TIDE_BOUND_CRITICAL])))
        return false;
    *tail = '\0';
    if (tide_signal_find(signal) < 0)
        return false;
    snprintf(ret, size, "health.default.%s.%s", signal, tail + 1);
    return true;
}

/* The key that stands behind an environment name without its prefix; false when none does. A '_'
 * may stand for a dot or for itself: the table knows. */
static bool env_key(const char *name, char *ret, size_t size)
{
    const size_t len = strlen(name);

    for (size_t i = 0; i < tide_options; i++) {
        const char *key = tide_option[i].name;
        size_t at = 0;

        if (key[0] == '-' || tide_option[i].type == TIDE_OPTION_THRESHOLD || strlen(key) != len)
            continue;
        while (at < len && name[at] == (key[at] == '.' ? '_' : toupper((unsigned char)key[at])))
            at++;
        if (at == len) {
            snprintf(ret, size, "%s", key);
            return true;
        }
    }
    return env_level(name, ret, size);
}

static enum tide_rc load_env(struct loader *loader, char *const env[], struct tide_err *err)
{
    char name[NAME_SIZE], key[NAME_SIZE];
    enum tide_rc rc;

    loader->source = "environment";
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        size_t len;

        if (!equals || strncmp(*env, ENV_PREFIX, sizeof(ENV_PREFIX) - 1))
            continue;
        len = (size_t)(equals - *env);
        snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : sizeof(name) - 1),
                 *env);
        if (!env_key(name + sizeof(ENV_PREFIX) - 1, key, sizeof(key))) {
            tide_err_set(err, "environment: %s: no configuration key has this name", name);
            return TIDE_CONFIG;
        }
        if ((rc = take_text(loader, key, equals + 1, err))) {
            tide_err_wrap(err, "environment: %s", name);
            return rc;
        }
    }
    return TIDE_OK;
}

static enum tide_rc load_pairs(struct loader *loader, struct tide_err *err)
{
    char key[NAME_SIZE];
    enum tide_rc rc;

    loader->source = "--set";
    for (size_t i = 0; i < loader->pairs; i++) {
        const char *equals = strchr(loader->pair[i], '=');
        size_t len = (size_t)(equals - loader->pair[i]);

        snprintf(key, sizeof(key), "%.*s", (int)(len < sizeof(key) ? len : sizeof(key) - 1),
                 loader->pair[i]);
        if ((rc = take_text(loader, key, equals + 1, err))) {
            tide_err_wrap(err, "--set %s", key);
            return rc;
        }
    }
    return TIDE_OK;
}

/* ---- the command line ---- */

static enum tide_rc unknown_flag(const char *flag, struct tide_err *err)
{
    char nearest[NAME_SIZE];

    if (tide_option_nearest(flag, nearest, sizeof(nearest)))
        tide_err_set(err, "unknown flag %.80s: did you mean %s?", flag, nearest);
    else
        tide_err_set(err, "unknown flag %.80s: `tidemarkd --help` lists the known ones", flag);
    return TIDE_USAGE;
}

static enum tide_rc take_flag(struct loader *loader, const struct tide_option *option,
                              const char *argument, struct tide_err *err)
{
    char *field = (char *)loader->config + option->at;

    switch (option->type) {
    case TIDE_OPTION_SWITCH:
        memcpy(field, &(bool){true}, sizeof(bool));
        return TIDE_OK;
    case TIDE_OPTION_PAIR:
        if (!strchr(argument, '=') || argument[0] == '=') {
            tide_err_set(err, "--set %.80s: expected section.key=value", argument);
            return TIDE_USAGE;
        }
        loader->pair[loader->pairs++] = argument;
        return TIDE_OK;
    default:
        assert(option->type == TIDE_OPTION_TEXT);
        if (!argument[0] || strlen(argument) >= option->size) {
            tide_err_set(err, "%s: expected 1 to %zu characters", option->name, option->size - 1);
            return TIDE_USAGE;
        }
        strcpy(field, argument);
        tide_settings_note(&loader->config->settings, option->name, argument, option->name);
        return TIDE_OK;
    }
}

static enum tide_rc load_flags(struct loader *loader, int argc, char *const argv[],
                               struct tide_err *err)
{
    enum tide_rc rc;

    for (int i = 1; i < argc; i++) {
        const char *word = !strcmp(argv[i], "-h") ? "--help" : argv[i];
        const char *equals = strchr(word, '=');
        const struct tide_option *option;
        const char *argument = NULL;
        char flag[NAME_SIZE];

        if (strncmp(word, "-", 1)) {
            tide_err_set(err, "unexpected argument %.80s: `tidemarkd --help` shows the usage",
                         word);
            return TIDE_USAGE;
        }
        snprintf(flag, sizeof(flag), "%.*s", equals ? (int)(equals - word) : NAME_SIZE - 1, word);
        option = flag[1] == '-' ? tide_option_find(flag) : NULL;
        if (!option)
            return unknown_flag(flag, err);
        if (option->type == TIDE_OPTION_SWITCH && equals) {
            tide_err_set(err, "%s takes no argument", flag);
            return TIDE_USAGE;
        }
        if (option->type != TIDE_OPTION_SWITCH) {
            argument = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
            if (!argument) {
                tide_err_set(err, "%s: expected %s behind it", flag, option->argument);
                return TIDE_USAGE;
            }
        }
        if ((rc = take_flag(loader, option, argument, err)))
            return rc;
    }
    return TIDE_OK;
}

/* ---- the whole ---- */

/* "window_s is 10 (--set)": a key, its value and its origin. */
static void tell(char text[NAME_SIZE], const char *key, int64_t value, const char *from)
{
    snprintf(text, NAME_SIZE, "%s %lld (%.150s)", key, (long long)value,
             from[0] ? from : "default");
}

static enum tide_rc check_times(const struct loader *loader, struct tide_err *err)
{
    const struct tide_config *config = loader->config;
    char window[NAME_SIZE], other[NAME_SIZE];

    tell(window, "aggregation.window_s", config->window_s, loader->window_from);
    if (config->window_s < config->interval_s) {
        tell(other, "aggregation.interval_s", config->interval_s, loader->interval_from);
        tide_err_set(err, "%s: expected at least %s", window, other);
        return TIDE_CONFIG;
    }
    if (config->raw_s && config->raw_s < config->window_s) {
        tell(other, "retention.raw_s", config->raw_s, loader->keep_from[TIDE_TIER_RAW]);
        tide_err_set(err, "%s: expected 0 or at least %s", other, window);
        return TIDE_CONFIG;
    }
    return TIDE_OK;
}

/* A tier stands for the finer ones when those are gone: it may not go before them. */
static enum tide_rc check_keeps(const struct loader *loader, struct tide_err *err)
{
    const struct tide_config *config = loader->config;
    const int64_t keep_s[TIDE_TIER_COUNT] = {config->raw_s, config->five_min_s, config->hour_s,
                                             config->day_s};
    enum tide_tier shorter = tide_retention_check(keep_s);
    char text[2][NAME_SIZE];

    for (unsigned i = 0; shorter < TIDE_TIER_COUNT && i < 2; i++) {
        enum tide_tier tier = (enum tide_tier)(shorter - i);
        char key[64];

        snprintf(key, sizeof(key), "retention.%s", tide_retention_key[tier]);
        tell(text[i], key, keep_s[tier], loader->keep_from[tier]);
    }
    if (shorter < TIDE_TIER_COUNT) {
        tide_err_set(err, "%s: expected 0 (for ever)%s %s", text[0],
                     keep_s[shorter - 1] ? " or at least" : " as", text[1]);
        return TIDE_CONFIG;
    }
    return tide_keeps_close(&loader->keeps, keep_s, config->window_s, &loader->config->retention,
                            err);
}

/* closed: whoever comes in there has to show something; way: how else it could be. */
static enum tide_rc check_address(const struct tide_config *config, const char *flag, char *address,
                                  size_t size, bool closed, const char *way, struct tide_err *err)
{
    char numeric[sizeof(config->forward)];
    bool loopback;
    enum tide_rc rc;

    if ((rc = tide_address_check(address, numeric, sizeof(numeric), &loopback, err))) {
        tide_err_wrap(err, "%s", flag);
        return rc;
    }
    if (!loopback && !closed && !config->allow_open) {
        tide_err_set(
            err,
            "%s %s: anyone who reaches this address could use it, and nobody has to prove who "
            "he is; expected a loopback address, %sor --set security.allow_open=true",
            flag, numeric, way);
        return TIDE_CONFIG;
    }
    snprintf(address, size, "%s", numeric);
    return TIDE_OK;
}

/* A pair that cannot be used is found here, so that --check-config and a reload find it, too. */
static enum tide_rc check_tls(const struct tide_config *config, struct tide_err *err)
{
    struct tide_tls *tls = NULL;
    enum tide_rc rc;

    if (!config->cert_file[0] && !config->key_file[0] && config->access.client_ca_file[0]) {
        tide_err_set(err, "tls.client_ca_file: clients show certificates in TLS only; expected "
                          "tls.cert_file and tls.key_file, too");
        return TIDE_CONFIG;
    }
    if (!config->cert_file[0] && !config->key_file[0])
        return TIDE_OK;
    if (!config->cert_file[0] || !config->key_file[0]) {
        tide_err_set(err,
                     "tls.cert_file and tls.key_file: expected both or neither, only %s is set",
                     config->cert_file[0] ? "tls.cert_file" : "tls.key_file");
        return TIDE_CONFIG;
    }
    rc = tide_tls_open(config->cert_file, config->key_file, &tls, err);
    if (rc)
        tide_err_wrap(err, "tls");
    tide_tls_close(tls);
    return rc;
}

static enum tide_rc check_tokens(const struct tide_config *config, struct tide_err *err)
{
    enum tide_rc rc;

    if (!config->http_tokens_file[0])
        return TIDE_OK;
    rc = tide_api_check_tokens(config->http_tokens_file, err);
    if (rc)
        tide_err_wrap(err, "auth.http_tokens_file");
    return rc;
}

static enum tide_rc check_whole(struct loader *loader, struct tide_err *err)
{
    struct tide_config *config = loader->config;
    bool closed = config->access.shared_key_file[0] || config->access.client_ca_file[0];
    enum tide_rc rc;

    if ((rc = check_times(loader, err)) || (rc = check_tls(config, err)) ||
        (rc = check_tokens(config, err)) ||
        (rc = check_address(config, "--forward", config->forward, sizeof(config->forward), closed,
                            "auth.shared_key_file, tls.client_ca_file, ", err)) ||
        (rc = check_address(config, "--http", config->http, sizeof(config->http),
                            config->http_tokens_file[0], "auth.http_tokens_file, ", err)) ||
        (rc = check_keeps(loader, err)))
        return rc;
    return tide_levels_close(&loader->levels, &config->health, err);
}

enum tide_rc tide_config_load(int argc, char *const argv[], char *const env[],
                              struct tide_config *ret, struct tide_err *err)
{
    struct tide_config config;
    struct loader loader = {.config = &config};
    enum tide_rc rc = TIDE_OK;

    tide_option_defaults(&config);
    tide_levels_init(&loader.levels);
    loader.pair = malloc(sizeof(*loader.pair) * (size_t)(argc > 0 ? argc : 1));
    if (!loader.pair) {
        tide_err_set(err, "out of memory");
        return TIDE_NO_MEMORY;
    }
    rc = load_flags(&loader, argc, argv, err);
    if (!rc && !config.help && !config.version) {
        (void)((rc = load_file(&loader, err)) || (rc = load_env(&loader, env, err)) ||
               (rc = load_pairs(&loader, err)) || (rc = check_whole(&loader, err)));
    }
    tide_levels_fini(&loader.levels);
    tide_keeps_fini(&loader.keeps);
    free(loader.pair);
    if (!rc)
        *ret = config;
    else
        tide_config_fini(&config);
    return rc;
}

void tide_config_fini(struct tide_config *config)
{
    tide_settings_fini(&config->settings);
    free(config->health.rule);
    config->health.rule = NULL;
    config->health.rules = 0;
    free(config->sample.rule);
    config->sample = (struct tide_sample_rules){0};
    tide_retention_fini(&config->retention);
}
