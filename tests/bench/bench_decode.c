/* bench_decode - what decoding costs by what is in an event: `bench_decode [SHAPE [ROUNDS]]`.
 *
 * Prints the time an event; `perf stat -e instructions:u` around one shape gives the other figure
 * worth watching. The shapes are what clients send: the documented order, another order, fields
 * that nobody knows, other producers' names.
 */
#include "tidemark/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tidemark/clock.h"
#include "pack.h"

#define EVENTS 1000

static const struct {
    const char *name, *json; /* with a number for each %d */
} shape[] = {
    {"usual", "{'module_id':'mod.%d','event':'response','success':true,'duration_ms':%d.25,"
              "'memory_bytes':%d000,'cpu_percent':%d.5,'goroutines':%d,'db_connections':%d,"
              "'correlation_id':'c-00%d%d%d'}"},
    {"order", "{'correlation_id':'c-00%d','duration_ms':%d.25,'module_id':'mod.%d',"
              "'memory_bytes':%d000,'event':'response','cpu_percent':%d.5,'success':true,"
              "'db_connections':%d,'goroutines':%d}"},
    {"late", "{'level':'info','module_id':'mod.%d','event':'response','success':true,"
             "'duration_ms':%d.25,'memory_bytes':%d000,'cpu_percent':%d.5,'goroutines':%d,"
             "'db_connections':%d,'correlation_id':'c-00%d%d%d'}"},
    {"lean", "{'module_id':'mod.%d','event':'response','success':true,'duration_ms':%d.25}"},
    {"unknown", "{'module_id':'mod.%d','event':'response','success':true,'duration_ms':%d.25,"
                "'region':'eu-%d','customer':%d,'path':'/v1/x%d','method':'GET','build':'b%d',"
                "'user_agent':'curl','zone':'z%d'}"},
    {"docker", "{'container_id':'0123456789ab%d','container_name':'/mod.%d','source':'stdout',"
               "'log':'GET /%d %d'}"},
    {"pino", "{'level':30,'time':170000000%d,'pid':%d,'hostname':'h%d','req':{'id':'r%d',"
             "'method':'GET','url':'/a'},'res':{'statusCode':200},'responseTime':%d,'msg':'done'}"},
    {"ecs", "{'@timestamp':'2026-01-01T00:00:0%d.000Z','service':{'name':'mod.%d'},'event':{"
            "'outcome':'success','duration':%d000000},'http':{'response':{'status_code':200}},"
            "'trace':{'id':'t%d'},'log.level':'info'}"},
};
#define SHAPES (sizeof(shape) / sizeof(shape[0]))

static struct tide_pack fill(const char *json)
{
    struct tide_pack all = {NULL, 0};
    uint64_t seed = 1;

    for (int i = 0; i < EVENTS; i++) {
        char text[1024];
        size_t at = 0;

        for (const char *from = json; *from; from++)
            if (from[0] == '%' && from[1] == 'd') {
                at += (size_t)snprintf(text + at, sizeof(text) - at, "%u",
                                       1 + (unsigned)(tide_test_random(&seed) % 9));
                from++;
            } else {
                text[at++] = *from;
            }
        text[at] = '\0';
        all = tide_pack_join(all, tide_pack("%s", text));
    }
    return all;
}

static void run(size_t which, unsigned rounds)
{
    static const struct tide_text tag = {"app.web", 7};
    struct tide_pack all = fill(shape[which].json);
    int64_t began_us, took_us;
    uint64_t bad = 0;

    began_us = tide_clock_mono_us();
    for (unsigned i = 0; i < rounds; i++)
        for (size_t at = 0, used; at < all.len; at += used) {
            struct tide_event ev;
            int reason;

            ev.time_us = 1;
            if (tide_entry_decode(all.data + at, all.len - at, &tag, false, &ev, &used, &reason))
                abort();
            bad += reason >= 0;
        }
    took_us = tide_clock_mono_us() - began_us;
    printf("%-8s %6.1f ns an event, %zu bytes, %.0f %% rejected\n", shape[which].name,
           (double)took_us * 1e3 / (rounds * (double)EVENTS), all.len / EVENTS,
           (double)bad * 100 / (rounds * (double)EVENTS));
    tide_pack_free(&all);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000;

    for (size_t i = 0; i < SHAPES; i++)
        if (argc < 2 || strcmp(argv[1], shape[i].name) == 0)
            run(i, rounds);
    return 0;
}
