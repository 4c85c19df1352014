/* The field of a row: its default, a value checked and put into it, and whether two configurations
 * agree on it.
 */
#include "options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

    if (option->preset != TIDE_PRESET_FROM_CPUS)
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
        case TIDE_OPTION_ORIGINS:
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

/* "https://host" or "https://host:8080": a scheme, a name or address, perhaps a port, and nothing
 * behind it. */
static bool is_origin(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len && islower((unsigned char)text[at]))
        at++;
    if (at == 0 || len - at < 4 || memcmp(text + at, "://", 3) != 0)
        return false;
    for (at += 3; at < len; at++)
        if (!isalnum((unsigned char)text[at]) && !strchr(".-_:[]", text[at]))
            return false;
    return true;
}

static enum tide_rc assign_origins(struct tide_config *config, const struct tide_option *option,
                                   const struct tide_value *value, struct tide_err *err)
{
    char *field = (char *)config + option->at;
    const char *text = value->type == TIDE_VALUE_NULL ? "" : value->text;
    bool good = value->type == TIDE_VALUE_NULL ||
                (value->type == TIDE_VALUE_STRING && strlen(text) < option->size);

    for (size_t at = 0, len; good && text[at] && strcmp(text, "*") != 0; at += len) {
        len = strcspn(text + at, " ");
        good = is_origin(text + at, len) && strcmp(text + at + len, " ") != 0;
        len += text[at + len] == ' ';
    }
    if (!good)
        return tide_option_expected("\"*\" or origins such as \"https://a.example\", one blank "
                                    "between them, 1023 bytes in all",
                                    value, err);
    strcpy(field, text);
    return TIDE_OK;
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
    case TIDE_OPTION_ORIGINS:
        return assign_origins(config, option, value, err);
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
    case TIDE_OPTION_ORIGINS:
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
