/* Commands and their options as tables: the parser, the help text and "did you mean" all read the
 * same rows.
 *
 * An option has a kind, a default as text and a range; a value is checked when it is parsed, so a
 * handler only asks for it by name and cannot get a bad one. Asking for a name that is not in the
 * table is our own error and aborts.
 */
#ifndef TIDEMARK_TOOLS_ARGS_H
#define TIDEMARK_TOOLS_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "tidemark/err.h"

#define TIDE_OPTIONS_MAX  32
#define TIDE_OPERANDS_MAX 4

enum tide_option_kind {
    TIDE_OPTION_FLAG,
    TIDE_OPTION_TEXT,    /* any text; a range bounds its bytes when max > 0 */
    TIDE_OPTION_CHOICE,  /* one of the words in `operand`, separated by | */
    TIDE_OPTION_NUMBER,  /* a whole number in [min, max] */
    TIDE_OPTION_DURATION /* 250ms 90s 5m 2h 7d; a bare number is seconds; min and max in ms */
};

struct tide_option {
    const char *name;     /* without the dashes; NULL ends a table */
    const char *operand;  /* shown in the help: "N"; NULL for a flag */
    const char *fallback; /* default, as text; NULL: none */
    const char *help;
    enum tide_option_kind kind;
    int64_t min, max;
};

/* Rows that many commands share. */
#define TIDE_OPTION_FILE(name, help)                        \
    {                                                       \
        name, "FILE", NULL, help, TIDE_OPTION_TEXT, 1, 4000 \
    }
#define TIDE_OPTION_NAME(name, help)                       \
    {                                                      \
        name, "NAME", NULL, help, TIDE_OPTION_TEXT, 1, 253 \
    }
#define TIDE_OPTION_URL                                                                         \
    {                                                                                           \
        "url", "URL", "http://127.0.0.1:8640", "where the daemon answers", TIDE_OPTION_TEXT, 1, \
            1024                                                                                \
    }
/* What pass.h takes; the second for commands that have no TIDE_OPTIONS_CREDENTIALS. */
#define TIDE_OPTION_TOKEN \
    TIDE_OPTION_FILE("token-file", "one line, the token its REST port asks for; else $TIDE_TOKEN")
#define TIDE_OPTIONS_HTTPS                                                    \
    TIDE_OPTION_FILE("ca-file", "https: trust these authorities only (PEM)"), \
        TIDE_OPTION_NAME("server-name", "what its certificate says, if not the address")
#define TIDE_OPTIONS_ASK TIDE_OPTION_URL, TIDE_OPTION_TOKEN, TIDE_OPTIONS_HTTPS
#define TIDE_OPTION_JSON                                                         \
    {                                                                            \
        "json", NULL, NULL, "print JSON instead of text", TIDE_OPTION_FLAG, 0, 0 \
    }
#define TIDE_OPTION_HTTP_TIMEOUT                                                                \
    {                                                                                           \
        "timeout", "TIME", "10s", "give up on an answer after this long", TIDE_OPTION_DURATION, \
            10, 600000                                                                          \
    }
#define TIDE_OPTION_END                                \
    {                                                  \
        NULL, NULL, NULL, NULL, TIDE_OPTION_FLAG, 0, 0 \
    }

struct tide_args;

struct tide_command {
    const char *name;     /* "send", "bench ingest" */
    const char *operands; /* shown in the usage line: "[MODULE]"; NULL: none */
    const char *summary;  /* a few words, lower case */
    const char
        *detail; /* paragraphs under the usage line, lines of at most 80 columns; NULL: none */
    const struct tide_option *option;
    unsigned operands_max;
    int (*run)(const struct tide_args *args); /* returns the exit code */
};

struct tide_args {
    const struct tide_command *command;
    const char
        *text[TIDE_OPTIONS_MAX]; /* per row of command->option; NULL: not given and no default */
    int64_t number[TIDE_OPTIONS_MAX]; /* FLAG 0 or 1, NUMBER, DURATION in ms */
    bool given[TIDE_OPTIONS_MAX];     /* on the command line */
    const char *operand[TIDE_OPERANDS_MAX];
    unsigned operands;
    bool help; /* --help or -h */
};

/* Parses argv[0, argc), the words behind the command's name. TIDE_USAGE with a sentence when they
 * are off. */
enum tide_rc tide_args_parse(const struct tide_command *command, int argc, char **argv,
                             struct tide_args *ret, struct tide_err *err);

const char *tide_args_text(const struct tide_args *args, const char *name); /* NULL: absent */
int64_t tide_args_number(const struct tide_args *args, const char *name);
bool tide_args_flag(const struct tide_args *args, const char *name);
/* The command knows the option. */
bool tide_args_has(const struct tide_args *args, const char *name);
bool tide_args_given(const struct tide_args *args, const char *name);

/* Usage, summary, detail and every option with its default. */
void tide_command_help(const struct tide_command *command, FILE *out);

/* 250ms 90s 5m 2h 7d or seconds -> milliseconds; false when it is no such text or too long for 100
 * years. */
bool tide_args_duration(const char *text, int64_t *ret_ms);

/* The candidate that `word` most probably meant, or NULL: at most a third of its letters (and at
 * least one) are wrong, swapped, missing or too many; or it begins exactly one candidate. */
const char *tide_did_you_mean(const char *word, const char *const *candidate, size_t count);

#endif
