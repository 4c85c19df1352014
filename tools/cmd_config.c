/* `tidemark config check` and `config show`: what a configuration means to the daemon, by the
 * daemon itself. */
#include "tidemark.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beside.h"
#include "table.h"

static const char *file_of(const struct tide_args *args)
{
    return args->operands ? args->operand[0] : NULL;
}

static int check(const struct tide_args *args)
{
    struct tide_err err = {""};
    char *said = NULL;
    int code = 0;
    enum tide_rc rc = tide_beside_ask(args, "--check-config", file_of(args), &said, &code, &err);

    free(said);
    if (rc)
        return tide_tool_fail(args, rc, &err);
    if (tide_args_flag(args, "json")) {
        json_t *object = json_pack("{s:b, s:s?}", "ok", code == 0, "error", code ? err.text : NULL);

        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
    } else if (code) {
        tide_say("config check: %s", err.text);
    } else {
        puts("ok");
    }
    return code;
}

static const struct tide_option check_options[] = {TIDE_OPTION_DAEMON, TIDE_OPTION_JSON,
                                                   TIDE_OPTION_END};

const struct tide_command tide_command_config_check = {
    .name = "config check",
    .operands = "[FILE]",
    .summary = "is a configuration right?",
    .detail =
        "Reads FILE and the environment as tidemarkd does, the files of keys and\n"
        "certificates included, and says 'ok', or the first mistake with file, line, column,\n"
        "key and what was expected.\n\n"
        "Exit: 0 right, 78 wrong, 69 there is no tidemarkd to ask.",
    .option = check_options,
    .operands_max = 1,
    .run = check,
};

/* ---- show ---- */

static void print_table(const struct tide_args *args, const json_t *keys)
{
    bool origin = tide_args_flag(args, "origin"), changed = tide_args_flag(args, "changed");
    struct tide_table *table = tide_table_new();
    json_t *key;
    size_t i;

    tide_table_column(table, "key", TIDE_LEFT, 0);
    tide_table_column(table, "value", TIDE_LEFT, 60);
    if (origin)
        tide_table_column(table, "origin", TIDE_LEFT, 0);
    json_array_foreach(keys, i, key)
    {
        json_t *value = json_object_get(key, "value");
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        bool preset = json_is_true(json_object_get(key, "default"));

        if (!changed || !preset) {
            tide_table_row(table);
            tide_table_cell(table, json_string_value(json_object_get(key, "key")));
            tide_table_cell(table, json_is_string(value) ? json_string_value(value)
                                   : json_is_null(value) ? "-"
                                                         : text);
            if (origin) {
                tide_table_cell(table, json_string_value(json_object_get(key, "origin")));
                tide_table_colour(table, preset ? TIDE_GREY : TIDE_PLAIN_TEXT);
            }
        }
        free(text);
    }
    tide_table_print(table, stdout, tide_wants_colour(stdout), "\n");
    tide_table_free(table);
}

static int show(const struct tide_args *args)
{
    struct tide_err err = {""};
    json_t *keys = NULL;
    enum tide_rc rc = tide_beside_config(args, file_of(args), &keys, &err);

    if (rc)
        return tide_tool_fail(args, rc, &err);
    if (tide_args_flag(args, "json")) {
        json_dumpf(keys, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        print_table(args, keys);
    }
    json_decref(keys);
    return 0;
}

static const struct tide_option show_options[] = {
    {"origin", NULL, NULL, "say where each value comes from", TIDE_OPTION_FLAG, 0, 0},
    {"changed", NULL, NULL, "only what is not left at its default", TIDE_OPTION_FLAG, 0, 0},
    TIDE_OPTION_DAEMON,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_config_show = {
    .name = "config show",
    .operands = "[FILE]",
    .summary = "the configuration in effect",
    .detail = "Every key with its value, as tidemarkd would take it from FILE and the environment\n"
              "of this shell; --origin adds the file with line and column, 'environment' or\n"
              "'default'. What flags and --set of a running daemon say is not known here.\n\n"
              "Exit: 0 done, 78 the configuration is wrong, 69 there is no tidemarkd to ask.",
    .option = show_options,
    .operands_max = 1,
    .run = show,
};
