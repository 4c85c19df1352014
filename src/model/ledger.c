/* ledger - sums and names of the books. */
#include "tidemark/ledger.h"

#include <assert.h>

#define TIDE_X(id, name) name,
static const char *const entry_reason[] = {TIDE_ENTRY_REASONS(TIDE_X)};
static const char *const chunk_reason[] = {TIDE_CHUNK_REASONS(TIDE_X)};
#undef TIDE_X

void tide_ledger_add(struct tide_ledger *into, const struct tide_ledger *from)
{
    into->received += from->received;
    into->stored += from->stored;
    into->late += from->late;
    into->duplicate += from->duplicate;
    into->sampled += from->sampled;
    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        into->rejected[i] += from->rejected[i];
    into->skewed += from->skewed;
    into->chunks_committed += from->chunks_committed;
    into->chunks_duplicate += from->chunks_duplicate;
    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        into->chunks_rejected[i] += from->chunks_rejected[i];
}

uint64_t tide_ledger_rejected(const struct tide_ledger *ledger)
{
    uint64_t sum = 0;

    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        sum += ledger->rejected[i];
    return sum;
}

uint64_t tide_ledger_chunks_rejected(const struct tide_ledger *ledger)
{
    uint64_t sum = 0;

    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        sum += ledger->chunks_rejected[i];
    return sum;
}

_Bool tide_ledger_balanced(const struct tide_ledger *ledger)
{
    return ledger->received == ledger->stored + ledger->late + ledger->duplicate + ledger->sampled +
                                   tide_ledger_rejected(ledger);
}

const char *tide_entry_reason_name(enum tide_entry_reason reason)
{
    assert(reason < TIDE_ENTRY_REASON_COUNT);
    return entry_reason[reason];
}

const char *tide_chunk_reason_name(enum tide_chunk_reason reason)
{
    assert(reason < TIDE_CHUNK_REASON_COUNT);
    return chunk_reason[reason];
}
