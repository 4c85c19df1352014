/* folded - see folded.h. */
#include "folded.h"

#include <stdlib.h>
#include <string.h>

#include "tidemark/tier.h"

size_t tide_test_fold(const struct tide_parcel *parcel, uint32_t interval_s,
                      struct tide_folded *out, size_t max)
{
    size_t count = 0;

    for (uint32_t at = 0; at < parcel->words;) {
        struct tide_fact fact;
        int64_t start_s;
        size_t i = 0;

        at = tide_fact_read(parcel, at, &fact);
        start_s = tide_floor_s(fact.time_us / 1000000, interval_s);
        while (i < count && (out[i].start_s != start_s || out[i].name_len != fact.subject->len ||
                             memcmp(out[i].name, fact.subject->name, fact.subject->len) != 0))
            i++;
        if (i == max)
            abort();
        if (i == count) {
            memcpy(out[i].name, fact.subject->name, fact.subject->len);
            out[i].name[fact.subject->len] = '\0';
            out[i].name_len = fact.subject->len;
            out[i].start_s = start_s;
            tide_record_init(&out[i].record);
            count++;
        }
        tide_record_fold(&out[i].record, &fact.ev, fact.time_us, fact.instance);
    }
    return count;
}

void tide_folded_free(struct tide_folded *folded, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tide_record_fini(&folded[i].record);
}
