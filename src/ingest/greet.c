/* TLS, then HELO, PING, PONG: nothing of a connection is taken for a request before.
 *
 *   accepted --> TLS handshake --> HELO said --> PING good: PONG true, requests
 *      '--- without a certificate --'    '----> PING bad: 1 s, PONG false, closed
 *
 * HELO is said only when there is a key: some clients never recover from one they did not expect.
 * A wrong key is answered late, so that guessing costs the guesser time and us none: the connection
 * just lies there. Whoever is through is known by name, and that name, not its address, is its part
 * of a chunk's identity: a retry may come from anywhere.
 */
#include "greet.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "tidemark/counter.h"
#include "tidemark/hash.h"
#include "tidemark/log.h"
#include "link.h"
#include "shard.h"

#define TIDE_SHOWN_MAX 64 /* characters of a name in the log */

bool tide_greet_new(struct tide_conn *conn, struct tide_access **access)
{
    conn->greeting = calloc(1, sizeof(*conn->greeting));
    if (!conn->greeting)
        return false;
    conn->greeting->access = *access;
    *access = NULL;
    return true;
}

void tide_greet_release(struct tide_conn *conn)
{
    if (!conn->greeting)
        return;
    tide_access_put(&conn->greeting->access);
    free(conn->greeting);
    conn->greeting = NULL;
}

bool tide_greet_secret(const struct tide_conn *conn)
{
    return conn->greeting && conn->greeting->stage == TIDE_GREET_TLS;
}

/* The link is as it should be: asks for the key, if there is one. */
static void say_helo(struct tide_conn *conn)
{
    struct tide_greeting *greeting = conn->greeting;
    bool users = greeting->access->users > 0;
    uint8_t helo[TIDE_HELO_SIZE];
    size_t len;

    if (greeting->access->key.len == 0) {
        tide_greet_release(conn);
        return;
    }
    greeting->stage = TIDE_GREET_PING;
    tide_random(greeting->nonce, sizeof(greeting->nonce));
    if (users)
        tide_random(greeting->auth, sizeof(greeting->auth));
    len = tide_helo_write(helo, greeting->nonce, users ? greeting->auth : NULL);
    tide_ack_say(conn, helo, len);
}

void tide_greet_begin(struct tide_conn *conn)
{
    struct tide_greeting *greeting = conn->greeting;

    if (!greeting->access->tls) {
        say_helo(conn);
        return;
    }
    greeting->stage = TIDE_GREET_TLS;
    if (!tide_link_start_tls(conn, greeting->access))
        conn->doomed = true;
}

/* ---- TLS ---- */

static void refuse_plain(struct tide_conn *conn, uint8_t first)
{
    static struct tide_log_gate gate;
    enum tide_speech speech = tide_speech_of(first);
    const bool forward = speech == TIDE_SPEECH_MSGPACK || speech == TIDE_SPEECH_JSON;

    tide_count(TIDE_COUNT_CLOSED_FOREIGN, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest", "peer %s closed: %s on the TLS port%s",
                   conn->peer,
                   forward                      ? "plain Forward"
                   : speech == TIDE_SPEECH_HTTP ? "HTTP"
                                                : "something else than TLS",
                   forward ? "; switch TLS on in the client" : "");
    tide_conn_end(conn);
}

/* Looks at the first byte without taking it. False: there is nothing to go on with. */
static bool sniff(struct tide_conn *conn)
{
    uint8_t first;
    ssize_t got = recv(conn->fd, &first, 1, MSG_PEEK);

    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            conn->doomed = true;
        return false;
    }
    if (got == 0) { /* a probe: connected, and thought better of it */
        conn->eof = true;
        tide_conn_end(conn);
        return false;
    }
    if (tide_speech_of(first) != TIDE_SPEECH_TLS) {
        refuse_plain(conn, first);
        return false;
    }
    conn->greeting->sniffed = true;
    return true;
}

void tide_greet_step(struct tide_conn *conn)
{
    static struct tide_log_gate gate;
    struct tide_err err = {""};
    bool write = false;

    if (!conn->greeting->sniffed && !sniff(conn))
        return;
    switch (tide_link_shake_hands(conn, &write, &err)) {
    case TIDE_OK:
        write = false;
        say_helo(conn);
        break;
    case TIDE_AGAIN:
        break;
    default:
        tide_count(TIDE_COUNT_HANDSHAKES_TLS, 1);
        tide_log_gated(&gate, TIDE_WARNING, "ingest", "peer %s closed: TLS handshake: %s",
                       conn->peer, err.text);
        conn->doomed = true;
        return;
    }
    if (write)
        tide_ack_watch(conn);
    else if (!conn->doomed && tide_ack_idle(conn))
        tide_ack_unwatch(conn);
}

/* ---- PING ---- */

/* A name as the peer gave it, fit for a log line. */
static const char *shown(const struct tide_text *name, char text[TIDE_SHOWN_MAX + 1])
{
    size_t len = name->len < TIDE_SHOWN_MAX ? name->len : TIDE_SHOWN_MAX;

    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)name->start[i];

        text[i] = byte > ' ' && byte < 0x7f ? (char)byte : '?';
    }
    text[len] = '\0';
    return text;
}

static void refuse(struct tide_conn *conn, const struct tide_ping *ping, const char *why)
{
    static struct tide_log_gate gate;
    char host[TIDE_SHOWN_MAX + 1], user[TIDE_SHOWN_MAX + 1];

    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s refused: %s (it says it is host \"%s\", user \"%s\")", conn->peer, why,
                   shown(&ping->hostname, host), shown(&ping->user, user));
    tide_conn_end(conn);
    conn->penalty = TIDE_PENALTY_TICKS;
    conn->farewell = why;
}

void tide_greet_farewell(struct tide_conn *conn)
{
    uint8_t pong[TIDE_PONG_SIZE];

    tide_ack_say(conn, pong, tide_pong_refuse(pong, conn->farewell));
    tide_conn_settle(conn);
}

/* Clients refuse a server that has their own name: they think they talk to themselves. */
static struct tide_text server_name(const struct tide_access *access, const struct tide_ping *ping)
{
    const char *const name[] = {access->server, "tidemark", "tidemarkd"};
    size_t i = 0;

    while (strlen(name[i]) == ping->hostname.len &&
           memcmp(name[i], ping->hostname.start, ping->hostname.len) == 0)
        i++; /* it has one name: at most twice */
    return (struct tide_text){name[i], (uint32_t)strlen(name[i])};
}

/* Its part of a chunk's identity: a length that no address has, so a name is never one. */
static void know(struct tide_conn *conn, const struct tide_ping *ping)
{
    const bool users = conn->greeting->access->users > 0;
    struct tide_hash_part part[] = {{ping->hostname.start, ping->hostname.len},
                                    {ping->user.start, users ? ping->user.len : 0}};
    struct tide_hash128 hash =
        tide_hash128_parts(conn->shard->cfg->identity_seed, part, sizeof(part) / sizeof(part[0]));

    static_assert(sizeof(conn->identity) == 1 + sizeof(hash), "one byte says it is a name");
    conn->identity[0] = 'n';
    memcpy(conn->identity + 1, &hash.low, sizeof(hash.low));
    memcpy(conn->identity + 1 + sizeof(hash.low), &hash.high, sizeof(hash.high));
    conn->identity_len = sizeof(conn->identity);
}

/* An unknown user costs as much as a wrong password. */
static bool user_is_known(const struct tide_greeting *greeting, const struct tide_ping *ping)
{
    static const struct tide_user nobody = {.password = {"", 0}};
    const struct tide_user *user = tide_access_find(greeting->access, &ping->user);
    bool right = tide_ping_knows_password(ping, greeting->auth, &(user ? user : &nobody)->password);

    return user && right;
}

void tide_greet_ping(struct tide_conn *conn, const uint8_t *frame, size_t len)
{
    static struct tide_log_gate gate;
    struct tide_greeting *greeting = conn->greeting;
    struct tide_access *access = greeting->access;
    uint8_t pong[TIDE_PONG_SIZE];
    struct tide_text server;
    struct tide_ping ping;

    assert(greeting->stage == TIDE_GREET_PING);
    if (tide_ping_parse(frame, len, &ping) != TIDE_OK) {
        tide_count(TIDE_COUNT_HANDSHAKES_MALFORMED, 1);
        tide_log_gated(
            &gate, TIDE_WARNING, "ingest",
            "peer %s closed: its first message is no PING; give the client the shared key",
            conn->peer);
        tide_conn_end(conn);
        return;
    }
    if (!tide_ping_knows_key(&ping, greeting->nonce, &access->key)) {
        tide_count(TIDE_COUNT_HANDSHAKES_KEY, 1);
        refuse(conn, &ping, "shared_key mismatch");
        return;
    }
    if (access->users > 0 && !user_is_known(greeting, &ping)) {
        tide_count(TIDE_COUNT_HANDSHAKES_USER, 1);
        refuse(conn, &ping, "username/password mismatch");
        return;
    }
    know(conn, &ping);
    server = server_name(access, &ping);
    tide_count(TIDE_COUNT_HANDSHAKES, 1);
    tide_ack_say(conn, pong,
                 tide_pong_welcome(pong, &ping, greeting->nonce, &server, &access->key));
    tide_greet_release(conn);
}

void tide_greet_refuse_noise(struct tide_conn *conn)
{
    static struct tide_log_gate gate;

    tide_count(TIDE_COUNT_HANDSHAKES_MALFORMED, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: what it sent first is no PING of at most %d bytes", conn->peer,
                   TIDE_PING_MAX);
    tide_conn_end(conn);
}

void tide_greet_refuse_late(struct tide_conn *conn)
{
    static struct tide_log_gate gate;
    const bool secret = tide_greet_secret(conn);

    tide_count(TIDE_COUNT_HANDSHAKES_LATE, 1);
    tide_log_gated(&gate, TIDE_WARNING, "ingest",
                   "peer %s closed: no %s within ingest.handshake_timeout_s (%u)%s", conn->peer,
                   secret ? "TLS handshake" : "PING", conn->shard->cfg->handshake_timeout_s,
                   secret ? "" : "; give the client the shared key");
    if (secret)
        conn->doomed = true;
    else
        tide_conn_end(conn);
    tide_conn_settle(conn);
}
