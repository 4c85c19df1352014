/* show - see show.h. A loader notes every value it takes when it is asked to show them; what is in
 * effect is read from the checked configuration, so that a value that was adjusted shows as it is.
 */
#include "show.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void tide_settings_fini(struct tide_settings *settings)
{
    free(settings->item);
    *settings = (struct tide_settings){0};
}

void tide_settings_note(struct tide_settings *settings, const char *key, const char *value,
                        const char *from)
{
    struct tide_setting *setting = NULL;

    for (size_t i = 0; i < settings->count && !setting; i++)
        if (strcmp(settings->item[i].key, key) == 0)
            setting = &settings->item[i];
    if (!setting && settings->count == settings->capacity) {
        settings->capacity = settings->capacity ? 2 * settings->capacity : 32;
        settings->item = realloc(settings->item, settings->capacity * sizeof(*settings->item));
        if (!settings->item)
            abort();
    }
    if (!setting)
        setting = &settings->item[settings->count++];
    snprintf(setting->key, sizeof(setting->key), "%s", key);
    snprintf(setting->value, sizeof(setting->value), "%s", value);
    snprintf(setting->from, sizeof(setting->from), "%s", from);
}

static const struct tide_setting *find(const struct tide_config *config, const char *key)
{
    for (size_t i = 0; i < config->settings.count; i++)
        if (strcmp(config->settings.item[i].key, key) == 0)
            return &config->settings.item[i];
    return NULL;
}

/* The word with this number out of a list with blanks between. */
static json_t *word_of(const char *words, int64_t number)
{
    while (number-- && words)
        words = strchr(words, ' ') ? strchr(words, ' ') + 1 : NULL;
    return words ? json_stringn(words, strcspn(words, " ")) : json_null();
}

/* NULL: the row stands for many keys. */
static json_t *value_of(const struct tide_option *option, const struct tide_config *config)
{
    const char *field = (const char *)config + option->at;
    int64_t number;

    switch (option->type) {
    case TIDE_OPTION_WHOLE:
        memcpy(&number, field, sizeof(number));
        return json_integer(number);
    case TIDE_OPTION_WORD:
        memcpy(&number, field, sizeof(number));
        return word_of(option->words, number);
    case TIDE_OPTION_BOOL:
        return json_boolean(*(const bool *)field);
    case TIDE_OPTION_TEXT:
    case TIDE_OPTION_PATH:
    case TIDE_OPTION_ORIGINS:
        return field[0] ? json_string(field) : json_null();
    case TIDE_OPTION_SWITCH:
    case TIDE_OPTION_PAIR:
    case TIDE_OPTION_THRESHOLD:
    case TIDE_OPTION_RULES:
    case TIDE_OPTION_SHARES:
    case TIDE_OPTION_KEEPS:
        break;
    }
    return NULL;
}

static void add(json_t *keys, const char *key, json_t *value, const struct tide_setting *setting,
                const struct tide_option *option)
{
    json_array_append_new(keys, json_pack("{s:s, s:o, s:s, s:b, s:b, s:s?, s:s}", "key", key,
                                          "value", value ? value : json_null(), "origin",
                                          setting ? setting->from : "default", "default",
                                          setting == NULL, "reload", option->reload, "unit",
                                          option->unit, "help", option->help));
}

/* Keys that were set and that a row of the table stands for: those that begin like it. */
static void add_many(json_t *keys, const struct tide_config *config,
                     const struct tide_option *option)
{
    size_t len = strcspn(option->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    for (size_t i = 0; i < config->settings.count; i++) {
        const struct tide_setting *setting = &config->settings.item[i];
        const char *end = strrchr(option->name, '.'); /* of one of several rows: its last word */

        if (strncmp(setting->key, option->name, len) != 0)
            continue;
        if (option->name[len] &&
            (!strrchr(setting->key, '.') || !end || strcmp(strrchr(setting->key, '.'), end) != 0))
            continue;
        add(keys, setting->key, json_string(setting->value), setting, option);
    }
}

void tide_config_show(const struct tide_config *config, FILE *out)
{
    json_t *keys = json_array(), *object;

    for (size_t i = 0; i < tide_options; i++) {
        const struct tide_option *option = &tide_option[i];
        json_t *value = value_of(option, config);

        if (value)
            add(keys, option->name, value, find(config, option->name), option);
        else
            add_many(keys, config, option);
    }
    object = json_pack("{s:o}", "keys", keys);
    json_dumpf(object, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(object);
}
