/* modules: names and ids, taking ids back, and readers beside the thread that adds. */
#include "modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "any.h"
#include "pack.h"
#include "tidemark/event.h"

#define MANY 5000u

static size_t name_of(uint32_t id, char name[40])
{
    return (size_t)snprintf(name, 40, "module-%u-of-a-fleet", id * 7919);
}

static void check_name(struct modules *modules, uint32_t id)
{
    char name[40];
    size_t len = name_of(id, name);
    const struct module_name *held = modules_name(modules, id);

    assert_int_equal(held->len, len);
    assert_string_equal(held->text, name);
    assert_int_equal(modules_find(modules, name, len), id);
}

static void ids_count_up_from_one_and_names_are_found(void **state)
{
    struct modules *modules = modules_new(NULL);
    const struct module_name *first;
    char name[40];

    (void)state;
    assert_int_equal(modules_count(modules), 0);
    for (uint32_t id = 1; id <= MANY; id++) {
        size_t len = name_of(id, name);

        assert_int_equal(modules_find(modules, name, len), 0);
        assert_int_equal(modules_add(modules, name, len), id);
        assert_int_equal(modules_count(modules), id);
        if (id == 1)
            first = modules_name(modules, 1);
    }
    for (uint32_t id = 1; id <= MANY; id++)
        check_name(modules, id);
    assert_ptr_equal(modules_name(modules, 1), first); /* names never move */
    modules_free(modules);
    modules_free(NULL);
}

static void a_name_is_all_of_its_bytes(void **state)
{
    struct modules *modules = modules_new(NULL);
    char longest[TIDE_MODULE_NAME_MAX];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    assert_int_equal(modules_add(modules, "a", 1), 1);
    assert_int_equal(modules_add(modules, "ab", 2), 2);
    assert_int_equal(modules_add(modules, "a\0b", 3), 3);
    assert_int_equal(modules_add(modules, longest, sizeof(longest)), 4);
    assert_int_equal(modules_find(modules, "a", 1), 1);
    assert_int_equal(modules_find(modules, "ab", 2), 2);
    assert_int_equal(modules_find(modules, "a\0b", 3), 3);
    assert_int_equal(modules_find(modules, "a\0c", 3), 0);
    assert_int_equal(modules_find(modules, longest, sizeof(longest)), 4);
    assert_int_equal(modules_find(modules, longest, sizeof(longest) - 1), 0);
    assert_int_equal(modules_find(modules, "", 0), 0);
    modules_free(modules);
}

static void what_is_truncated_gives_its_id_back(void **state)
{
    uint64_t seed = *(uint64_t *)*state;
    struct modules *modules = modules_new(NULL);
    uint32_t held = 0;
    char name[40];

    for (int round = 0; round < 400; round++) {
        uint32_t more = (uint32_t)tide_any_between(&seed, 0, 60);
        uint32_t kept = held + (uint32_t)tide_any_between(&seed, 0, more);

        for (uint32_t id = held + 1; id <= held + more; id++)
            assert_int_equal(modules_add(modules, name, name_of(id, name)), id);
        modules_truncate(modules, kept);
        assert_int_equal(modules_count(modules), kept);
        for (uint32_t id = kept + 1; id <= held + more; id++)
            assert_int_equal(modules_find(modules, name, name_of(id, name)), 0);
        held = kept;
    }
    for (uint32_t id = 1; id <= held; id++)
        check_name(modules, id);
    modules_truncate(modules, 0);
    assert_int_equal(modules_add(modules, "again", 5), 1);
    modules_free(modules);
}

/* ---- readers beside the writer ---- */

struct shared {
    struct modules *modules;
    _Atomic uint32_t committed; /* ids up to here are for good */
    atomic_bool done;
};

/* Looks for names that are there for good, for ones that come and go, and for ones that never are.
 */
static void *read_names(void *arg)
{
    struct shared *shared = arg;
    uint64_t seed = 7, wrong = 0;
    char name[40];

    while (!atomic_load(&shared->done)) {
        uint32_t upto = atomic_load(&shared->committed), id;
        size_t len;

        if (upto == 0)
            continue;
        id = 1 + (uint32_t)(tide_test_random(&seed) % upto);
        len = name_of(id, name);
        wrong += modules_find(shared->modules, name, len) != id;
        wrong += strcmp(modules_name(shared->modules, id)->text, name) != 0;
        len = name_of(upto + 1, name);
        id = modules_find(shared->modules, name, len);
        wrong += id != 0 && id != upto + 1;
        wrong += modules_find(shared->modules, "nobody", 6) != 0;
    }
    return (void *)(uintptr_t)wrong;
}

static void readers_find_what_is_there_while_the_writer_adds_and_takes_back(void **state)
{
    struct shared shared = {.modules = modules_new(NULL)};
    pthread_t reader[2];
    char name[40];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&reader[i], NULL, read_names, &shared), 0);
    for (uint32_t id = 1; id <= MANY; id++) {
        size_t len = name_of(id, name);

        modules_add(shared.modules, name, len);
        if (id % 5 == 0) { /* its commit fails once */
            modules_truncate(shared.modules, id - 1);
            modules_add(shared.modules, name, len);
        }
        atomic_store(&shared.committed, id);
    }
    atomic_store(&shared.done, true);
    for (int i = 0; i < 2; i++) {
        void *wrong;

        pthread_join(reader[i], &wrong);
        assert_null(wrong);
    }
    modules_free(shared.modules);
}

int main(void)
{
    uint64_t seed = tide_test_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_count_up_from_one_and_names_are_found),
        cmocka_unit_test(a_name_is_all_of_its_bytes),
        cmocka_unit_test_prestate(what_is_truncated_gives_its_id_back, &seed),
        cmocka_unit_test(readers_find_what_is_there_while_the_writer_adds_and_takes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
