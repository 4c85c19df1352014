/* Points in every format: read back by libraries that know nothing of the writers, they say what
 * the view says, each format the same. */
#include "points.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <msgpack.h>

#include "tidemark/clock.h"

#define ROUNDS     60
#define POINTS_MAX 40

static unsigned seed;

static uint64_t any(uint64_t below)
{
    uint64_t bits = (uint64_t)rand_r(&seed) << 31 ^ (uint64_t)rand_r(&seed);

    return below ? bits % below : bits;
}

/* Often nothing, often a whole number, of all magnitudes. */
static double any_real(void)
{
    switch (any(6)) {
    case 0:
        return (double)NAN;
    case 1:
        return 0;
    case 2:
        return (double)any(1000);
    case 3:
        return (double)any(0) / 1e6;
    default:
        return (double)any(UINT64_C(1) << (1 + any(50))) / (double)(1 + any(1000000));
    }
}

static double any_whole(void)
{
    return any(4) ? (double)any(UINT64_C(1) << (1 + any(49))) : (double)NAN;
}

static struct tide_point any_point(int64_t start_s, size_t quantiles)
{
    struct tide_point point = {.start_s = start_s,
                               .requests = any(UINT64_C(1) << (1 + any(52))),
                               .errors = any(1000),
                               .mean_ms = any_real(),
                               .min_ms = any_real(),
                               .p50_ms = any_real(),
                               .p95_ms = any_real(),
                               .p99_ms = any_real(),
                               .max_ms = any_real(),
                               .throughput_rps = any_real(),
                               .complete = any(2),
                               .corrected = any(2)};

    point.failed = any(point.requests + 1);
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++) {
        point.gauge[g] = g == TIDE_GAUGE_CPU ? any_real() : any_whole();
        point.gauge_max[g] = g == TIDE_GAUGE_CPU ? any_real() : any_whole();
    }
    point.quantile_ms = calloc(quantiles + 1, sizeof(double));
    assert_non_null(point.quantile_ms);
    for (size_t q = 0; q < quantiles; q++)
        point.quantile_ms[q] = any_real();
    for (unsigned i = 0; i < any(5); i++)
        tide_hist_add(&point.hist, (unsigned)any(TIDE_HIST_BUCKETS), 1 + any(1000000));
    return point;
}

static struct tide_history_view any_view(size_t quantiles)
{
    size_t points = any(POINTS_MAX);
    int64_t start_s = (int64_t)any(UINT64_C(1) << (2 + any(36)));
    struct tide_history_view view = {.from_s = start_s,
                                     .to_s = start_s + 1000,
                                     .step_s = 30,
                                     .tier = "raw",
                                     .point = calloc(points + 1, sizeof(struct tide_point)),
                                     .points = points};

    assert_non_null(view.point);
    for (size_t i = points; i > 0; i--) {
        view.point[i - 1] = any_point(start_s, quantiles);
        start_s += (int64_t)(1 + any(UINT64_C(1) << (1 + any(20))));
    }
    return view;
}

static struct tide_shown any_shown(void)
{
    struct tide_shown shown = {
        .fields = 1u << TIDE_FIELD_INTERVAL_START, .quantiles = any(3), .histogram = any(2)};

    shown.fields |= (uint32_t)any(1u << TIDE_FIELD_COUNT);
    if (any(2))
        shown.fields = (1u << TIDE_FIELD_COUNT) - 1;
    for (size_t q = 0; q < shown.quantiles; q++)
        tide_quantile_name(0.905 + 0.01 * (double)q, shown.quantile_name[q]);
    return shown;
}

/* ---- reading back ---- */

static void same_real(double expected, const json_t *got)
{
    if (!isfinite(expected)) {
        assert_true(json_is_null(got));
        return;
    }
    assert_true(json_is_number(got));
    assert_true(fabs(json_number_value(got) - expected) <= 0.5000001e-6 + expected * 1e-15);
}

static void same_field(const struct tide_point *point, unsigned field, const json_t *got)
{
    char text[TIDE_API_TIME_SIZE];

    switch (tide_field_info[field].kind) {
    case TIDE_KIND_TIME:
        assert_string_equal(json_string_value(got), tide_api_time(text, point->start_s * 1000000));
        break;
    case TIDE_KIND_COUNT:
        assert_true(json_is_integer(got));
        assert_true((uint64_t)json_integer_value(got) == tide_field_count(point, field));
        break;
    case TIDE_KIND_WHOLE:
        assert_true(json_is_integer(got) || json_is_null(got));
        same_real(tide_field_real(point, field), got);
        break;
    case TIDE_KIND_REAL:
        same_real(tide_field_real(point, field), got);
        break;
    case TIDE_KIND_FLAG:
        assert_true(json_is_boolean(got));
        assert_int_equal(json_is_true(got), tide_field_count(point, field));
        break;
    }
}

static void same_histogram(const struct tide_hist *hist, const json_t *got)
{
    const json_t *upper = json_object_get(got, "upper_ms"), *count = json_object_get(got, "count");
    size_t at = 0;

    for (unsigned i = 0; i < hist->len; i++) {
        if (!hist->count[i])
            continue;
        same_real(tide_hist_upper_us(hist->first + i) / 1e3, json_array_get(upper, at));
        assert_true((uint64_t)json_integer_value(json_array_get(count, at)) == hist->count[i]);
        at++;
    }
    assert_int_equal(json_array_size(upper), at);
    assert_int_equal(json_array_size(count), at);
}

static json_t *parse(struct tide_body *body)
{
    json_error_t error;
    json_t *parsed;

    assert_false(body->failed);
    parsed = json_loadb(body->data, body->len, JSON_REJECT_DUPLICATES, &error);
    if (!parsed)
        fail_msg("%s at %d of %.*s", error.text, error.position, (int)body->len, body->data);
    return parsed;
}

static void objects_are_the_points(const struct tide_shown *shown,
                                   const struct tide_history_view *view, const json_t *history)
{
    assert_int_equal(json_array_size(history), view->points);
    for (size_t i = 0; i < view->points; i++) {
        const struct tide_point *point = &view->point[view->points - 1 - i];
        const json_t *got = json_array_get(history, i);
        size_t keys = shown->quantiles + shown->histogram;

        for (unsigned field = 0; field < TIDE_FIELD_COUNT; field++)
            if (shown->fields & 1u << field) {
                same_field(point, field, json_object_get(got, tide_field_info[field].name));
                keys++;
            }
        for (size_t q = 0; q < shown->quantiles; q++)
            same_real(point->quantile_ms[q], json_object_get(got, shown->quantile_name[q]));
        if (shown->histogram)
            same_histogram(&point->hist, json_object_get(got, "histogram"));
        assert_int_equal(json_object_size(got), keys);
    }
}

static void check_objects(const struct tide_shown *shown, const struct tide_history_view *view)
{
    struct tide_body body = {0};
    struct tide_json json;
    json_t *parsed;

    tide_json_init(&json, &body);
    tide_json_object(&json, NULL);
    tide_points_json(&json, shown, view);
    tide_json_text(&json, "after", "it");
    tide_json_end(&json);
    parsed = parse(&body);
    assert_int_equal(json_object_size(parsed), 2);
    objects_are_the_points(shown, view, json_object_get(parsed, "history"));
    json_decref(parsed);
    tide_body_fini(&body);
}

static void check_columns(const struct tide_shown *shown, const struct tide_history_view *view)
{
    struct tide_body body = {0};
    struct tide_json json;
    json_t *parsed, *columns;

    tide_json_init(&json, &body);
    tide_json_object(&json, NULL);
    tide_points_columns(&json, shown, view);
    tide_json_text(&json, "after", "it");
    tide_json_end(&json);
    parsed = parse(&body);
    columns = json_object_get(parsed, "columns");
    assert_int_equal(json_object_size(columns), (size_t)__builtin_popcount(shown->fields) +
                                                    shown->quantiles + shown->histogram);
    for (size_t i = 0; i < view->points; i++) {
        const struct tide_point *point = &view->point[view->points - 1 - i];

        assert_true(json_integer_value(json_array_get(json_object_get(columns, "t"), i)) ==
                    point->start_s);
        for (unsigned field = 1; field < TIDE_FIELD_COUNT; field++)
            if (shown->fields & 1u << field)
                same_field(
                    point, field,
                    json_array_get(json_object_get(columns, tide_field_info[field].name), i));
        for (size_t q = 0; q < shown->quantiles; q++)
            same_real(point->quantile_ms[q],
                      json_array_get(json_object_get(columns, shown->quantile_name[q]), i));
        if (shown->histogram)
            same_histogram(&point->hist, json_array_get(json_object_get(columns, "histogram"), i));
    }
    json_decref(parsed);
    tide_body_fini(&body);
}

/* A msgpack value as the JSON value that says the same. */
static json_t *json_of(const msgpack_object *object)
{
    json_t *made;

    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        return json_null();
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return json_integer((json_int_t)object->via.u64);
    case MSGPACK_OBJECT_FLOAT64:
        return json_real(object->via.f64);
    case MSGPACK_OBJECT_STR:
        return json_stringn(object->via.str.ptr, object->via.str.size);
    case MSGPACK_OBJECT_ARRAY:
        made = json_array();
        for (uint32_t i = 0; i < object->via.array.size; i++)
            json_array_append_new(made, json_of(&object->via.array.ptr[i]));
        return made;
    case MSGPACK_OBJECT_MAP:
        made = json_object();
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            const msgpack_object *key = &object->via.map.ptr[i].key;
            char name[64];

            snprintf(name, sizeof(name), "%.*s", (int)key->via.str.size, key->via.str.ptr);
            assert_null(json_object_get(made, name));
            json_object_set_new(made, name, json_of(&object->via.map.ptr[i].val));
        }
        return made;
    default:
        fail_msg("a msgpack type that JSON does not have: %d", (int)object->type);
        return NULL;
    }
}

static void check_msgpack(const struct tide_shown *shown, const struct tide_history_view *view)
{
    struct tide_points_head head = {"shop", 77, any(2) ? "next-1" : NULL};
    struct tide_body body = {0};
    char text[TIDE_API_TIME_SIZE];
    msgpack_unpacked whole;
    size_t at = 0;
    json_t *got;

    tide_points_msgpack(&body, &head, shown, view);
    assert_false(body.failed);
    msgpack_unpacked_init(&whole);
    assert_int_equal(msgpack_unpack_next(&whole, body.data, body.len, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, body.len);
    got = json_of(&whole.data);
    assert_int_equal(json_object_size(got), 9);
    assert_string_equal(json_string_value(json_object_get(got, "module_id")), "shop");
    assert_string_equal(json_string_value(json_object_get(got, "from")),
                        tide_api_time(text, view->from_s * 1000000));
    assert_string_equal(json_string_value(json_object_get(got, "to")),
                        tide_api_time(text, view->to_s * 1000000));
    assert_int_equal(json_integer_value(json_object_get(got, "step_s")), 30);
    assert_int_equal(json_integer_value(json_object_get(got, "limit")), 77);
    assert_string_equal(json_string_value(json_object_get(got, "tier")), "raw");
    if (head.next_cursor)
        assert_string_equal(json_string_value(json_object_get(got, "next_cursor")), "next-1");
    else
        assert_true(json_is_null(json_object_get(got, "next_cursor")));
    objects_are_the_points(shown, view, json_object_get(got, "history"));
    json_decref(got);
    msgpack_unpacked_destroy(&whole);
    tide_body_fini(&body);
}

/* The cell of a CSV table as JSON would have it. */
static json_t *cell_value(const char *cell, enum tide_field_kind kind)
{
    if (!*cell)
        return json_null();
    if (kind == TIDE_KIND_TIME)
        return json_string(cell);
    return json_loads(cell, JSON_DECODE_ANY, NULL);
}

static char *next_cell(char **at, const char *ends)
{
    char *cell = *at;

    *at += strcspn(*at, ends);
    assert_true(**at != '\0');
    *(*at)++ = '\0';
    return cell;
}

static void check_csv(const struct tide_shown *shown, const struct tide_history_view *view)
{
    struct tide_body body = {0};
    char *at;

    tide_points_csv(&body, shown, view);
    tide_body_add(&body, "", 1);
    assert_false(body.failed);
    at = strstr(body.data, "\r\n") + 2;
    for (size_t i = 0; i < view->points; i++) {
        const struct tide_point *point = &view->point[view->points - 1 - i];

        for (unsigned field = 0; field < TIDE_FIELD_COUNT; field++)
            if (shown->fields & 1u << field) {
                json_t *got = cell_value(next_cell(&at, ",\r"), tide_field_info[field].kind);

                same_field(point, field, got);
                json_decref(got);
            }
        for (size_t q = 0; q < shown->quantiles; q++) {
            json_t *got = cell_value(next_cell(&at, ",\r"), TIDE_KIND_REAL);

            same_real(point->quantile_ms[q], got);
            json_decref(got);
        }
        assert_true(*at++ == '\n');
    }
    assert_int_equal(*at, '\0');
    tide_body_fini(&body);
}

static void every_format_reads_back_as_the_points(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct tide_shown shown = any_shown();
        struct tide_history_view view = any_view(shown.quantiles);

        check_objects(&shown, &view);
        check_columns(&shown, &view);
        check_msgpack(&shown, &view);
        check_csv(&shown, &view);
        tide_history_view_fini(&view);
    }
}

static void fields_are_named_as_a_point_names_them(void **state)
{
    uint32_t fields;

    (void)state;
    assert_true(tide_fields_parse("requests,p99_response_time_ms", &fields));
    assert_int_equal(fields, 1u << TIDE_FIELD_INTERVAL_START | 1u << TIDE_FIELD_REQUESTS |
                                 1u << TIDE_FIELD_P99);
    assert_false(tide_fields_parse("request", &fields));
    assert_false(tide_fields_parse("requests,", &fields));
    assert_false(tide_fields_parse("", &fields));
}

static void quantiles_are_named_by_their_percent(void **state)
{
    char name[TIDE_QUANTILE_NAME_SIZE];

    (void)state;
    tide_quantile_name(0.5, name);
    assert_string_equal(name, "p50");
    tide_quantile_name(0.999, name);
    assert_string_equal(name, "p99_9");
    tide_quantile_name(1, name);
    assert_string_equal(name, "p100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_reads_back_as_the_points),
        cmocka_unit_test(fields_are_named_as_a_point_names_them),
        cmocka_unit_test(quantiles_are_named_by_their_percent),
    };
    const char *given = getenv("TIDE_SEED");

    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)tide_clock_wall_us();
    printf("TIDE_SEED=%u\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
