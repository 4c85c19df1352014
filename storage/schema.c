/* schema - the version of the file, its fixed identity and its moving state (table meta). A store
 * of another version is refused here; making it one of this version is the business of migrations.
 */
#include "inside.h"

#include <string.h>

#include "tidemark/bytes.h"
#include "tidemark/hash.h"
#include "tidemark/raw.h"
#include "tidemark/tier.h"

static const char identity_key[] = "identity";
static const char state_key[] = "state";
static const char fold_key[] = "fold";

#define IDENTITY_SIZE (4 + 16 + 4 + 8 + 8)
#define STATE_MAX \
    ((size_t)TIDE_VARINT_MAX * (16 + TIDE_ENTRY_REASON_COUNT + TIDE_CHUNK_REASON_COUNT))

/* ---- state ---- */

void schema_put_state(struct txn *txn, const struct store_state *state)
{
    uint8_t value[STATE_MAX], *to = value;
    const struct tide_ledger *ledger = &state->ledger;

    to = tide_put_varint(to, state->commit_seq);
    to = tide_put_varint(to, (uint64_t)state->sealed_upto_s);
    to = tide_put_varint(to, ledger->received);
    to = tide_put_varint(to, ledger->stored);
    to = tide_put_varint(to, ledger->late);
    to = tide_put_varint(to, ledger->duplicate);
    to = tide_put_varint(to, ledger->sampled);
    to = tide_put_varint(to, ledger->skewed);
    to = tide_put_varint(to, ledger->chunks_committed);
    to = tide_put_varint(to, ledger->chunks_duplicate);
    to = tide_put_varint(to, TIDE_ENTRY_REASON_COUNT);
    for (int i = 0; i < TIDE_ENTRY_REASON_COUNT; i++)
        to = tide_put_varint(to, ledger->rejected[i]);
    to = tide_put_varint(to, TIDE_CHUNK_REASON_COUNT);
    for (int i = 0; i < TIDE_CHUNK_REASON_COUNT; i++)
        to = tide_put_varint(to, ledger->chunks_rejected[i]);
    txn_put(txn, TABLE_META, state_key, sizeof(state_key) - 1, value, (size_t)(to - value), 0);
}

static bool get_counts(const uint8_t **at, const uint8_t *end, uint64_t *count, uint64_t known)
{
    uint64_t stored;

    if (!tide_get_varint(at, end, &stored) || stored > known)
        return false;
    for (uint64_t i = 0; i < stored; i++)
        if (!tide_get_varint(at, end, &count[i]))
            return false;
    return true;
}

bool schema_decode_state(const uint8_t *at, size_t len, struct store_state *ret)
{
    const uint8_t *end = at + len;
    struct store_state state = {0};
    struct tide_ledger *ledger = &state.ledger;
    uint64_t sealed;

    if (!tide_get_varint(&at, end, &state.commit_seq) || !tide_get_varint(&at, end, &sealed) ||
        !tide_get_varint(&at, end, &ledger->received) ||
        !tide_get_varint(&at, end, &ledger->stored) || !tide_get_varint(&at, end, &ledger->late) ||
        !tide_get_varint(&at, end, &ledger->duplicate) ||
        !tide_get_varint(&at, end, &ledger->sampled) ||
        !tide_get_varint(&at, end, &ledger->skewed) ||
        !tide_get_varint(&at, end, &ledger->chunks_committed) ||
        !tide_get_varint(&at, end, &ledger->chunks_duplicate) ||
        !get_counts(&at, end, ledger->rejected, TIDE_ENTRY_REASON_COUNT) ||
        !get_counts(&at, end, ledger->chunks_rejected, TIDE_CHUNK_REASON_COUNT) || at != end ||
        sealed > INT64_MAX / 1000000)
        return false;
    state.sealed_upto_s = (int64_t)sealed;
    *ret = state;
    return true;
}

/* ---- how far the fold is ---- */

void schema_put_fold(struct txn *txn, const struct fold_state *fold)
{
    uint8_t value[TIDE_VARINT_MAX * (5 + TIDE_TIER_COUNT)], *to = value;

    to = tide_put_varint(to, fold->seq);
    to = tide_put_varint(to, (uint64_t)fold->hours_upto_s);
    to = tide_put_varint(to, (uint64_t)fold->days_upto_s);
    to = tide_put_varint(to, (uint64_t)fold->folding_upto_s);
    to = tide_put_varint(to, fold->refold_seq);
    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        to = tide_put_varint(to, (uint64_t)fold->evicted_upto_s[tier]);
    txn_put(txn, TABLE_META, fold_key, sizeof(fold_key) - 1, value, (size_t)(to - value), 0);
}

static bool get_time(const uint8_t **at, const uint8_t *end, int64_t *ret_s)
{
    uint64_t value;

    if (!tide_get_varint(at, end, &value) || value > INT64_MAX / 1000000)
        return false;
    *ret_s = (int64_t)value;
    return true;
}

bool schema_decode_fold(const uint8_t *at, size_t len, struct fold_state *ret)
{
    const uint8_t *end = at + len;
    struct fold_state fold = {0};

    if (!tide_get_varint(&at, end, &fold.seq) || !get_time(&at, end, &fold.hours_upto_s) ||
        !get_time(&at, end, &fold.days_upto_s) || !get_time(&at, end, &fold.folding_upto_s) ||
        !tide_get_varint(&at, end, &fold.refold_seq))
        return false;
    for (int tier = 0; tier < TIDE_TIER_COUNT; tier++)
        if (!get_time(&at, end, &fold.evicted_upto_s[tier]))
            return false;
    *ret = fold;
    return at == end;
}

enum tide_rc schema_get_fold(MDB_txn *txn, MDB_dbi meta, struct fold_state *ret)
{
    MDB_val key = {sizeof(fold_key) - 1, (void *)fold_key}, value;
    size_t len;
    int code = mdb_get(txn, meta, &key, &value);

    *ret = (struct fold_state){0};
    if (code == MDB_NOTFOUND)
        return TIDE_OK; /* nothing was folded yet */
    if (code)
        return tide_rc_from_lmdb(code);
    if (!value_sound(&key, &value, &len) || !schema_decode_fold(value.mv_data, len, ret))
        return TIDE_DAMAGED;
    return TIDE_OK;
}

/* ---- identity ---- */

static void encode_identity(uint8_t value[IDENTITY_SIZE], const struct store_identity *identity)
{
    tide_put_be32(value, TIDE_STORE_SCHEMA);
    memcpy(value + 4, identity->uuid, 16);
    tide_put_be32(value + 20, identity->interval_s);
    tide_put_be64(value + 24, identity->instance_seed);
    tide_put_be64(value + 32, identity->identity_seed);
}

bool schema_decode_identity(const uint8_t *value, size_t len, struct store_identity *ret,
                            uint32_t *ret_schema)
{
    if (len < 4)
        return false;
    *ret_schema = tide_get_be32(value);
    if (*ret_schema != TIDE_STORE_SCHEMA || len != IDENTITY_SIZE)
        return false;
    memcpy(ret->uuid, value + 4, 16);
    ret->interval_s = tide_get_be32(value + 20);
    ret->instance_seed = tide_get_be64(value + 24);
    ret->identity_seed = tide_get_be64(value + 32);
    return true;
}

void schema_refuse(uint32_t schema, struct tide_err *err)
{
    if (schema & TIDE_RAW_UNDER_WAY)
        tide_err_set(err,
                     "a migration of this store to schema %u was begun and is not finished; "
                     "'tidemark migrate' goes on with it",
                     schema & ~TIDE_RAW_UNDER_WAY);
    else if (schema > TIDE_STORE_SCHEMA)
        tide_err_set(err,
                     "the store has schema %u, made by a newer tidemark; this one knows %u and "
                     "older: use the newer one",
                     schema, TIDE_STORE_SCHEMA);
    else
        tide_err_set(err,
                     "the store has schema %u, of an older tidemark; 'tidemark migrate' makes a "
                     "backup of it and brings it to schema %u",
                     schema, TIDE_STORE_SCHEMA);
}

static void create(struct tide_store *store, struct txn *txn)
{
    uint8_t value[IDENTITY_SIZE];

    store->identity.interval_s = store->cfg.interval_s;
    tide_random(store->identity.uuid, sizeof(store->identity.uuid));
    store->identity.instance_seed = store->cfg.instance_seed;
    if (!store->identity.instance_seed)
        tide_random(&store->identity.instance_seed, sizeof(store->identity.instance_seed));
    tide_random(&store->identity.identity_seed, sizeof(store->identity.identity_seed));
    encode_identity(value, &store->identity);
    txn_put(txn, TABLE_META, identity_key, sizeof(identity_key) - 1, value, sizeof(value), 0);
    schema_put_state(txn, &store->state);
}

/* Reads one meta value; *ret_len 0 when it is not there. */
static enum tide_rc read_meta(struct txn *txn, const char *name, const uint8_t **ret_value,
                              size_t *ret_len, struct tide_err *err)
{
    MDB_val key = {strlen(name), (void *)name}, value;
    int code = mdb_get(txn->mdb, txn->dbi[TABLE_META], &key, &value);

    *ret_len = 0;
    if (code == MDB_NOTFOUND)
        return TIDE_OK;
    if (code) {
        tide_err_set(err, "read %s: %s", name, mdb_strerror(code));
        return tide_rc_from_lmdb(code);
    }
    if (!value_sound(&key, &value, ret_len)) {
        tide_err_set(err, "the store's %s fails its checksum; restore a backup", name);
        return TIDE_DAMAGED;
    }
    *ret_value = value.mv_data;
    return TIDE_OK;
}

static enum tide_rc read_all(struct tide_store *store, struct txn *txn, bool *ret_fresh,
                             struct tide_err *err)
{
    const uint8_t *value = NULL;
    uint32_t schema = 0;
    enum tide_rc rc;
    size_t len;

    *ret_fresh = false;
    if ((rc = read_meta(txn, identity_key, &value, &len, err)))
        return rc;
    if (len == 0) {
        *ret_fresh = true;
        return TIDE_OK;
    }
    if (!schema_decode_identity(value, len, &store->identity, &schema)) {
        if (schema != TIDE_STORE_SCHEMA) {
            schema_refuse(schema, err);
            return TIDE_SCHEMA;
        }
        tide_err_set(err, "the store's identity has %zu bytes instead of %d", len, IDENTITY_SIZE);
        return TIDE_DAMAGED;
    }
    if (!tide_interval_valid(store->identity.interval_s)) {
        tide_err_set(err, "the store's interval of %u s is none", store->identity.interval_s);
        return TIDE_DAMAGED;
    }
    if (store->identity.interval_s != store->cfg.interval_s) {
        tide_err_set(err,
                     "the store was created with aggregation.interval_s %u and cannot be opened "
                     "with %u; set it back, "
                     "or choose another data directory",
                     store->identity.interval_s, store->cfg.interval_s);
        return TIDE_CONFIG;
    }
    if ((rc = read_meta(txn, state_key, &value, &len, err)))
        return rc;
    if (len == 0 || !schema_decode_state(value, len, &store->state)) {
        tide_err_set(err, "the store's state cannot be read");
        return TIDE_DAMAGED;
    }
    if ((rc = schema_get_fold(txn->mdb, txn->dbi[TABLE_META], &store->fold))) {
        tide_err_set(err, "how far the store is folded cannot be read");
        return rc;
    }
    return TIDE_OK;
}

static const char *const table_name[TABLE_COUNT] = {
    [TABLE_META] = "meta",         [TABLE_JOURNAL] = "journal",   [TABLE_IDENTITY] = "identity",
    [TABLE_MODULE] = "module",     [TABLE_ROW] = "row",           [TABLE_CORRECTION] = "correction",
    [TABLE_EVENT_ID] = "event_id", [TABLE_PRODUCER] = "producer", [TABLE_CHUNK_RAW] = "chunk_raw",
    [TABLE_CHUNK_5M] = "chunk_5m", [TABLE_CHUNK_1H] = "chunk_1h", [TABLE_CHUNK_1D] = "chunk_1d",
};

const char *schema_table_name(enum table table)
{
    return table_name[table];
}

enum tide_rc schema_read(struct tide_store *store, MDB_txn *mdb, struct tide_err *err)
{
    struct txn txn = {.mdb = mdb, .dbi = store->dbi};
    const uint8_t *value = NULL;
    struct store_identity identity;
    uint32_t schema;
    enum tide_rc rc;
    size_t len;
    bool fresh;

    if (!(rc = read_meta(&txn, identity_key, &value, &len, err)) && len &&
        schema_decode_identity(value, len, &identity, &schema))
        store->cfg.interval_s = identity.interval_s;
    if (rc || (rc = read_all(store, &txn, &fresh, err)) || !fresh)
        return rc;
    tide_err_set(err, "the store has no identity; restore a backup");
    return TIDE_DAMAGED;
}

enum tide_rc schema_open(struct tide_store *store, struct tide_err *err)
{
    struct txn txn;
    enum tide_rc rc;
    bool fresh;

    txn_begin(&txn, store->env, store->dbi, true);
    for (int i = 0; i < TABLE_COUNT && !txn.rc; i++) {
        txn.lmdb = mdb_dbi_open(txn.mdb, table_name[i], MDB_CREATE, &store->dbi[i]);
        txn.rc = tide_rc_from_lmdb(txn.lmdb);
    }
    if (!txn.rc && (rc = read_all(store, &txn, &fresh, err))) {
        txn_abort(&txn);
        return rc;
    }
    if (!txn.rc && fresh)
        create(store, &txn);
    return txn_end(&txn, err);
}
