/* Other producers' names: a record with one is the same event as the record that says it our way.
 */
#include "alias.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include "tidemark/counter.h"
#include "guard.h"
#include "pack.h"

static struct tide_guard guard;

/* Decodes a copy of the JSON that stays where it is until the next two are decoded. */
static int decode(const char *json, bool bare, struct tide_event *ev)
{
    static const struct tide_text tag = {"app.tagged", 10};
    static uint8_t place[2][4096];
    static unsigned turn;
    struct tide_pack pack = tide_pack("%s", json);
    uint8_t *copy = place[turn++ % 2];
    size_t used;
    int reason;

    assert_true(pack.len <= sizeof(place[0]));
    memcpy(copy, pack.data, pack.len);
    memset(ev, 0, sizeof(*ev));
    ev->time_us = bare ? 0 : 1700000000000000;
    /* Once where a byte too many would be seen, once where the texts stay readable. */
    if (tide_entry_decode(tide_guard_place(&guard, pack.data, pack.len), pack.len, &tag, bare, ev,
                          &used, &reason) != TIDE_OK)
        fail_msg("%s: malformed", json);
    ev->time_us = bare ? 0 : 1700000000000000;
    assert_int_equal(tide_entry_decode(copy, pack.len, &tag, bare, ev, &used, &reason), TIDE_OK);
    assert_int_equal(used, pack.len);
    tide_pack_free(&pack);
    return reason;
}

static bool same_text(struct tide_text a, struct tide_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.start, b.start, a.len) == 0);
}

static bool same_event(const struct tide_event *a, const struct tide_event *b)
{
    for (int g = 0; g < TIDE_GAUGE_COUNT; g++)
        if ((a->gauges >> g & 1) && a->gauge[g] != b->gauge[g])
            return false;
    return a->time_us == b->time_us && same_text(a->module, b->module) &&
           same_text(a->instance, b->instance) && same_text(a->correlation, b->correlation) &&
           same_text(a->event_id, b->event_id) && same_text(a->error, b->error) &&
           a->weight == b->weight && a->kind == b->kind && a->has_duration == b->has_duration &&
           (!a->has_duration || a->duration_us == b->duration_us) &&
           a->has_outcome == b->has_outcome && a->success == b->success &&
           a->has_healthy == b->has_healthy && a->healthy == b->healthy && a->gauges == b->gauges;
}

/* What a producer sends, and the same in our words. */
struct row {
    const char *producer, *theirs, *ours;
};

static void check(const struct row *row, size_t rows, bool bare)
{
    for (size_t i = 0; i < rows; i++) {
        struct tide_event theirs, ours;
        int their_reason = decode(row[i].theirs, bare, &theirs);
        int our_reason = decode(row[i].ours, bare, &ours);

        if (their_reason != our_reason || (our_reason < 0 && !same_event(&theirs, &ours)))
            fail_msg("%s: %s (%d) is not %s (%d)", row[i].producer, row[i].theirs, their_reason,
                     row[i].ours, our_reason);
    }
}
#define CHECK(rows, bare) check(rows, sizeof(rows) / sizeof((rows)[0]), bare)

static void every_name_means_its_field(void **state)
{
    static const struct row row[] = {
        {"OpenTelemetry", "{'service.name':'auth'}", "{'module_id':'auth'}"},
        {"ECS", "{'service':{'name':'auth'}}", "{'module_id':'auth'}"},
        {"a logger", "{'module':'auth'}", "{'module_id':'auth'}"},
        {"Docker", "{'container_name':'/auth'}", "{'module_id':'auth'}"},
        {"Docker Compose", "{'container_name':'auth'}", "{'module_id':'auth'}"},
        {"one slash is Docker's", "{'container_name':'//auth'}", "{'module_id':'/auth'}"},
        {"OpenTelemetry", "{'event.name':'error'}", "{'event':'error'}"},
        {"ECS", "{'event':{'name':'error'}}", "{'event':'error'}"},
        {"a logger", "{'event_name':'request'}", "{'event':'request'}"},
        {"a logger", "{'event_type':'module_start'}", "{'event':'start'}"},
        {"a logger", "{'type':'heartbeat'}", "{'event':'health'}"},
        {"ECS", "{'event.outcome':'success'}", "{'success':true}"},
        {"ECS", "{'event.outcome':'failure'}", "{'success':false}"},
        {"ECS", "{'event':{'outcome':'failure'}}", "{'success':false}"},
        {"ECS", "{'event.outcome':'unknown'}", "{}"},
        {"a logger", "{'duration_us':1500}", "{'duration_ms':1.5}"},
        {"a logger", "{'duration_us':'1500'}", "{'duration_ms':1.5}"},
        {"a logger", "{'duration_ns':2500000}", "{'duration_ms':2.5}"},
        {"ECS", "{'event.duration':2500000}", "{'duration_ms':2.5}"},
        {"ECS", "{'event':{'duration':2500000}}", "{'duration_ms':2.5}"},
        {"OpenTelemetry", "{'http.server.request.duration':0.25}", "{'duration_ms':250}"},
        {"OpenTelemetry", "{'http':{'server':{'request':{'duration':0.25}}}}",
         "{'duration_ms':250}"},
        {"pino-http", "{'responseTime':12}", "{'duration_ms':12}"},
        {"ECS", "{'http.response.status_code':503}", "{'status':503}"},
        {"ECS", "{'http':{'response':{'status_code':503}}}", "{'status':503}"},
        {"older OpenTelemetry", "{'http.status_code':404}", "{'status':404}"},
        {"older OpenTelemetry", "{'http':{'status_code':'404'}}", "{'status':404}"},
        {"pino-http", "{'res':{'statusCode':500}}", "{'status':500}"},
        {"pino-http", "{'res.statusCode':500}", "{'status':500}"},
        {"express", "{'statusCode':200}", "{'status':200}"},
        {"ECS", "{'error.message':'boom'}", "{'error':'boom'}"},
        {"ECS", "{'error':{'message':'boom'}}", "{'error':'boom'}"},
        {"OpenTelemetry", "{'error.type':'timeout'}", "{'error':'timeout'}"},
        {"ECS", "{'error':{'type':'timeout'}}", "{'error':'timeout'}"},
        {"a logger", "{'error':{'reason':7}}", "{'error':'error'}"},
        {"a logger", "{'error':{}}", "{'error':'error'}"},
        {"OpenTelemetry", "{'exception.message':'boom'}", "{'error':'boom'}"},
        {"OpenTelemetry", "{'exception':{'message':'boom'}}", "{'error':'boom'}"},
        {"pino", "{'err':{'type':'E','message':'boom','stack':'at'}}", "{'error':'boom'}"},
        {"pino", "{'err.message':'boom'}", "{'error':'boom'}"},
        {"OpenTelemetry", "{'trace_id':'0af7'}", "{'correlation_id':'0af7'}"},
        {"ECS", "{'trace.id':'0af7'}", "{'correlation_id':'0af7'}"},
        {"ECS", "{'trace':{'id':'0af7'}}", "{'correlation_id':'0af7'}"},
        {"a logger", "{'request_id':'r-1'}", "{'correlation_id':'r-1'}"},
        {"ECS", "{'http.request.id':'r-1'}", "{'correlation_id':'r-1'}"},
        {"ECS", "{'http':{'request':{'id':'r-1'}}}", "{'correlation_id':'r-1'}"},
        {"pino-http", "{'req':{'id':'r-1','url':'/'}}", "{'correlation_id':'r-1'}"},
        {"pino-http", "{'req.id':'r-1'}", "{'correlation_id':'r-1'}"},
        {"OpenTelemetry", "{'service.instance.id':'i-1'}", "{'instance_id':'i-1'}"},
        {"OpenTelemetry", "{'service':{'instance':{'id':'i-1'}}}", "{'instance_id':'i-1'}"},
        {"ECS", "{'host.name':'h-1'}", "{'instance_id':'h-1'}"},
        {"ECS", "{'host':{'name':'h-1'}}", "{'instance_id':'h-1'}"},
        {"pino", "{'hostname':'h-1'}", "{'instance_id':'h-1'}"},
        {"Docker", "{'container_id':'c0ffee'}", "{'instance_id':'c0ffee'}"},
        {"ECS", "{'event.id':'e-1'}", "{'event_id':'e-1'}"},
        {"ECS", "{'event':{'id':'e-1'}}", "{'event_id':'e-1'}"},
        {"a logger", "{'event':'health','status_text':'healthy'}",
         "{'event':'health','healthy':true}"},
        {"a logger", "{'event':'health','status_text':'degraded'}",
         "{'event':'health','healthy':false}"},
        {"a logger", "{'event':'health','health':'critical'}",
         "{'event':'health','healthy':false}"},
        {"OpenTelemetry", "{'process.memory.usage':1024}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'process':{'memory':{'usage':1024}}}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'jvm.memory.used':1024}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'jvm':{'memory':{'used':'1024'}}}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'go.memory.used':1024}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'go':{'memory':{'used':1024}}}", "{'memory_bytes':1024}"},
        {"OpenTelemetry", "{'process.cpu.utilization':0.5}", "{'cpu_percent':50}"},
        {"OpenTelemetry", "{'process':{'cpu':{'utilization':1}}}", "{'cpu_percent':100}"},
        {"a logger", "{'threads':7}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'process.thread.count':7}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'process':{'thread':{'count':7}}}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'jvm.thread.count':7}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'go.goroutine.count':7}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'go':{'goroutine':{'count':7}}}", "{'goroutines':7}"},
        {"OpenTelemetry", "{'db.client.connection.count':3}", "{'db_connections':3}"},
        {"OpenTelemetry", "{'db':{'client':{'connection':{'count':3}}}}", "{'db_connections':3}"},
    };

    (void)state;
    CHECK(row, false);
}

/* Whole records as their producers write them. */
static void whole_records_are_understood(void **state)
{
    static const struct row row[] = {
        {"Docker",
         "{'container_id':'c0ffee','container_name':'/web','source':'stdout','log':'GET / 200'}",
         "{'module_id':'web','instance_id':'c0ffee'}"},
        {"pino-http",
         "{'level':50,'time':1700000000000,'pid':7,'hostname':'h-1','req':{'id':'r-1','method':'"
         "GET',"
         "'headers':{'host':'x'}},'res':{'statusCode':500,'headers':{}},'err':{'type':'Error',"
         "'message':'boom','stack':'at x'},'responseTime':12,'msg':'request errored'}",
         "{'instance_id':'h-1','correlation_id':'r-1','status':500,'error':'boom','duration_ms':"
         "12}"},
        {"ECS",
         "{'@timestamp':'2026-01-01T00:00:00Z','log':{'level':'info'},'message':'done',"
         "'service':{'name':'auth','version':'1'},'host':{'name':'h-1','ip':['::1']},"
         "'event':{'kind':'event','outcome':'success','duration':1000000,'id':'e-1'},"
         "'http':{'request':{'method':'GET','id':'r-1'},'response':{'status_code':200}},"
         "'trace':{'id':'t-1'}}",
         "{'module_id':'auth','instance_id':'h-1','success':true,'duration_ms':1,'event_id':'e-1',"
         "'correlation_id':'t-1','status':200}"},
        {"OpenTelemetry",
         "{'severity_number':17,'severity_text':'ERROR','body':'x','service.name':'auth',"
         "'service.instance.id':'i-1','exception.message':'boom','trace_id':'t-1'}",
         "{'module_id':'auth','instance_id':'i-1','error':'boom','correlation_id':'t-1'}"},
        {"slog", "{'time':'2026-01-01T00:00:00Z','level':'INFO','msg':'x','duration_ms':3}",
         "{'duration_ms':3}"},
        {"journald", "{'MESSAGE':'x','PRIORITY':'6','_HOSTNAME':'h'}", "{}"},
        {"levels of every form say nothing", "{'log.level':'error','level':60,'severity':'fatal'}",
         "{}"},
    };

    (void)state;
    CHECK(row, false);
}

/* What stands first in the table, and our own name before all; wherever it stands in the record. */
static void first_of_several_names_counts(void **state)
{
    static const struct row row[] = {
        {"ours", "{'service.name':'b','module_id':'a'}", "{'module_id':'a'}"},
        {"ours", "{'module_id':'a','service.name':'b'}", "{'module_id':'a'}"},
        {"ours is usable and theirs is not", "{'duration_us':'soon','duration_ms':5}",
         "{'duration_ms':5}"},
        {"table", "{'container_name':'c','module':'b','service.name':'a'}", "{'module_id':'a'}"},
        {"table", "{'service.name':'a','module':'b','container_name':'c'}", "{'module_id':'a'}"},
        {"one key before a path", "{'service':{'name':'b'},'service.name':'a'}",
         "{'module_id':'a'}"},
        {"one key before a path", "{'service.name':'a','service':{'name':'b'}}",
         "{'module_id':'a'}"},
        {"a path before the next name", "{'module':'b','service':{'name':'a'}}",
         "{'module_id':'a'}"},
        {"nil is absent", "{'service.name':null,'module':'b'}", "{'module_id':'b'}"},
        {"nil is absent", "{'service':{'name':null},'module':'b'}", "{'module_id':'b'}"},
        {"nil is absent", "{'module_id':null,'module':'b'}", "{'module_id':'b'}"},
        {"the last of one name", "{'module':'a','module':'b'}", "{'module_id':'b'}"},
        {"unit by name", "{'duration_ns':1,'duration_us':1000}", "{'duration_ms':1}"},
        {"status", "{'statusCode':200,'http':{'response':{'status_code':503}}}", "{'status':503}"},
        {"message before type", "{'error':{'type':'t','message':'m'}}", "{'error':'m'}"},
        {"an error that is none", "{'error':false,'err':{'message':'m'}}", "{'error':'m'}"},
        {"canonical event beside ECS", "{'event':'error','event.outcome':'failure'}",
         "{'event':'error','success':false}"},
        {"before the tag", "{'container_name':'/web'}", "{'module_id':'web'}"},
        {"both ways to an outcome", "{'event.outcome':'success','status':503}",
         "{'success':true,'status':503}"},
    };

    (void)state;
    CHECK(row, false);
}

static void strict_as_ours(void **state)
{
    static const struct row row[] = {
        {"module", "{'service.name':7}", "{'module_id':7}"},
        {"module", "{'service.name':''}", "{'module_id':''}"},
        {"module", "{'container_name':'/'}", "{'module_id':''}"},
        {"duration", "{'duration_us':'soon'}", "{'duration_ms':'soon'}"},
        {"duration", "{'duration_ns':-1}", "{'duration_ms':-1}"},
        {"duration", "{'event.duration':true}", "{'duration_ms':true}"},
        {"duration", "{'http.server.request.duration':1e300}", "{'duration_ms':1e300}"},
        {"duration", "{'responseTime':[]}", "{'duration_ms':[]}"},
        {"status", "{'http.status_code':'4x4'}", "{'status':'4x4'}"},
        {"status", "{'res':{'statusCode':-1}}", "{'status':-1}"},
        {"outcome", "{'event.outcome':'maybe'}", "{'success':'maybe'}"},
        {"outcome", "{'event.outcome':true}", "{'success':1}"},
        {"an empty map is no ECS", "{'event':{}}", "{'event':7}"},
        {"case matters", "{'Service.Name':'b'}", "{}"},
        {"all of a name", "{'service.names':'b','service.nam':'b'}", "{}"},
        {"all of a path", "{'service':{'names':'b'},'http':{'response':{'status':1}}}", "{}"},
        {"no path through a list", "{'service':[{'name':'b'}]}", "{}"},
        {"no path through a text", "{'service':'name'}", "{}"},
    };

    (void)state;
    CHECK(row, false);
}

static void unusable_optional_values_are_counted(void **state)
{
    static const char *const json[] = {
        "{'hostname':5}",
        "{'req':{'id':5}}",
        "{'process.cpu.utilization':'much'}",
        "{'threads':-1}",
        "{'health':'fine'}",
        "{'type':5}",
        "{'event.id':[]}",
        "{'process.memory.usage':{}}",
    };
    struct tide_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        uint64_t before = tide_counted(TIDE_COUNT_BAD_FIELDS);

        assert_int_equal(decode(json[i], false, &ev), -1);
        if (tide_counted(TIDE_COUNT_BAD_FIELDS) != before + 2) /* it is decoded twice */
            fail_msg("%s is no bad field", json[i]);
    }
}

static void a_duration_without_a_unit_is_counted_and_left_out(void **state)
{
    static const struct {
        const char *json;
        int counted;
    } row[] = {
        {"{'duration':5}", 1},
        {"{'latency':'5'}", 1},
        {"{'duration':5,'latency':5}", 1},
        {"{'duration':5,'duration_ms':7}", 0},
        {"{'duration':5,'duration_us':7}", 0},
        {"{'duration':null}", 0},
        {"{'duration':5,'status':'bad'}", 0}, /* rejected */
    };
    struct tide_event ev;

    (void)state;
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        uint64_t before = tide_counted(TIDE_COUNT_AMBIGUOUS_DURATIONS);

        decode(row[i].json, false, &ev);
        if (tide_counted(TIDE_COUNT_AMBIGUOUS_DURATIONS) != before + 2 * (unsigned)row[i].counted)
            fail_msg("%s", row[i].json);
    }
    assert_int_equal(decode("{'duration':5}", false, &ev), -1);
    assert_false(ev.has_duration);
}

/* `type` may be a word of the producer's own: the event is what its other fields make of it. */
static void a_foreign_word_for_the_kind_says_nothing(void **state)
{
    static const struct row row[] = {
        {"access log", "{'type':'access','duration_ms':4}", "{'duration_ms':4}"},
        {"OpenTelemetry", "{'event.name':'device.app.lifecycle'}", "{}"},
        {"ours is counted as debug", "{'event':'access','duration_ms':4}",
         "{'event':'debug','duration_ms':4}"},
    };
    uint64_t before = tide_counted(TIDE_COUNT_UNKNOWN_EVENTS);

    (void)state;
    CHECK(row, false);
    assert_int_equal(tide_counted(TIDE_COUNT_UNKNOWN_EVENTS), before + 6);
}

static void moments_come_from_bare_maps_only(void **state)
{
    static const struct row row[] = {
        {"ECS", "{'@timestamp':'2026-01-01T00:00:00.500Z'}", "{'timestamp':1767225600.5}"},
        {"pino", "{'time':1700000000123}", "{'timestamp':1700000000.123}"},
        {"slog", "{'time':'2026-01-01T00:00:00Z'}", "{'timestamp':1767225600}"},
        {"ours first", "{'@timestamp':'never','timestamp':1700000000}", "{'timestamp':1700000000}"},
        {"ECS first", "{'time':1,'@timestamp':1700000000}", "{'timestamp':1700000000}"},
        {"strict", "{'@timestamp':'never'}", "{'timestamp':'never'}"},
    };
    static const struct row in_an_entry[] = {
        {"ECS", "{'@timestamp':'never','time':'neither'}", "{}"},
    };

    (void)state;
    CHECK(row, true);
    CHECK(in_an_entry, false);
}

static void paths_of_any_shape_end_where_they_end(void **state)
{
    static const struct row row[] = {
        {"behind it", "{'service':{'name':'a','x':[1,{'y':2}]},'duration_ms':4}",
         "{'module_id':'a','duration_ms':4}"},
        {"odd keys", "{'http':{'':{},'hex:01':2,'response':{'hex:c0':1,'status_code':200}}}",
         "{'status':200}"},
        {"longer than any name", "{'http':{'a-key-that-is-longer-than-any-name':1}}", "{}"},
        {"longest name",
         "{'http.server':{'request.duration':9},'http':{'server.request.duration':1}}",
         "{'duration_ms':1000}"},
        {"empty maps", "{'http':{'response':{}},'service':{'instance':{}}}", "{}"},
    };

    (void)state;
    CHECK(row, false);
}

/* A map that is cut, or is none, wherever that is. */
static void a_cut_path_is_no_map(void **state)
{
    struct tide_pack pack = tide_pack("{'service':{'instance':{'id':'i-1'},'name':'auth'},"
                                      "'http':{'response':{'status_code':200}},'duration_us':4}");

    (void)state;
    for (size_t len = 0; len < pack.len; len++) {
        struct tide_event ev = {0};
        size_t used;
        int reason;

        assert_int_equal(tide_entry_decode(tide_guard_place(&guard, pack.data, len), len,
                                           &(struct tide_text){"t", 1}, false, &ev, &used, &reason),
                         TIDE_MALFORMED);
    }
    tide_pack_free(&pack);
}

static void the_table_is_found_by_its_hash(void **state)
{
    static const char *const name[] = {
        "service.name",
        "module",
        "container_name",
        "event.name",
        "event_name",
        "event_type",
        "type",
        "@timestamp",
        "time",
        "event.outcome",
        "duration_us",
        "duration_ns",
        "event.duration",
        "http.server.request.duration",
        "responseTime",
        "duration",
        "latency",
        "http.response.status_code",
        "http.status_code",
        "res.statusCode",
        "statusCode",
        "error.message",
        "error.type",
        "exception.message",
        "err.message",
        "status_text",
        "health",
        "trace_id",
        "trace.id",
        "request_id",
        "http.request.id",
        "req.id",
        "service.instance.id",
        "host.name",
        "hostname",
        "container_id",
        "event.id",
        "process.memory.usage",
        "jvm.memory.used",
        "go.memory.used",
        "process.cpu.utilization",
        "threads",
        "process.thread.count",
        "jvm.thread.count",
        "go.goroutine.count",
        "db.client.connection.count",
    };
    size_t rows = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        uint32_t len = (uint32_t)strlen(name[i]);

        if (!tide_alias_is_likely(name[i], len) || tide_alias_find(name[i], len) == 0)
            fail_msg("%s belongs into slot %u", name[i], tide_alias_hash(name[i], len));
    }
    for (size_t i = 0; i < TIDE_ALIAS_SLOTS; i++)
        rows += tide_alias_slot[i] != 0;
    assert_int_equal(rows, sizeof(name) / sizeof(name[0])); /* each of the table is tested here */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_means_its_field),
        cmocka_unit_test(whole_records_are_understood),
        cmocka_unit_test(first_of_several_names_counts),
        cmocka_unit_test(strict_as_ours),
        cmocka_unit_test(unusable_optional_values_are_counted),
        cmocka_unit_test(a_duration_without_a_unit_is_counted_and_left_out),
        cmocka_unit_test(a_foreign_word_for_the_kind_says_nothing),
        cmocka_unit_test(moments_come_from_bare_maps_only),
        cmocka_unit_test(paths_of_any_shape_end_where_they_end),
        cmocka_unit_test(a_cut_path_is_no_map),
        cmocka_unit_test(the_table_is_found_by_its_hash),
    };
    int failed;

    tide_guard_init(&guard, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tide_guard_fini(&guard);
    return failed;
}
