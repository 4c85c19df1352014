/* sha256: what others compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "tidemark/sha256.h"

static void known_texts_have_known_sums(void **state)
{
    static const struct {
        const char *text;
        unsigned times;
        const char *sum;
    } known[] = {
        {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    char text[TIDE_SHA256_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        struct tide_sha256 sha;

        tide_sha256_init(&sha);
        for (unsigned n = 0; n < known[i].times; n++)
            tide_sha256_add(&sha, known[i].text, strlen(known[i].text));
        assert_string_equal(tide_sha256_text(&sha, text), known[i].sum);
    }
}

static void how_it_is_cut_does_not_matter(void **state)
{
    char bytes[300], whole[TIDE_SHA256_TEXT_SIZE], cut[TIDE_SHA256_TEXT_SIZE];
    struct tide_sha256 sha;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    for (size_t len = 0; len < sizeof(bytes); len += 7) {
        tide_sha256_init(&sha);
        tide_sha256_add(&sha, bytes, len);
        tide_sha256_text(&sha, whole);
        for (size_t at = 0; at <= len; at += 13) {
            tide_sha256_init(&sha);
            tide_sha256_add(&sha, bytes, at);
            tide_sha256_add(&sha, bytes + at, len - at);
            assert_string_equal(tide_sha256_text(&sha, cut), whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_texts_have_known_sums),
        cmocka_unit_test(how_it_is_cut_does_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
