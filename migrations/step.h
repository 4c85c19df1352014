/* step - what a migration is: one function that does a bounded piece of work in the transaction at
 * hand and says whether there is more. It sees the store through tidemark/raw.h only and brings its
 * own copy of the layouts it reads and writes; from the day it ships it does not change.
 */
#ifndef MIGRATIONS_STEP_H
#define MIGRATIONS_STEP_H

#include <stdbool.h>
#include <stdint.h>
#include "tidemark/migrate.h"
#include "tidemark/raw.h"

struct tide_step_work {
    struct tide_raw *raw;
    unsigned budget;             /* values to look at, about */
    struct tide_raw_item *place; /* where it is: kept between transactions and runs */
    uint64_t looked, changed;    /* in this call */
    bool done;                   /* there is no more to do */
};

struct tide_step {
    struct tide_migration told;
    /* Goes on from work->place (key_len 0: the beginning). What it puts commits together with the
     * place it has got to, so a step need not be able to meet its own work. TIDE_DAMAGED, with a
     * sentence: a value is not what the old schema promises. */
    enum tide_rc (*run)(struct tide_step_work *work, struct tide_err *err);
};

extern const struct tide_step tide_m0002_clear_fleet_cpu;

#endif
