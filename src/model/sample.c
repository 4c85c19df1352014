/* sample - see the door. */
#include "tidemark/sample.h"

#include <assert.h>
#include <fnmatch.h>
#include <string.h>

#include "tidemark/event.h"

double tide_sample_share(const struct tide_sample_rules *rules, const char *name, uint32_t len)
{
    char text[TIDE_MODULE_NAME_MAX + 1];

    assert(len <= TIDE_MODULE_NAME_MAX);
    memcpy(text, name, len);
    text[len] = '\0';
    for (size_t i = 0; i < rules->rules; i++)
        if (fnmatch(rules->rule[i].glob, text, 0) == 0)
            return rules->rule[i].share;
    return 1;
}

uint32_t tide_sample_weight(double share, uint64_t hash, uint32_t weight)
{
    double wanted = 1 / share;
    uint32_t floor = (uint32_t)wanted;
    uint64_t whole;

    assert(share >= TIDE_SHARE_MIN && share <= 1);
    if ((double)(hash >> 32) * 0x1p-32 >= share)
        return 0;
    whole = (uint64_t)weight * (floor + ((double)(uint32_t)hash * 0x1p-32 < wanted - floor));
    return whole > UINT32_MAX ? UINT32_MAX : (uint32_t)whole;
}
