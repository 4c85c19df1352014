/* cert - see cert.h. */
#include "cert.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

static void put_name(X509 *cert, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_EXTENSION *also =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");

    assert(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) == 1);
    assert(X509_set_issuer_name(cert, subject) == 1);
    assert(also && X509_add_ext(cert, also, -1) == 1);
    X509_EXTENSION_free(also);
}

void cert_write(const char *cert_file, const char *key_file, const char *name,
                const char *passphrase)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *out;

    assert(key && cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    put_name(cert, name);
    assert(X509_sign(cert, key, EVP_sha256()) > 0);
    out = fopen(cert_file, "w");
    assert(out && PEM_write_X509(out, cert) == 1);
    fclose(out);
    out = fopen(key_file, "w");
    assert(out && PEM_write_PrivateKey(out, key, passphrase ? EVP_aes_128_cbc() : NULL,
                                       (const unsigned char *)passphrase,
                                       passphrase ? (int)strlen(passphrase) : 0, NULL, NULL) == 1);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}
