#include "tidemark/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <openssl/ssl.h>

#include "cert.h"
#include "dir.h"

static char dir[256], cert[512], key[512];

static int setup(void **state)
{
    (void)state;
    tide_test_dir(dir, sizeof(dir));
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    cert_write(cert, key, "first", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tide_test_dir_remove(dir);
    return 0;
}

/* Client and server over memory, until both are done; the name in the certificate that was shown.
 */
static void shown_name(SSL *server, char *ret, int size)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *client = SSL_new(ctx);
    BIO *up, *down;
    X509 *seen;

    assert_int_equal(BIO_new_bio_pair(&up, 0, &down, 0), 1);
    SSL_set_bio(client, up, up);
    SSL_set_bio(server, down, down);
    SSL_set_connect_state(client);
    for (int i = 0; i < 10 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
         i++) {
        SSL_do_handshake(client);
        SSL_do_handshake(server);
    }
    assert_true(SSL_is_init_finished(client) && SSL_is_init_finished(server));
    assert_true(SSL_version(client) >= TLS1_2_VERSION);
    seen = SSL_get1_peer_certificate(client);
    assert_non_null(seen);
    X509_NAME_get_text_by_NID(X509_get_subject_name(seen), NID_commonName, ret, size);
    X509_free(seen);
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ctx);
}

static void assert_shows(struct tide_tls *tls, const char *name)
{
    SSL *server = tide_tls_session(tls);
    char shown[64] = "";

    assert_non_null(server);
    shown_name(server, shown, sizeof(shown));
    assert_string_equal(shown, name);
}

static void a_reload_takes_the_new_pair_and_a_bad_one_changes_nothing(void **state)
{
    struct tide_err err = {""};
    struct tide_tls *tls;
    SSL *early;
    char shown[64], other[512];

    (void)state;
    assert_int_equal(tide_tls_open(cert, key, &tls, &err), TIDE_OK);
    assert_shows(tls, "first");
    early = tide_tls_session(tls);
    cert_write(cert, key, "second", NULL);
    assert_shows(tls, "first"); /* files are looked at when told to */
    assert_int_equal(tide_tls_reload(tls, &err), TIDE_OK);
    assert_shows(tls, "second");
    shown_name(early, shown, sizeof(shown)); /* began before, ends as it began */
    assert_string_equal(shown, "first");

    snprintf(other, sizeof(other), "%s/other.pem", dir);
    cert_write(cert, other, "third", NULL); /* a certificate without its key */
    assert_int_equal(tide_tls_reload(tls, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, key));
    assert_shows(tls, "second");
    tide_tls_close(tls);
}

static void a_session_outlives_its_certificate(void **state)
{
    struct tide_tls *tls;
    SSL *session;
    char shown[64];

    (void)state;
    assert_int_equal(tide_tls_open(cert, key, &tls, NULL), TIDE_OK);
    session = tide_tls_session(tls);
    tide_tls_close(tls);
    shown_name(session, shown, sizeof(shown));
    assert_string_equal(shown, "first");
    tide_tls_close(NULL);
}

static void what_cannot_be_used_is_refused_by_name(void **state)
{
    struct tide_err err = {""};
    struct tide_tls *tls = NULL;
    char missing[512], locked[512], other[512];
    FILE *out;

    (void)state;
    snprintf(missing, sizeof(missing), "%s/missing.pem", dir);
    snprintf(locked, sizeof(locked), "%s/locked.pem", dir);
    snprintf(other, sizeof(other), "%s/other.pem", dir);
    assert_int_equal(tide_tls_open(missing, key, &tls, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, missing));
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(tide_tls_open(cert, missing, &tls, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, missing));
    assert_int_equal(tide_tls_open(key, cert, &tls, &err), TIDE_CONFIG); /* the wrong way round */
    assert_non_null(strstr(err.text, key));
    cert_write(other, locked, "locked", "open sesame"); /* nobody is asked for the words */
    assert_int_equal(tide_tls_open(other, locked, &tls, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, locked));
    out = fopen(other, "w");
    fputs("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", out);
    fclose(out);
    assert_int_equal(tide_tls_open(other, key, &tls, &err), TIDE_CONFIG);
    assert_non_null(strstr(err.text, other));
    assert_null(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reload_takes_the_new_pair_and_a_bad_one_changes_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_session_outlives_its_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_used_is_refused_by_name, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
