/* The calls that a store makes into LMDB, on their way through the test: included once in a
 * program, it defines them and passes them on to the library, unless `interpose` says otherwise.
 */
#ifndef STORAGE_TEST_INTERPOSE_H
#define STORAGE_TEST_INTERPOSE_H

#include <dlfcn.h>
#include <lmdb.h>
#include <stddef.h>

enum interposed {
    CALL_TXN_BEGIN,
    CALL_TXN_COMMIT,
    CALL_PUT,
    CALL_DEL,
    CALL_CURSOR_OPEN,
    CALL_CURSOR_GET,
    CALL_CURSOR_DEL
};

/* Asked before a call: 0 lets it pass, anything else is returned instead. And told after one that
 * passed, with what it returned; returns what the caller shall get. NULL: not asked. */
static int (*interpose_before)(enum interposed call);
static int (*interpose_after)(enum interposed call, int code);

static void *interposed_next(const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);

    if (!next)
        __builtin_trap();
    return next;
}

#define INTERPOSE(call, name, parameters, arguments, on_refusal)     \
    int name parameters                                              \
    {                                                                \
        static int(*next) parameters;                                \
        int code = interpose_before ? interpose_before(call) : 0;    \
                                                                     \
        if (!next)                                                   \
            *(void **)&next = interposed_next(#name);                \
        if (code) {                                                  \
            on_refusal;                                              \
            return code;                                             \
        }                                                            \
        code = next arguments;                                       \
        return interpose_after ? interpose_after(call, code) : code; \
    }

INTERPOSE(CALL_TXN_BEGIN, mdb_txn_begin,
          (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **txn),
          (env, parent, flags, txn), (void)0)
INTERPOSE(CALL_TXN_COMMIT, mdb_txn_commit, (MDB_txn * txn), (txn), mdb_txn_abort(txn))
INTERPOSE(CALL_PUT, mdb_put,
          (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
          (txn, dbi, key, value, flags), (void)0)
INTERPOSE(CALL_DEL, mdb_del, (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value), (void)0)
INTERPOSE(CALL_CURSOR_OPEN, mdb_cursor_open, (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor),
          (txn, dbi, cursor), (void)0)
INTERPOSE(CALL_CURSOR_GET, mdb_cursor_get,
          (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op op),
          (cursor, key, value, op), (void)0)
INTERPOSE(CALL_CURSOR_DEL, mdb_cursor_del, (MDB_cursor * cursor, unsigned flags), (cursor, flags),
          (void)0)

#undef INTERPOSE

/* Told when an environment was closed. */
static void (*interpose_closed)(void);

void mdb_env_close(MDB_env *env)
{
    static void (*next)(MDB_env *);

    if (!next)
        *(void **)&next = interposed_next("mdb_env_close");
    next(env);
    if (interpose_closed)
        interpose_closed();
}

#endif
