/* The files that say who may send, read and checked as a whole: whatever is wrong with one of them
 * is told with its key and its name, and what was in force before stays in force. Keys and
 * passwords are wiped before their memory is given back.
 */
#include "access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tidemark/log.h"
#include "tidemark/secret.h"
#include "tidemark/wire.h"
#include "link.h"

static enum tide_rc read_file(const char *key, const char *name, char **ret, size_t *ret_len,
                              struct tide_err *err)
{
    enum tide_rc rc = tide_secret_read(name, TIDE_ACCESS_BYTES, ret, ret_len, err);

    if (rc)
        tide_err_wrap(err, "%s %s", key, name);
    return rc;
}

static enum tide_rc read_key(struct tide_access *access, const char *name, struct tide_err *err)
{
    enum tide_rc rc;
    size_t len;

    rc = read_file("auth.shared_key_file", name, &access->key_text, &access->key_size, err);
    if (rc)
        return rc;
    len = tide_secret_only_line(access->key_text, access->key_size);
    if (len == 0) {
        tide_err_set(err, "auth.shared_key_file %s: expected one line of 1 to %d bytes, the key",
                     name, TIDE_SECRET_MAX);
        return TIDE_CONFIG;
    }
    access->key = (struct tide_text){access->key_text, (uint32_t)len};
    return TIDE_OK;
}

static int compare_users(const void *left, const void *right)
{
    const struct tide_text *a = &((const struct tide_user *)left)->name;
    const struct tide_text *b = &((const struct tide_user *)right)->name;
    int order = memcmp(a->start, b->start, a->len < b->len ? a->len : b->len);

    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* One line of the users' file; *ret_taken: it names a user. False: it is neither that nor nothing.
 */
static bool read_user(const char *line, size_t len, struct tide_user *ret, bool *ret_taken)
{
    const char *colon = memchr(line, ':', len);

    *ret_taken = false;
    if (len == 0 || line[0] == '#')
        return true;
    if (!colon || colon == line || (size_t)(colon - line) > TIDE_PEER_NAME_MAX)
        return false;
    ret->name = (struct tide_text){line, (uint32_t)(colon - line)};
    len -= ret->name.len + 1;
    if (len == 0 || len > TIDE_SECRET_MAX)
        return false;
    ret->password = (struct tide_text){colon + 1, (uint32_t)len};
    *ret_taken = true;
    return true;
}

static enum tide_rc read_users(struct tide_access *access, const char *name, struct tide_err *err)
{
    static const char key[] = "auth.users_file";
    const char *line, *end;
    unsigned number = 1;
    enum tide_rc rc;

    rc = read_file(key, name, &access->users_text, &access->users_size, err);
    if (rc)
        return rc;
    access->user = calloc(TIDE_USERS_MAX, sizeof(*access->user));
    if (!access->user) {
        tide_err_set(err, "%s %s: out of memory", key, name);
        return TIDE_NO_MEMORY;
    }
    end = access->users_text + access->users_size;
    for (line = access->users_text; line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct tide_user user;
        bool taken;

        if (!read_user(line, tide_secret_line(line, (size_t)(end - line)), &user, &taken)) {
            tide_err_set(err, "%s %s:%u: expected name:password, a name of at most %d bytes", key,
                         name, number, TIDE_PEER_NAME_MAX);
            return TIDE_CONFIG;
        }
        if (taken && access->users == TIDE_USERS_MAX) {
            tide_err_set(err, "%s %s:%u: expected at most %d users", key, name, number,
                         TIDE_USERS_MAX);
            return TIDE_CONFIG;
        }
        if (taken)
            access->user[access->users++] = user;
        line = stop ? stop + 1 : end;
    }
    if (access->users == 0) {
        tide_err_set(err, "%s %s: expected at least one line name:password", key, name);
        return TIDE_CONFIG;
    }
    qsort(access->user, access->users, sizeof(*access->user), compare_users);
    for (size_t i = 1; i < access->users; i++) {
        const struct tide_text *twice = &access->user[i].name;

        if (compare_users(&access->user[i - 1], &access->user[i]) == 0) {
            tide_err_set(err, "%s %s: user %.*s is there twice", key, name, (int)twice->len,
                         twice->start);
            return TIDE_CONFIG;
        }
    }
    return TIDE_OK;
}

enum tide_rc tide_access_open(const struct tide_access_cfg *cfg, struct tide_access **ret,
                              struct tide_err *err)
{
    struct tide_access *access = calloc(1, sizeof(*access));
    enum tide_rc rc = TIDE_OK;

    if (!access)
        return TIDE_NO_MEMORY;
    atomic_init(&access->holders, 1);
    if (gethostname(access->server, sizeof(access->server) - 1) != 0 || !access->server[0])
        strcpy(access->server, "tidemark");
    if (cfg->users_file[0] && !cfg->shared_key_file[0]) {
        tide_err_set(err, "auth.users_file: users are asked for in the handshake, which needs a "
                          "key; expected auth.shared_key_file, too");
        rc = TIDE_CONFIG;
    }
    if (!rc && cfg->shared_key_file[0])
        rc = read_key(access, cfg->shared_key_file, err);
    if (!rc && cfg->users_file[0])
        rc = read_users(access, cfg->users_file, err);
    access->tls = cfg->tls;
    if (!rc && cfg->client_ca_file[0])
        rc = tide_link_read_ca(cfg->client_ca_file, access, err);
    if (rc) {
        tide_access_put(&access);
        return rc;
    }
    *ret = access;
    return TIDE_OK;
}

static void warn_of(const char *key, const char *name)
{
    if (name[0] && tide_secret_exposed(name))
        tide_log(TIDE_WARNING, "ingest",
                 "%s %s: every user of this machine can get at it; chmod o= it", key, name);
}

void tide_access_warn(const struct tide_access_cfg *cfg)
{
    warn_of("auth.shared_key_file", cfg->shared_key_file);
    warn_of("auth.users_file", cfg->users_file);
}

void tide_access_put(struct tide_access **access)
{
    struct tide_access *gone = *access;

    *access = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->holders, 1, memory_order_acq_rel) > 1)
        return;
    tide_link_free_ca(gone);
    free(gone->user);
    tide_secret_free(gone->key_text, gone->key_size);
    tide_secret_free(gone->users_text, gone->users_size);
    free(gone);
}

bool tide_access_is_open(const struct tide_access *access)
{
    return access->key.len == 0 && !access->tls;
}

const struct tide_user *tide_access_find(const struct tide_access *access,
                                         const struct tide_text *name)
{
    const struct tide_user wanted = {.name = *name};

    return bsearch(&wanted, access->user, access->users, sizeof(*access->user), compare_users);
}

struct tide_access *tide_access_take(struct tide_access_now *now)
{
    struct tide_access *access;

    pthread_mutex_lock(&now->lock);
    access = now->access;
    atomic_fetch_add_explicit(&access->holders, 1, memory_order_relaxed);
    pthread_mutex_unlock(&now->lock);
    return access;
}

void tide_access_replace(struct tide_access_now *now, struct tide_access *access)
{
    struct tide_access *before;

    pthread_mutex_lock(&now->lock);
    before = now->access;
    now->access = access;
    pthread_mutex_unlock(&now->lock);
    tide_access_put(&before);
}
