#include "tidemark/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "tidemark/counter.h"
#include "tidemark/ledger.h"
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;
static const struct tide_text tag = {"mod.auth", 8};

/* Decodes a map that uses all its bytes; returns the reason of the rejection or -1. Frees the pack.
 */
static int decode_pack(struct tide_pack pack, const struct tide_text *of_tag, bool bare,
                       struct tide_event *ev)
{
    size_t used = 0;
    int reason = -2;

    assert_int_equal(tide_entry_decode(tide_guard_place(&guard, pack.data, pack.len), pack.len,
                                       of_tag, bare, ev, &used, &reason),
                     TIDE_OK);
    assert_int_equal(used, pack.len);
    tide_pack_free(&pack);
    return reason;
}

static int decode(const char *json, struct tide_event *ev)
{
    ev->time_us = 1700000000000000;
    return decode_pack(tide_pack("%s", json), &tag, false, ev);
}

static bool text_is(struct tide_text text, const char *expected)
{
    return text.len == strlen(expected) &&
           (text.len == 0 || memcmp(text.start, expected, text.len) == 0);
}

static void all_fields_of_an_operation(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(
        decode("{'module_id':'billing','event':'response','success':false,'duration_ms':12.5,"
               "'status':404,'error':'no such bill','memory_bytes':1048576,'cpu_percent':12.3456,"
               "'goroutines':42,'db_connections':7,'correlation_id':'c-1','instance_id':'host-1',"
               "'event_id':'e-1','unknown':{'a':[1,2,{'b':null}]}}",
               &ev),
        -1);
    assert_true(text_is(ev.module, "billing"));
    assert_true(text_is(ev.correlation, "c-1"));
    assert_true(text_is(ev.instance, "host-1"));
    assert_true(text_is(ev.event_id, "e-1"));
    assert_true(text_is(ev.error, "no such bill"));
    assert_int_equal(ev.kind, TIDE_EVENT_RESPONSE);
    assert_int_equal(ev.time_us, 1700000000000000);
    assert_int_equal(ev.weight, 1);
    assert_true(ev.has_duration && ev.duration_us == 12500);
    assert_true(ev.has_outcome);
    assert_false(ev.success);
    assert_int_equal(ev.gauges, 0x0f);
    assert_int_equal(ev.gauge[TIDE_GAUGE_MEMORY], 1048576);
    assert_int_equal(ev.gauge[TIDE_GAUGE_CPU], 12346); /* thousandths, rounded half up */
    assert_int_equal(ev.gauge[TIDE_GAUGE_GOROUTINES], 42);
    assert_int_equal(ev.gauge[TIDE_GAUGE_DB_CONNECTIONS], 7);
    assert_false(ev.has_healthy);
}

static void numbers_may_arrive_as_text(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(
        decode(
            "{'duration_ms':'12.5','status':'404','memory_bytes':'1048576','cpu_percent':'0.0125',"
            "'goroutines':'42','db_connections':'1e2','sample_rate':'0.5'}",
            &ev),
        -1);
    assert_true(ev.duration_us == 12500);
    assert_true(ev.has_outcome && ev.success);
    assert_int_equal(ev.gauge[TIDE_GAUGE_MEMORY], 1048576);
    assert_int_equal(ev.gauge[TIDE_GAUGE_CPU], 13);
    assert_int_equal(ev.gauge[TIDE_GAUGE_GOROUTINES], 42);
    assert_int_equal(ev.gauge[TIDE_GAUGE_DB_CONNECTIONS], 100);
    assert_int_equal(ev.weight, 2);
}

/* The same number in every encoding that msgpack has for it. */
static void encoding_of_a_number_does_not_matter(void **state)
{
    static const char *const hundred[] = {"64",
                                          "cc64",
                                          "cd0064",
                                          "ce00000064",
                                          "cf0000000000000064",
                                          "d064",
                                          "d10064",
                                          "d200000064",
                                          "d30000000000000064",
                                          "ca42c80000",
                                          "cb4059000000000000",
                                          "a3313030",
                                          "d903313030",
                                          "c403313030"};

    (void)state;
    for (size_t i = 0; i < sizeof(hundred) / sizeof(hundred[0]); i++) {
        struct tide_event ev = {0};

        assert_int_equal(
            decode_pack(
                tide_pack("{'duration_ms':'hex:%s','status':'hex:%s','memory_bytes':'hex:%s'}",
                          hundred[i], hundred[i], hundred[i]),
                &tag, false, &ev),
            -1);
        assert_true(ev.duration_us == 100000);
        assert_true(ev.has_outcome && ev.success);
        assert_int_equal(ev.gauge[TIDE_GAUGE_MEMORY], 100);
    }
}

static void encoding_of_a_text_does_not_matter(void **state)
{
    static const char *const auth[] = {"a461757468",         "d90461757468", "da000461757468",
                                       "db0000000461757468", "c40461757468", "c5000461757468",
                                       "c60000000461757468"};

    (void)state;
    for (size_t i = 0; i < sizeof(auth) / sizeof(auth[0]); i++) {
        struct tide_event ev = {0};

        assert_int_equal(decode_pack(tide_pack("{'hex:d9096d6f64756c655f6964':'hex:%s','hex:"
                                               "c40e636f7272656c6174696f6e5f6964':'hex:%s'}",
                                               auth[i], auth[i]),
                                     &(struct tide_text){NULL, 0}, false, &ev),
                         -1);
        assert_true(text_is(ev.module, "auth"));
        assert_true(text_is(ev.correlation, "auth"));
    }
}

static void module_comes_from_the_record_or_the_tag(void **state)
{
    static const struct {
        const char *tag, *json, *module; /* NULL: rejected */
        int reason;
    } row[] = {
        {"mod.auth", "{}", "auth", -1},
        {"auth", "{}", "auth", -1},
        {"a.b.c.d", "{}", "d", -1},
        {"mod.auth", "{'module_id':null}", "auth", -1},
        {"mod.auth", "{'module_id':'other'}", "other", -1},
        {"", "{'module_id':'other'}", "other", -1},
        {"", "{}", NULL, TIDE_ENTRY_NO_MODULE},
        {"mod.", "{}", NULL, TIDE_ENTRY_NO_MODULE},
        {".", "{}", NULL, TIDE_ENTRY_NO_MODULE},
        {"mod.a\nb", "{}", NULL, TIDE_ENTRY_NO_MODULE},
        {"mod.\xff", "{}", NULL, TIDE_ENTRY_NO_MODULE},
        {"mod.auth", "{'module_id':''}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':5}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':['a']}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':true}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':'a\\u0001b'}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':'hex:a2c3a9'}", "\xc3\xa9", -1},
        {"mod.auth", "{'module_id':'hex:a1c3'}", NULL, TIDE_ENTRY_BAD_MODULE_ID},
        {"mod.auth", "{'module_id':'hex:c40461757468'}", "auth", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_text of_tag = {row[i].tag, (uint32_t)strlen(row[i].tag)};
        struct tide_event ev = {0};
        int reason = decode_pack(tide_pack("%s", row[i].json), &of_tag, false, &ev);

        if (reason != row[i].reason || (row[i].module && !text_is(ev.module, row[i].module)))
            fail_msg("%s under %s: reason %d", row[i].json, row[i].tag, reason);
    }
}

static void module_name_is_bounded(void **state)
{
    char name[130];
    struct tide_event ev = {0};

    (void)state;
    memset(name, 'm', sizeof(name));
    name[128] = '\0';
    assert_int_equal(decode_pack(tide_pack("{'module_id':'%s'}", name), &tag, false, &ev), -1);
    name[128] = 'm';
    name[129] = '\0';
    assert_int_equal(decode_pack(tide_pack("{'module_id':'%s'}", name), &tag, false, &ev),
                     TIDE_ENTRY_BAD_MODULE_ID);
}

static void kind_has_defaults_and_other_names(void **state)
{
    static const struct {
        const char *json;
        int kind;
    } row[] = {
        {"{'event':'start'}", TIDE_EVENT_START},
        {"{'event':'stop'}", TIDE_EVENT_STOP},
        {"{'event':'health'}", TIDE_EVENT_HEALTH},
        {"{'event':'request'}", TIDE_EVENT_REQUEST},
        {"{'event':'response'}", TIDE_EVENT_RESPONSE},
        {"{'event':'error'}", TIDE_EVENT_ERROR},
        {"{'event':'performance'}", TIDE_EVENT_PERFORMANCE},
        {"{'event':'config'}", TIDE_EVENT_CONFIG},
        {"{'event':'metric'}", TIDE_EVENT_METRIC},
        {"{'event':'debug'}", TIDE_EVENT_DEBUG},
        {"{'event':'module_start'}", TIDE_EVENT_START},
        {"{'event':'module_stop'}", TIDE_EVENT_STOP},
        {"{'event':'shutdown'}", TIDE_EVENT_STOP},
        {"{'event':'exception'}", TIDE_EVENT_ERROR},
        {"{'event':'heartbeat'}", TIDE_EVENT_HEALTH},
        {"{'event':'config_change'}", TIDE_EVENT_CONFIG},
        {"{'event':'hex:c4057374617274'}", TIDE_EVENT_START},
        {"{}", TIDE_EVENT_DEBUG},
        {"{'event':null}", TIDE_EVENT_DEBUG},
        {"{'memory_bytes':1}", TIDE_EVENT_DEBUG},
        {"{'duration_ms':1}", TIDE_EVENT_RESPONSE},
        {"{'success':true}", TIDE_EVENT_RESPONSE},
        {"{'status':200}", TIDE_EVENT_RESPONSE},
        {"{'error':'x'}", TIDE_EVENT_ERROR},
        {"{'error':''}", TIDE_EVENT_DEBUG},
        {"{'error':'x','duration_ms':1}", TIDE_EVENT_RESPONSE},
        {"{'event':'debug','duration_ms':1}", TIDE_EVENT_DEBUG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_event ev;

        if (decode(row[i].json, &ev) != -1 || ev.kind != row[i].kind)
            fail_msg("%s: kind %d", row[i].json, ev.kind);
    }
}

static void unknown_kind_is_counted_as_debug(void **state)
{
    static const char *const unknown[] = {"'login'", "''", "'Response'", "'responses'",
                                          "'hex:a1ff'"};
    struct tide_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        uint64_t before = tide_counted(TIDE_COUNT_UNKNOWN_EVENTS);

        assert_int_equal(
            decode_pack(tide_pack("{'event':%s,'duration_ms':1}", unknown[i]), &tag, false, &ev),
            -1);
        assert_int_equal(ev.kind, TIDE_EVENT_DEBUG);
        assert_int_equal(tide_counted(TIDE_COUNT_UNKNOWN_EVENTS), before + 1);
    }
}

static void success_is_given_or_derived(void **state)
{
    static const struct {
        const char *json;
        bool has_outcome, success;
    } row[] = {
        {"{}", false, true},
        {"{'success':true}", true, true},
        {"{'success':false}", true, false},
        {"{'status':200}", true, true},
        {"{'status':499}", true, true},
        {"{'status':500}", true, false},
        {"{'status':'503'}", true, false},
        {"{'status':500,'success':true}", true, true},
        {"{'success':true,'status':500}", true, true},
        {"{'status':200,'success':false}", true, false},
        {"{'error':'x'}", false, false},
        {"{'error':'x','success':true}", true, true},
        {"{'error':'x','status':200}", true, false},
        {"{'error':'','status':200}", true, true},
        {"{'success':null}", false, true},
        {"{'status':null}", false, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_event ev;

        if (decode(row[i].json, &ev) != -1 || ev.has_outcome != row[i].has_outcome ||
            ev.success != row[i].success)
            fail_msg("%s: outcome %d, success %d", row[i].json, ev.has_outcome, ev.success);
    }
}

static void error_is_set_by_anything_but_nothing(void **state)
{
    static const struct {
        const char *json, *text;
    } row[] = {
        {"'boom'", "boom"}, {"''", ""},      {"null", ""},          {"false", ""},
        {"true", "error"},  {"5", "error"},  {"{'a':1}", "error"},  {"[]", "error"},
        {"1.5", "error"},   {"-1", "error"}, {"'hex:c40178'", "x"}, {"'hex:a2ff00'", "\xff"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct tide_event ev = {0};

        assert_int_equal(decode_pack(tide_pack("{'error':%s}", row[i].json), &tag, false, &ev), -1);
        if (i + 1 == sizeof(row) / sizeof(row[0]))
            assert_int_equal(ev.error.len, 2); /* raw bytes are kept as they are */
        else if (!text_is(ev.error, row[i].text))
            fail_msg("%s: %.*s", row[i].json, (int)ev.error.len, ev.error.start);
    }
}

static void values_that_reject_an_event(void **state)
{
    static const struct {
        const char *field;
        int reason;
        const char *bad[20];
    } row[] = {
        {"event", TIDE_ENTRY_BAD_EVENT, {"5", "true", "false", "1.5", "[]", "{}", "'hex:d40100'"}},
        {"duration_ms",
         TIDE_ENTRY_BAD_DURATION,
         {"-1", "-0.001", "'-1'", "true", "'fast'", "''", "' 1'", "'1 '", "[]", "{}", "'nan'",
          "'inf'", "'0x10'", "'hex:cb7ff8000000000000'", "'hex:cb7ff0000000000000'",
          "'hex:ca7f800000'", "1099511628", "'1e300'", "'hex:cfffffffffffffffff'"}},
        {"success",
         TIDE_ENTRY_BAD_SUCCESS,
         {"0", "1", "'true'", "'false'", "''", "1.0", "[]", "{}"}},
        {"status",
         TIDE_ENTRY_BAD_STATUS,
         {"-1", "1000000", "200.5", "'ok'", "''", "true", "[]", "{}", "'200.5'",
          "'hex:cb7ff8000000000000'", "'hex:cfffffffffffffffff'", "'hex:cbffefffffffffffff'",
          "1e300"}},
        {"sample_rate",
         TIDE_ENTRY_BAD_SAMPLE_RATE,
         {"0", "-1", "1.0000001", "2", "0.0000009", "'x'", "''", "true", "[]", "{}",
          "'hex:cb7ff8000000000000'"}},
    };

    (void)state;
    for (size_t r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
        for (size_t i = 0; row[r].bad[i]; i++) {
            struct tide_event ev = {0};
            int reason = decode_pack(tide_pack("{'%s':%s,'x':1}", row[r].field, row[r].bad[i]),
                                     &tag, false, &ev);

            if (reason != row[r].reason)
                fail_msg("%s %s: reason %d", row[r].field, row[r].bad[i], reason);
        }
    }
}

static void bounds_of_a_duration_are_inside(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(decode("{'duration_ms':0}", &ev), -1);
    assert_true(ev.has_duration && ev.duration_us == 0);
    assert_int_equal(decode("{'duration_ms':-0.0}", &ev), -1);
    assert_true(ev.has_duration && !signbit(ev.duration_us));
    assert_int_equal(decode("{'duration_ms':1099511627.776}", &ev), -1); /* 2^40 us */
    assert_true(ev.duration_us == (double)TIDE_DURATION_MAX_US);
    assert_int_equal(decode("{'duration_ms':0.0004}", &ev), -1);
    assert_true(ev.duration_us > 0.39 && ev.duration_us < 0.41); /* not rounded */
}

static void bad_optional_fields_are_left_out_and_counted(void **state)
{
    static const struct {
        const char *json;
        uint64_t bad;
        uint8_t gauges;
    } row[] = {
        {"{'memory_bytes':-1,'cpu_percent':5}", 1, 1u << TIDE_GAUGE_CPU},
        {"{'memory_bytes':'many','cpu_percent':true,'goroutines':[],'db_connections':{}}", 4, 0},
        {"{'memory_bytes':'hex:cb7ff8000000000000'}", 1, 0},
        {"{'memory_bytes':'hex:cfffffffffffffffff'}", 1, 0}, /* over 2^62 */
        {"{'memory_bytes':4611686018427387904}", 0, 1u << TIDE_GAUGE_MEMORY},
        {"{'cpu_percent':4611686018427387904}", 1, 0}, /* in thousandths, over 2^62 */
        {"{'cpu_percent':1e300}", 1, 0},
        {"{'memory_bytes':null,'healthy':null,'correlation_id':null}", 0, 0},
        {"{'healthy':1,'correlation_id':5,'instance_id':[1],'event_id':true}", 4, 0},
        {"{'event':'metric','name':'orders','value':5}", 0, 0},
        {"{'value':'x','name':5,'event':'metric'}", 2, 0},
        {"{'event':'metric','name':'orders','value':9e12}", 1, 0},
        {"{'event':'metric','name':'orders','value':-8.9e12}", 0, 0},
        {"{'event':'metric','name':'','value':1}", 1, 0},
        {"{'event':'metric','name':'a\\nb','value':[1]}", 2, 0},
        {"{'event':'metric','name':'orders','value':'hex:cb7ff8000000000000'}", 1, 0},
        {"{'event':'metric','name':null,'value':null}", 0, 0},
        {"{'event':'debug','name':5,'value':[]}", 0, 0}, /* not fields of this event */
        {"{'message':{'a':1},'threads':3}", 0, 1u << TIDE_GAUGE_GOROUTINES},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        uint64_t before = tide_counted(TIDE_COUNT_BAD_FIELDS);
        struct tide_event ev;
        int reason = decode(row[i].json, &ev);
        uint64_t bad = tide_counted(TIDE_COUNT_BAD_FIELDS) - before;

        if (reason != -1 || bad != row[i].bad || ev.gauges != row[i].gauges)
            fail_msg("%s: reason %d, bad %llu, gauges %x", row[i].json, reason,
                     (unsigned long long)bad, ev.gauges);
    }
}

static void a_metric_has_a_name_and_a_value_in_millionths(void **state)
{
    static const struct {
        const char *value;
        int64_t expected;
    } row[] = {
        {"5", 5000000},
        {"-5", -5000000},
        {"0", 0},
        {"-0.0", 0},
        {"'12.5'", 12500000},
        {"0.0000004", 0},
        {"0.0000005", 1}, /* half away from zero */
        {"-0.0000005", -1},
        {"1.0000005", 1000001},
        {"-1.0000005", -1000001},
        {"'3.1234565'", 3123457},
        {"0.49999949999999", 499999},
        {"4503599627.370497", 4503599627370497},
        {"8589934592.5", 8589934592500000},
        {"-8999999999999", -INT64_C(8999999999999000000)},
        {"8999999999999", INT64_C(8999999999999000000)},
        {"8999999999999.998046875", INT64_C(8999999999999998047)},
    };
    struct tide_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        char json[120];

        snprintf(json, sizeof(json), "{'value':%s,'event':'metric','name':'queue'}", row[i].value);
        assert_int_equal(decode(json, &ev), -1);
        assert_true(text_is(ev.metric, "queue"));
        if (ev.value != row[i].expected)
            fail_msg("%s: %lld", row[i].value, (long long)ev.value);
    }
}

static void a_metric_without_a_good_name_and_value_is_none(void **state)
{
    static const char *const json[] = {
        "{'event':'metric','name':'queue'}",
        "{'event':'metric','value':5}",
        "{'event':'metric','name':'queue','value':9e12}",
        "{'event':'metric','name':'queue','value':-9e12}",
        "{'event':'metric','name':'queue','value':true}",
        "{'event':'metric','name':'','value':5}",
        "{'event':'metric','name':5,'value':5}",
        "{'event':'debug','name':'queue','value':5}",
        "{'duration_ms':1,'name':'queue','value':5}",
    };
    char name[130], text[170];
    struct tide_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        assert_int_equal(decode(json[i], &ev), -1);
        if (ev.metric.len != 0)
            fail_msg("%s", json[i]);
    }
    memset(name, 'n', sizeof(name));
    name[129] = '\0';
    snprintf(text, sizeof(text), "{'event':'metric','name':'%s','value':5}", name);
    assert_int_equal(decode(text, &ev), -1);
    assert_int_equal(ev.metric.len, 0);
    snprintf(text, sizeof(text), "{'event':'metric','name':'%s','value':5}", name + 1);
    assert_int_equal(decode(text, &ev), -1);
    assert_int_equal(ev.metric.len, TIDE_METRIC_NAME_MAX);
}

static void rejected_events_count_no_bad_field(void **state)
{
    uint64_t before = tide_counted(TIDE_COUNT_BAD_FIELDS),
             unknown = tide_counted(TIDE_COUNT_UNKNOWN_EVENTS);
    struct tide_event ev;

    (void)state;
    assert_int_equal(decode("{'memory_bytes':-1,'event':'what','duration_ms':-1}", &ev),
                     TIDE_ENTRY_BAD_DURATION);
    assert_int_equal(tide_counted(TIDE_COUNT_BAD_FIELDS), before);
    assert_int_equal(tide_counted(TIDE_COUNT_UNKNOWN_EVENTS), unknown);
}

static void ids_are_cut_between_characters(void **state)
{
    char id[200];
    struct tide_event ev;

    (void)state;
    memset(id, 'i', sizeof(id));
    memcpy(id + 127, "\xc3\xa9", 2); /* the 128th byte begins a character of two */
    id[150] = '\0';
    assert_int_equal(
        decode_pack(
            tide_pack("{'correlation_id':'%s','instance_id':'%s','event_id':'%s'}", id, id, id),
            &tag, false, &ev),
        -1);
    assert_int_equal(ev.correlation.len, 127);
    assert_int_equal(ev.instance.len, 127);
    assert_int_equal(ev.event_id.len, 127);
    id[128] = '\0';
    id[127] = 'i';
    assert_int_equal(decode_pack(tide_pack("{'correlation_id':'%s'}", id), &tag, false, &ev), -1);
    assert_int_equal(ev.correlation.len, 128);
}

static void self_report_is_a_bool(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(decode("{'event':'health','healthy':false,'message':'disk'}", &ev), -1);
    assert_true(ev.has_healthy && !ev.healthy);
    assert_int_equal(decode("{'event':'health','healthy':true}", &ev), -1);
    assert_true(ev.has_healthy && ev.healthy);
    assert_int_equal(decode("{'event':'health','healthy':'yes'}", &ev), -1);
    assert_false(ev.has_healthy);
}

static void keys_of_any_type_are_stepped_over(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(
        decode("{'hex:05':1,'hex:c0':2,'hex:9101':3,'hex:81a16101':4,'hex:cb0000000000000000':5,"
               "'hex:c70800000000000000000a':6,'module_id':'auth2','':7}",
               &ev),
        -1);
    assert_true(text_is(ev.module, "auth2"));
}

static void last_of_a_doubled_key_counts(void **state)
{
    struct tide_event ev;

    (void)state;
    assert_int_equal(decode("{'hex:a6737461747573':200,'hex:d906737461747573':500}", &ev), -1);
    assert_false(ev.success);
    assert_int_equal(decode("{'hex:a6737461747573':500,'hex:d906737461747573':null}", &ev), -1);
    assert_false(ev.success);
}

static void timestamp_is_a_field_of_bare_maps_only(void **state)
{
    struct tide_event ev = {.time_us = 5};

    (void)state;
    assert_int_equal(decode_pack(tide_pack("{'timestamp':1700000000.25}"), &tag, true, &ev), -1);
    assert_int_equal(ev.time_us, 1700000000250000);
    ev.time_us = 5;
    assert_int_equal(decode_pack(tide_pack("{'timestamp':1700000000.25}"), &tag, false, &ev), -1);
    assert_int_equal(ev.time_us, 5);
    ev.time_us = 0;
    assert_int_equal(decode_pack(tide_pack("{'timestamp':-1}"), &tag, true, &ev),
                     TIDE_ENTRY_BAD_TIME);
    assert_int_equal(decode_pack(tide_pack("{'timestamp':-1}"), &tag, false, &ev), -1);
    assert_int_equal(decode_pack(tide_pack("{'timestamp':'yesterday'}"), &tag, true, &ev),
                     TIDE_ENTRY_BAD_TIME);
    assert_int_equal(decode_pack(tide_pack("{'timestamp':null}"), &tag, true, &ev), -1);
    assert_int_equal(ev.time_us, 0);
}

static void sampled_events_weigh_what_they_stand_for(void **state)
{
    static const double rate[] = {1, 0.5, 0.3, 0.7, 0.1, 0.999, 0.013, 1e-6};

    (void)state;
    for (size_t r = 0; r < sizeof(rate) / sizeof(rate[0]); r++) {
        double wanted = 1 / rate[r], sum = 0;
        const int rounds = 20000;

        for (int i = 0; i < rounds; i++) {
            struct tide_event ev = {.time_us = 1700000000000000 + i};

            assert_int_equal(
                decode_pack(tide_pack("{'sample_rate':%.17g}", rate[r]), &tag, false, &ev), -1);
            assert_true(ev.weight == floor(wanted) || ev.weight == ceil(wanted));
            sum += ev.weight;
        }
        /* The hash is fixed, and so is this mean; its standard deviation would be at most 0.0035.
         */
        if (fabs(sum / rounds - wanted) > 0.015)
            fail_msg("rate %g: mean weight %g, not %g", rate[r], sum / rounds, wanted);
    }
}

static void resend_of_a_sampled_event_weighs_the_same(void **state)
{
    struct tide_event one, two;

    (void)state;
    assert_int_equal(decode("{'sample_rate':0.3,'correlation_id':'x'}", &one), -1);
    assert_int_equal(decode("{'sample_rate':0.3,'correlation_id':'x'}", &two), -1);
    assert_int_equal(one.weight, two.weight);
}

static void cut_or_foreign_bytes_are_no_map(void **state)
{
    static const char *const no_map[] = {"c0", "90", "05", "a161", "c1", "cb0000000000000000"};
    struct tide_pack pack =
        tide_pack("{'module_id':'auth','event':'response','duration_ms':12.5,'status':200,"
                  "'success':true,'x':[1,{'y':'z'}],'memory_bytes':70000,'correlation_id':'c-1'}");
    struct tide_event ev = {0};
    size_t used = 77;
    int reason = 77;

    (void)state;
    for (size_t len = 0; len < pack.len; len++)
        assert_int_equal(tide_entry_decode(tide_guard_place(&guard, pack.data, len), len, &tag,
                                           false, &ev, &used, &reason),
                         TIDE_MALFORMED);
    tide_pack_free(&pack);
    for (size_t i = 0; i < sizeof(no_map) / sizeof(no_map[0]); i++) {
        pack = tide_pack_hex(no_map[i]);
        assert_int_equal(tide_entry_decode(pack.data, pack.len, &tag, false, &ev, &used, &reason),
                         TIDE_MALFORMED);
        tide_pack_free(&pack);
    }
    assert_int_equal(used, 77);
    assert_int_equal(reason, 77);
}

/* Texts and unknown values so long that a cut inside them leaves room for what comes before. */
static void cut_in_a_long_text_is_no_map(void **state)
{
    struct tide_event ev = {0};
    char text[200];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (int known = 0; known < 2; known++) {
        struct tide_pack pack;
        size_t used;
        int reason;

        text[known ? 150 : 30] = '\0';
        pack = tide_pack("{'%s':'%s'}",
                         known ? "correlation_id" : "an_unknown_key_of_30_bytes_____", text);
        text[known ? 150 : 30] = 'x';
        for (size_t len = 0; len < pack.len; len++)
            assert_int_equal(tide_entry_decode(tide_guard_place(&guard, pack.data, len), len, &tag,
                                               false, &ev, &used, &reason),
                             TIDE_MALFORMED);
        assert_int_equal(decode_pack(pack, &tag, false, &ev), -1);
    }
}

static void bytes_behind_the_map_are_not_touched(void **state)
{
    struct tide_pack pack = tide_pack_join(tide_pack("{'status':500}"), tide_pack_hex("c1 c1 c1"));
    struct tide_event ev = {0};
    size_t used;
    int reason;

    (void)state;
    assert_int_equal(tide_entry_decode(pack.data, pack.len, &tag, false, &ev, &used, &reason),
                     TIDE_OK);
    assert_int_equal(used, pack.len - 3);
    tide_pack_free(&pack);
}

/* The decoder follows clients that write the fields in the usual order; it must not be seen which
 * ones did. The last field gives it room to do so. */
static void the_order_of_the_fields_does_not_matter(void **state)
{
    static const char *const field[] = {
        "'module_id':'service-7'", "'event':'%s'",         "'duration_ms':12.5",
        "'success':false",         "'memory_bytes':70000", "'cpu_percent':12.5",
        "'goroutines':200",        "'db_connections':7",   "'correlation_id':'c-0123456789abcdef'",
    };
    enum { FIELDS = sizeof(field) / sizeof(field[0]) };

    (void)state;
    for (unsigned given = 0; given < 1u << FIELDS; given++) {
        enum tide_event_kind kind = given % TIDE_EVENT_KIND_COUNT;
        char text[2][600] = {"{", "{"}, one[100];
        struct tide_event ev[2] = {0};

        for (int i = 0; i < 2 * FIELDS; i++) {
            int reversed = i >= FIELDS, of = reversed ? 2 * FIELDS - 1 - i : i;

            if (!(given & 1u << of))
                continue;
            snprintf(one, sizeof(one), field[of], tide_event_kind_name(kind));
            strcat(strcat(text[reversed], one), ",");
        }
        for (int i = 0; i < 2; i++) {
            strcat(text[i], "'unknown':'..............................................'}");
            assert_int_equal(decode(text[i], &ev[i]), -1);
            assert_int_equal(ev[i].gauges, given >> 4 & 0xf);
            assert_int_equal(ev[i].has_duration, given >> 2 & 1);
            assert_int_equal(ev[i].has_outcome, given >> 3 & 1);
            assert_int_equal(ev[i].correlation.len, given & 1u << 8 ? 18 : 0);
            if (given & 2)
                assert_int_equal(ev[i].kind, kind);
        }
        assert_int_equal(ev[0].kind, ev[1].kind);
        assert_int_equal(ev[0].success, ev[1].success);
        assert_int_equal(ev[0].module.len, ev[1].module.len);
        assert_memory_equal(&ev[0].duration_us, &ev[1].duration_us, sizeof(double));
        for (int gauge = 0; gauge < TIDE_GAUGE_COUNT; gauge++)
            if (ev[0].gauges & 1u << gauge)
                assert_int_equal(ev[0].gauge[gauge], ev[1].gauge[gauge]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_of_the_fields_does_not_matter),
        cmocka_unit_test(all_fields_of_an_operation),
        cmocka_unit_test(numbers_may_arrive_as_text),
        cmocka_unit_test(encoding_of_a_number_does_not_matter),
        cmocka_unit_test(encoding_of_a_text_does_not_matter),
        cmocka_unit_test(module_comes_from_the_record_or_the_tag),
        cmocka_unit_test(module_name_is_bounded),
        cmocka_unit_test(kind_has_defaults_and_other_names),
        cmocka_unit_test(unknown_kind_is_counted_as_debug),
        cmocka_unit_test(success_is_given_or_derived),
        cmocka_unit_test(error_is_set_by_anything_but_nothing),
        cmocka_unit_test(values_that_reject_an_event),
        cmocka_unit_test(bounds_of_a_duration_are_inside),
        cmocka_unit_test(bad_optional_fields_are_left_out_and_counted),
        cmocka_unit_test(a_metric_has_a_name_and_a_value_in_millionths),
        cmocka_unit_test(a_metric_without_a_good_name_and_value_is_none),
        cmocka_unit_test(rejected_events_count_no_bad_field),
        cmocka_unit_test(ids_are_cut_between_characters),
        cmocka_unit_test(self_report_is_a_bool),
        cmocka_unit_test(keys_of_any_type_are_stepped_over),
        cmocka_unit_test(last_of_a_doubled_key_counts),
        cmocka_unit_test(timestamp_is_a_field_of_bare_maps_only),
        cmocka_unit_test(sampled_events_weigh_what_they_stand_for),
        cmocka_unit_test(resend_of_a_sampled_event_weighs_the_same),
        cmocka_unit_test(cut_or_foreign_bytes_are_no_map),
        cmocka_unit_test(cut_in_a_long_text_is_no_map),
        cmocka_unit_test(bytes_behind_the_map_are_not_touched),
    };
    int failed;

    tide_guard_init(&guard, 16384);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
