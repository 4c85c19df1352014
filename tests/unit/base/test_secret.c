#include "tidemark/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "dir.h"

static char dir[256], file[512];

static int setup(void **state)
{
    (void)state;
    tide_test_dir(dir, sizeof(dir));
    snprintf(file, sizeof(file), "%s/secret", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_test_dir_remove(dir);
    return 0;
}

static void write_bytes(const char *bytes, size_t len)
{
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
}

static void a_file_is_read_whole_up_to_its_bound(void **state)
{
    struct tide_err err = {""};
    char bytes[40], *text;
    size_t len;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    for (size_t size = 0; size <= sizeof(bytes); size += 8) {
        write_bytes(bytes, size);
        assert_int_equal(tide_secret_read(file, sizeof(bytes), &text, &len, &err), TIDE_OK);
        assert_int_equal(len, size);
        assert_memory_equal(text, bytes, size);
        assert_int_equal(text[len], '\0');
        tide_secret_free(text, len);
    }
    assert_int_equal(tide_secret_read(file, sizeof(bytes) - 1, &text, &len, &err), TIDE_CONFIG);
    assert_string_equal(err.text, "expected a file of at most 39 bytes");
    assert_int_equal(tide_secret_read("/nonexistent", 10, &text, &len, &err), TIDE_CONFIG);
    assert_string_equal(err.text, "No such file or directory");
    assert_int_equal(tide_secret_read(dir, 10, &text, &len, &err), TIDE_CONFIG);
    tide_secret_free(NULL, 0);
}

static void only_one_line_is_one_line(void **state)
{
    static const struct {
        const char *text;
        size_t line;
    } cases[] = {{"", 0},      {"\n", 0},    {"\r\n", 0},     {"a", 1},      {"a\n", 1},
                 {"a\r\n", 1}, {"ab\nc", 0}, {"ab\n\n\n", 0}, {" a b \n", 5}};
    char text[TIDE_SECRET_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(tide_secret_only_line(cases[i].text, strlen(cases[i].text)),
                         cases[i].line);
    assert_int_equal(tide_secret_only_line("a\0b", 3), 0);
    memset(text, 'k', sizeof(text));
    assert_int_equal(tide_secret_only_line(text, TIDE_SECRET_MAX), TIDE_SECRET_MAX);
    assert_int_equal(tide_secret_only_line(text, TIDE_SECRET_MAX + 1), 0);
    assert_int_equal(tide_secret_line("a:1\r\nb:2", 8), 3);
}

static void who_else_can_get_at_it_is_seen(void **state)
{
    (void)state;
    write_bytes("x", 1);
    assert_int_equal(chmod(file, 0640), 0);
    assert_false(tide_secret_exposed(file));
    for (mode_t mode = 1; mode <= 4; mode *= 2) {
        assert_int_equal(chmod(file, 0600 | mode), 0);
        assert_true(tide_secret_exposed(file));
    }
    assert_false(tide_secret_exposed("/nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_up_to_its_bound),
        cmocka_unit_test(only_one_line_is_one_line),
        cmocka_unit_test(who_else_can_get_at_it_is_seen),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
