/* The option parser: one pass over the words, each looked up in the command's table.
 *
 * Accepted are `--name value`, `--name=value`, `--flag`, `-h` and `--` (everything after it is an
 * operand). A word that is not in the table ends the parse with the nearest name there is.
 */
#include "args.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64 /* longer words are not compared letter by letter */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Edit distance with swaps of neighbours (optimal string alignment), over three rows. */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t row[3][WORD_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2];

    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *spare = before;

        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *tide_did_you_mean(const char *word, const char *const *candidate, size_t count)
{
    size_t word_len = strlen(word), limit = word_len / 3 ? word_len / 3 : 1;
    size_t best = SIZE_MAX, begins = 0;
    const char *nearest = NULL, *longer = NULL;

    if (word_len == 0)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t far = distance(word, candidate[i]);

        if (far < best) {
            best = far;
            nearest = candidate[i];
        }
        if (word_len >= 2 && strncmp(word, candidate[i], word_len) == 0) {
            begins++;
            longer = candidate[i];
        }
    }
    if (best <= limit)
        return nearest;
    return begins == 1 ? longer : NULL;
}

bool tide_args_duration(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 1000},   {"ms", 1},          {"s", 1000},
                 {"m", 60000}, {"h", 3600 * 1000}, {"d", 86400 * INT64_C(1000)}};
    char *end;
    long long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || value > INT64_C(3155760000000)) /* 100 years in ms */
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) == 0) {
            if (value > INT64_C(3155760000000) / units[i].ms)
                return false;
            *ret_ms = value * units[i].ms;
            return true;
        }
    }
    return false;
}

static bool number_parse(const char *text, int64_t *ret)
{
    char *end;
    long long value;

    if (text[0] != '-' && (text[0] < '0' || text[0] > '9'))
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return false;
    *ret = value;
    return true;
}

/* Is `text` one of the words of "a|b|c"? */
static bool choice_holds(const char *words, const char *text)
{
    size_t len = strlen(text);

    while (len && words) {
        const char *bar = strchr(words, '|');
        size_t word_len = bar ? (size_t)(bar - words) : strlen(words);

        if (word_len == len && strncmp(words, text, len) == 0)
            return true;
        words = bar ? bar + 1 : NULL;
    }
    return false;
}

static enum tide_rc value_set(struct tide_args *args, size_t row, const char *text,
                              struct tide_err *err)
{
    const struct tide_option *option = &args->command->option[row];
    int64_t value = 0;

    switch (option->kind) {
    case TIDE_OPTION_FLAG:
        value = 1;
        break;
    case TIDE_OPTION_TEXT:
        if (option->max > 0 &&
            ((int64_t)strlen(text) < option->min || (int64_t)strlen(text) > option->max)) {
            tide_err_set(err, "--%s: expected a text of %" PRId64 " to %" PRId64 " bytes, got %zu",
                         option->name, option->min, option->max, strlen(text));
            return TIDE_USAGE;
        }
        break;
    case TIDE_OPTION_CHOICE:
        if (!choice_holds(option->operand, text)) {
            tide_err_set(err, "--%s: expected %s, got '%s'", option->name, option->operand, text);
            return TIDE_USAGE;
        }
        break;
    case TIDE_OPTION_NUMBER:
        if (!number_parse(text, &value) || value < option->min || value > option->max) {
            tide_err_set(err,
                         "--%s: expected a whole number from %" PRId64 " to %" PRId64 ", got '%s'",
                         option->name, option->min, option->max, text);
            return TIDE_USAGE;
        }
        break;
    case TIDE_OPTION_DURATION:
        if (!tide_args_duration(text, &value)) {
            tide_err_set(err, "--%s: expected a time such as 250ms, 90s, 5m, 2h or 7d, got '%s'",
                         option->name, text);
            return TIDE_USAGE;
        }
        if (value < option->min || value > option->max) {
            tide_err_set(err, "--%s: expected %" PRId64 "ms to %" PRId64 "ms, got '%s'",
                         option->name, option->min, option->max, text);
            return TIDE_USAGE;
        }
        break;
    }
    args->text[row] = text;
    args->number[row] = value;
    return TIDE_OK;
}

/* The row of name[0, len), or -1. */
static int row_of(const struct tide_command *command, const char *name, size_t len)
{
    for (int i = 0; command->option[i].name; i++) {
        if (strlen(command->option[i].name) == len &&
            strncmp(command->option[i].name, name, len) == 0)
            return i;
    }
    return -1;
}

static enum tide_rc unknown_option(const struct tide_command *command, const char *name, size_t len,
                                   struct tide_err *err)
{
    const char *names[TIDE_OPTIONS_MAX + 1];
    char word[WORD_MAX + 1];
    const char *near;
    size_t count = 0;

    for (; command->option[count].name; count++)
        names[count] = command->option[count].name;
    names[count++] = "help";
    snprintf(word, sizeof word, "%.*s", (int)(len < WORD_MAX ? len : WORD_MAX), name);
    near = tide_did_you_mean(word, names, count);
    if (near)
        tide_err_set(err, "unknown option '--%s', did you mean '--%s'?", word, near);
    else
        tide_err_set(err, "unknown option '--%s'; 'tidemark %s --help' lists them", word,
                     command->name);
    return TIDE_USAGE;
}

/* One `--name[=value]`; *at is moved over a value in the next word. */
static enum tide_rc option_take(struct tide_args *args, int argc, char **argv, int *at,
                                struct tide_err *err)
{
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct tide_option *option;
    int row;
    enum tide_rc rc;

    if (len == 4 && strncmp(name, "help", 4) == 0 && !equals) {
        args->help = true;
        return TIDE_OK;
    }
    row = row_of(args->command, name, len);
    if (row < 0)
        return unknown_option(args->command, name, len, err);
    option = &args->command->option[row];
    if (option->kind == TIDE_OPTION_FLAG) {
        if (equals) {
            tide_err_set(err, "--%s takes no value", option->name);
            return TIDE_USAGE;
        }
        rc = value_set(args, (size_t)row, "", err);
    } else if (equals) {
        rc = value_set(args, (size_t)row, equals + 1, err);
    } else if (*at + 1 < argc) {
        rc = value_set(args, (size_t)row, argv[++*at], err);
    } else {
        tide_err_set(err, "--%s: %s is missing", option->name, option->operand);
        rc = TIDE_USAGE;
    }
    if (rc == TIDE_OK)
        args->given[row] = true;
    return rc;
}

enum tide_rc tide_args_parse(const struct tide_command *command, int argc, char **argv,
                             struct tide_args *ret, struct tide_err *err)
{
    struct tide_args args = {.command = command};
    bool only_operands = false;
    enum tide_rc rc;

    for (size_t i = 0; command->option[i].name; i++) {
        assert(i < TIDE_OPTIONS_MAX);
        if (command->option[i].fallback) {
            rc = value_set(&args, i, command->option[i].fallback, err);
            assert(rc == TIDE_OK); /* a default outside its own range is our mistake */
        }
    }
    for (int at = 0; at < argc; at++) {
        const char *word = argv[at];

        if (only_operands || word[0] != '-' || word[1] == '\0') {
            if (args.operands >= command->operands_max) {
                tide_err_set(err, "'%s' is one word too many", word);
                return TIDE_USAGE;
            }
            args.operand[args.operands++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (strcmp(word, "-h") == 0) {
            args.help = true;
        } else if (word[1] != '-') {
            tide_err_set(err, "unknown option '%s'; options are written --name", word);
            return TIDE_USAGE;
        } else if ((rc = option_take(&args, argc, argv, &at, err)) != TIDE_OK) {
            return rc;
        }
    }
    *ret = args;
    return TIDE_OK;
}

static size_t row_by_name(const struct tide_args *args, const char *name)
{
    int row = row_of(args->command, name, strlen(name));

    assert(row >= 0);
    return (size_t)row;
}

bool tide_args_has(const struct tide_args *args, const char *name)
{
    return row_of(args->command, name, strlen(name)) >= 0;
}

const char *tide_args_text(const struct tide_args *args, const char *name)
{
    return args->text[row_by_name(args, name)];
}

int64_t tide_args_number(const struct tide_args *args, const char *name)
{
    return args->number[row_by_name(args, name)];
}

bool tide_args_flag(const struct tide_args *args, const char *name)
{
    return args->number[row_by_name(args, name)] != 0;
}

bool tide_args_given(const struct tide_args *args, const char *name)
{
    return args->given[row_by_name(args, name)];
}

void tide_command_help(const struct tide_command *command, FILE *out)
{
    fprintf(out, "usage: tidemark %s [OPTION]...%s%s\n\n%s\n", command->name,
            command->operands ? " " : "", command->operands ? command->operands : "",
            command->summary);
    if (command->detail)
        fprintf(out, "\n%s\n", command->detail);
    fprintf(out, "\noptions:\n");
    for (const struct tide_option *option = command->option; option->name; option++) {
        char head[80];

        snprintf(head, sizeof head, "--%s%s%s", option->name, option->operand ? " " : "",
                 option->operand ? option->operand : "");
        fprintf(out, "  %-26s %s", head, option->help);
        if (option->fallback)
            fprintf(out, " (%s)", option->fallback);
        fputc('\n', out);
    }
    fprintf(out, "  %-26s %s\n", "--help", "show this");
}
