#include "args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tidemark.h"

static int run_nothing(const struct tide_args *args)
{
    (void)args;
    return 0;
}

static const struct tide_option options[] = {
    {"count", "N", "7", "how many", TIDE_OPTION_NUMBER, 1, 100},
    {"name", "TEXT", NULL, "of it", TIDE_OPTION_TEXT, 1, 8},
    {"kind", "red|green", "red", "of two", TIDE_OPTION_CHOICE, 0, 0},
    {"wait", "TIME", "2s", "how long", TIDE_OPTION_DURATION, 10, 60000},
    {"loud", NULL, NULL, "or not", TIDE_OPTION_FLAG, 0, 0},
    TIDE_OPTION_END};

static const struct tide_command command = {.name = "try",
                                            .summary = "tries",
                                            .detail = "A detail.",
                                            .operands = "[THING]",
                                            .option = options,
                                            .operands_max = 1,
                                            .run = run_nothing};

/* Parses words separated by blanks. */
static enum tide_rc parse(const char *words, struct tide_args *ret, struct tide_err *err)
{
    static char copy[512];
    char *argv[32];
    int argc = 0;

    err->text[0] = '\0';
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return tide_args_parse(&command, argc, argv, ret, err);
}

static void defaults_hold_until_a_word_changes_them(void **state)
{
    struct tide_args args;
    struct tide_err err;

    (void)state;
    assert_int_equal(parse("", &args, &err), TIDE_OK);
    assert_int_equal(tide_args_number(&args, "count"), 7);
    assert_null(tide_args_text(&args, "name"));
    assert_string_equal(tide_args_text(&args, "kind"), "red");
    assert_int_equal(tide_args_number(&args, "wait"), 2000);
    assert_false(tide_args_flag(&args, "loud"));
    assert_false(tide_args_given(&args, "count"));
    assert_int_equal(args.operands, 0);

    assert_int_equal(
        parse("--count 9 --name=abc thing --kind green --wait 250ms --loud", &args, &err), TIDE_OK);
    assert_int_equal(tide_args_number(&args, "count"), 9);
    assert_string_equal(tide_args_text(&args, "name"), "abc");
    assert_string_equal(tide_args_text(&args, "kind"), "green");
    assert_int_equal(tide_args_number(&args, "wait"), 250);
    assert_true(tide_args_flag(&args, "loud"));
    assert_true(tide_args_given(&args, "count"));
    assert_int_equal(args.operands, 1);
    assert_string_equal(args.operand[0], "thing");
}

static void words_behind_two_dashes_are_operands(void **state)
{
    struct tide_args args;
    struct tide_err err;

    (void)state;
    assert_int_equal(parse("-- --count", &args, &err), TIDE_OK);
    assert_string_equal(args.operand[0], "--count");
    assert_int_equal(parse("-", &args, &err), TIDE_OK);
    assert_string_equal(args.operand[0], "-");
}

static void bad_words_are_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *words, *says;
    } bad[] = {
        {"--count 0", "--count: expected a whole number from 1 to 100, got '0'"},
        {"--count 101", "from 1 to 100"},
        {"--count 1x", "got '1x'"},
        {"--count", "--count: N is missing"},
        {"--count= ", "got ''"},
        {"--name 123456789", "1 to 8 bytes"},
        {"--kind blue", "--kind: expected red|green, got 'blue'"},
        {"--kind re", "expected red|green"},
        {"--kind red|green", "expected red|green"},
        {"--wait soon", "such as 250ms, 90s"},
        {"--wait 5ms", "10ms to 60000ms"},
        {"--wait 99999999999999999999s", "such as"},
        {"--loud=yes", "--loud takes no value"},
        {"--cuont 3", "did you mean '--count'?"},
        {"--quiet", "unknown option '--quiet'; 'tidemark try --help' lists them"},
        {"-x", "unknown option '-x'"},
        {"a b", "'b' is one word too many"},
    };
    struct tide_args args;
    struct tide_err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i].words, &args, &err), TIDE_USAGE);
        if (!strstr(err.text, bad[i].says))
            fail_msg("'%s' says '%s', not '%s'", bad[i].words, err.text, bad[i].says);
    }
}

static void help_is_asked_for_anywhere(void **state)
{
    struct tide_args args;
    struct tide_err err;

    (void)state;
    assert_int_equal(parse("--count 3 --help", &args, &err), TIDE_OK);
    assert_true(args.help);
    assert_int_equal(parse("-h", &args, &err), TIDE_OK);
    assert_true(args.help);
}

static void help_shows_every_option_and_its_default(void **state)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    tide_command_help(&command, out);
    fclose(out);
    assert_non_null(strstr(text, "usage: tidemark try [OPTION]... [THING]"));
    for (const struct tide_option *option = options; option->name; option++)
        assert_non_null(strstr(text, option->name));
    assert_non_null(strstr(text, "how many (7)"));
    assert_non_null(strstr(text, "A detail."));
    free(text);
}

static void durations_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = {{"0", 0},       {"3", 3000},     {"250ms", 250},      {"90s", 90000},
                 {"5m", 300000}, {"2h", 7200000}, {"7d", 604800000},   {"", -1},
                 {"s", -1},      {"-1s", -1},     {"1.5s", -1},        {"1 s", -1},
                 {"1sec", -1},   {" 1s", -1},     {"9999999999d", -1}, {"36525d", 3155760000000},
                 {"36526d", -1}, {"+1s", -1}};
    int64_t ms;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool known = tide_args_duration(cases[i].text, &ms);

        assert_int_equal(known, cases[i].ms >= 0);
        if (known)
            assert_int_equal(ms, cases[i].ms);
    }
}

static void a_slip_of_the_finger_is_understood(void **state)
{
    static const char *const names[] = {"status", "modules", "history",
                                        "health", "send",    "bench ingest"};
    static const struct {
        const char *word, *meant;
    } cases[] = {{"staus", "status"},
                 {"satus", "status"},
                 {"snd", "send"},
                 {"sned", "send"},
                 {"modles", "modules"},
                 {"helth", "health"},
                 {"histroy", "history"},
                 {"bench", "bench ingest"},
                 {"hi", "history"},
                 {"x", NULL},
                 {"", NULL},
                 {"frobnicate", NULL},
                 {"compact", NULL},
                 {"h", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *near = tide_did_you_mean(cases[i].word, names, sizeof names / sizeof *names);

        if (cases[i].meant)
            assert_string_equal(near, cases[i].meant);
        else
            assert_null(near);
    }
}

static void a_long_word_is_not_compared(void **state)
{
    static const char *const names[] = {"status"};
    char word[4096];

    (void)state;
    memset(word, 's', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(tide_did_you_mean(word, names, 1));
}

static int tool(const char *a, const char *b, const char *c)
{
    char *argv[] = {(char *)"tidemark", (char *)(uintptr_t)a, (char *)(uintptr_t)b,
                    (char *)(uintptr_t)c, NULL};
    int argc = 1;

    while (argc < 4 && argv[argc])
        argc++;
    return tide_tool_main(argc, argv);
}

static void the_tool_exits_2_when_the_words_are_off(void **state)
{
    (void)state;
    assert_int_equal(tool(NULL, NULL, NULL), 2);
    assert_int_equal(tool("snd", NULL, NULL), 2);
    assert_int_equal(tool("bench", NULL, NULL), 2);
    assert_int_equal(tool("bench", "injest", NULL), 2);
    assert_int_equal(tool("help", "nothing", NULL), 2);
    assert_int_equal(tool("status", "--frobnicate", NULL), 2);
    assert_int_equal(tool("status", "--url", "ftp://x"), 2);
    assert_int_equal(tool("history", "--csv", "--json"), 2);
    assert_int_equal(tool("bench", "ingest", "--pid=7"), 2);
}

static void every_command_has_its_help(void **state)
{
    static const char *const names[] = {"status", "modules", "history", "health", "send", "demo"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(tool(names[i], "--help", NULL), 0);
        assert_int_equal(tool("help", names[i], NULL), 0);
    }
    assert_int_equal(tool("bench", "ingest", "--help"), 0);
    assert_int_equal(tool("--help", NULL, NULL), 0);
    assert_int_equal(tool("--version", NULL, NULL), 0);
}

static void nobody_there_is_69(void **state)
{
    (void)state;
    assert_int_equal(tool("status", "--url", "http://127.0.0.1:1"), 69);
    assert_int_equal(tool("demo", "--forward", "127.0.0.1:1"), 69);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_until_a_word_changes_them),
        cmocka_unit_test(words_behind_two_dashes_are_operands),
        cmocka_unit_test(bad_words_are_refused_with_a_sentence),
        cmocka_unit_test(help_is_asked_for_anywhere),
        cmocka_unit_test(help_shows_every_option_and_its_default),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(a_slip_of_the_finger_is_understood),
        cmocka_unit_test(a_long_word_is_not_compared),
        cmocka_unit_test(the_tool_exits_2_when_the_words_are_off),
        cmocka_unit_test(every_command_has_its_help),
        cmocka_unit_test(nobody_there_is_69),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
