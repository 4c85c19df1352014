/* Outcome codes and error text.
 *
 * Every function that can fail returns an enum tide_rc. The first few are answers ("there is none",
 * "not yet"), the rest mean "failed" and travel up unchanged. Text is added at the edges only: the
 * function that met the failure sets it, each frame that knows a better noun wraps it, so a reader
 * sees `open /var/lib/tidemark: map 64 GiB: No space left on device`. The frame that stops the
 * error logs it, once.
 */
#ifndef TIDEMARK_ERR_H
#define TIDEMARK_ERR_H

enum tide_rc {
    TIDE_OK = 0,
    /* answers */
    TIDE_NOT_FOUND, /* there is none */
    TIDE_AGAIN,     /* not yet: more input, or later */
    TIDE_DUPLICATE, /* it is there already */
    /* failures */
    TIDE_MALFORMED,   /* bytes from outside break their format */
    TIDE_TOO_LARGE,   /* over a stated bound */
    TIDE_USAGE,       /* the caller's words are off (exit 2) */
    TIDE_CONFIG,      /* bad configuration (exit 78) */
    TIDE_NO_MEMORY,   /* an allocation failed */
    TIDE_LOCKED,      /* another process holds the data directory (exit 69) */
    TIDE_UNAVAILABLE, /* a peer or a service is not there (exit 69) */
    TIDE_REFUSED,     /* a peer does not let us in, or is not who it should be */
    TIDE_SCHEMA,      /* the store has another schema version */
    TIDE_DAMAGED,     /* stored bytes fail their checksum or their invariants */
    TIDE_DISK_FULL,   /* no space left (exit 74) */
    TIDE_IO,          /* the system refused to read or write (exit 74) */
    TIDE_IN_DOUBT,    /* a commit may or may not have happened; reopen and compare commit_seq */
    TIDE_STOPPED,     /* asked to stop before it was done */
    TIDE_RC_COUNT
};

#define TIDE_ERR_SIZE 1024

struct tide_err {
    char text[TIDE_ERR_SIZE]; /* one line without its newline; "" when nothing was said */
};

/* Replaces the text. err may be NULL. */
void tide_err_set(struct tide_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "<formatted>: " in front of the text. err may be NULL. */
void tide_err_wrap(struct tide_err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A few words for a code, never NULL: "disk full". */
const char *tide_rc_text(enum tide_rc rc);

/* The process exit code that a failure deserves: 0, 1, 2, 69, 74 or 78. */
int tide_rc_exit(enum tide_rc rc);

#endif
