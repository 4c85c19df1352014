/* Questions over a year, and what deleting old history costs.
 */
#include "bench_storage.h"

#include <math.h>

enum tide_rc tide_bench_year(struct tide_bench *bench)
{
    struct tide_figure aggregate = {.name = "year_aggregate",
                                    .text = "one aggregate over a year, any range",
                                    .unit = TIDE_UNIT_MS,
                                    .value = (double)NAN,
                                    .target = 1},
                       retention = {.name = "retention_worst",
                                    .text = "worst stall by a slice of retention",
                                    .unit = TIDE_UNIT_MS,
                                    .value = (double)NAN,
                                    .target = 10,
                                    .limit = "1.5-5 ms"};

    tide_figures_add(&bench->figures, &aggregate, "the store has no coarser tiers");
    tide_figures_add(&bench->figures, &retention, "the store does not delete history");
    return TIDE_OK;
}
