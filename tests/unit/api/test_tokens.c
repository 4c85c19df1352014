#include "tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dir.h"

/* printf %s secret | sha256sum */
#define SECRET "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
#define TEST   "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"

static char dir[256], file[512];

static int setup(void **state)
{
    (void)state;
    tide_test_dir(dir, sizeof(dir));
    snprintf(file, sizeof(file), "%s/tokens", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_test_dir_remove(dir);
    return 0;
}

static void put(const char *text)
{
    FILE *out = fopen(file, "w");

    fputs(text, out);
    fclose(out);
}

static void a_token_has_the_scope_of_its_line(void **state)
{
    struct tide_tokens *tokens;

    (void)state;
    put("# who may ask\n\n  read " SECRET " grafana\r\nadmin\t" TEST "# ops\n");
    assert_int_equal(tide_tokens_open(file, &tokens, NULL), TIDE_OK);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer secret"), TIDE_SCOPE_READ);
    assert_int_equal(tide_tokens_judge(tokens, "bearer  test"), TIDE_SCOPE_ADMIN);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer secret2"), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer secre"), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer "), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer " SECRET), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "Basic secret"), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "secret"), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, NULL), TIDE_SCOPE_NONE);
    tide_tokens_close(tokens);
    tide_tokens_close(NULL);
}

static void a_reload_changes_who_may_ask_and_a_bad_file_does_not(void **state)
{
    struct tide_tokens *tokens;
    struct tide_err err = {""};

    (void)state;
    put("read " SECRET "\n");
    assert_int_equal(tide_tokens_open(file, &tokens, NULL), TIDE_OK);
    put("reed " TEST "\n");
    assert_int_equal(tide_tokens_reload(tokens, &err), TIDE_CONFIG);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer secret"), TIDE_SCOPE_READ);
    put("read " TEST "\n");
    assert_int_equal(tide_tokens_reload(tokens, &err), TIDE_OK);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer secret"), TIDE_SCOPE_NONE);
    assert_int_equal(tide_tokens_judge(tokens, "Bearer test"), TIDE_SCOPE_READ);
    tide_tokens_close(tokens);
}

static void a_bad_line_is_named(void **state)
{
    static const char *const bad[] = {"write " SECRET,    "read",        "read secret",
                                      "read " SECRET "0", "read g" TEST, SECRET};
    struct tide_tokens *tokens = NULL;
    struct tide_err err;
    char text[600];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "read " SECRET "\n%s\n", bad[i]);
        put(text);
        assert_int_equal(tide_tokens_open(file, &tokens, &err), TIDE_CONFIG);
        snprintf(text, sizeof(text), "%s:2: expected ", file);
        assert_non_null(strstr(err.text, text));
        assert_null(strstr(err.text, SECRET)); /* logs are read by others */
    }
    put("# nobody\n");
    assert_int_equal(tide_tokens_open(file, &tokens, &err), TIDE_CONFIG);
    memset(text, '#', 550);
    text[550] = '\0';
    put(text);
    assert_int_equal(tide_tokens_open(file, &tokens, &err), TIDE_CONFIG);
    unlink(file);
    assert_int_equal(tide_tokens_open(file, &tokens, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, "No such file"));
    assert_null(tokens);
}

static void a_thousand_tokens_fit_and_one_more_does_not(void **state)
{
    struct tide_tokens *tokens;
    struct tide_err err;
    FILE *out = fopen(file, "w");

    (void)state;
    for (int i = 0; i < TIDE_TOKENS_MAX; i++)
        fprintf(out, "read %064x\n", i);
    fclose(out);
    assert_int_equal(tide_tokens_open(file, &tokens, NULL), TIDE_OK);
    tide_tokens_close(tokens);
    out = fopen(file, "a");
    fputs("read " TEST "\n", out);
    fclose(out);
    assert_int_equal(tide_tokens_open(file, &tokens, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, ":1001: expected at most 1000 tokens"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_token_has_the_scope_of_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_changes_who_may_ask_and_a_bad_file_does_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bad_line_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_thousand_tokens_fit_and_one_more_does_not, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
